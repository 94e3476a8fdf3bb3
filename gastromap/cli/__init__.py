"""Command line of GastroMAP: ``gastromap COMMAND``.

Each module of this package whose name does not start with an underscore is one or more commands: it defines
``register(commands, common)``, which adds parsers with ``commands.add_parser(..., parents=[common])`` and sets
``run``, a function from the parsed arguments to an exit code. Such a module imports nothing heavy at its top, so that
``gastromap --help`` stays fast.
"""

from gastromap.cli._main import main

__all__ = ["main"]
