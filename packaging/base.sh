#!/bin/sh
# Make the base of the image, Debian with Python and venv, as a tar file: `docker import OUT gastromap/python-base:bookworm`.
# As root on Debian or Ubuntu with mmdebstrap; the packages come from the host's own Debian mirror. Usage: base.sh OUT.tar
set -eu
[ $# = 1 ] || { echo "usage: base.sh OUT.tar" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "base.sh: expected root, got another user" >&2; exit 2; }
command -v mmdebstrap >/dev/null || { echo "base.sh: expected mmdebstrap, got none (apt-get install mmdebstrap)" >&2; exit 2; }
exec mmdebstrap --quiet --variant=minbase --include=python3,python3-venv bookworm "$1"
