#!/opt/venv/bin/python3 -I
"""``cat``, the image's only tool beside sh.

Mercure 0.4.1 runs ``cat /etc/monai/app.json`` to learn whether an image wants root: a status of 1 tells it no, whereas
a container that cannot start for want of the program ends the case.
"""

import sys

status = 0
for name in sys.argv[1:]:
    try:
        with open(name, "rb") as stream:
            while part := stream.read(1 << 20):
                sys.stdout.buffer.write(part)
    except OSError as error:
        sys.stderr.write(f"cat: {name}: {error.strerror}\n")
        status = 1
sys.stdout.flush()
sys.exit(status)
