"""``python -m gastromap.cli``."""

import sys

from gastromap.cli._main import main

if __name__ == "__main__":
    sys.exit(main())
