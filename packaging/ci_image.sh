#!/bin/sh
# Build the CPU image from nothing and check it: the specification, hardened runs, results equal to those of the application
# outside. Arguments are folders of further studies to compare. Exit 0: passed, 77: no container engine can run here (reason
# printed), other: failed.
# Optional: WHEELS (folder of wheels), BASE (image with Python 3.11 and venv), WORK (folder that is kept), PY (interpreter).
set -eu
for study in "$@"; do
  set -- "$@" --input "$(realpath "$study")"
  shift
done
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
set -- --flavour cpu --check -t gastromap:ci "$@"
[ -z "${WHEELS:-}" ] || set -- "$@" --wheels "$WHEELS"
[ -z "${BASE:-}" ] || set -- "$@" --base "$BASE"
[ -z "${WORK:-}" ] || set -- "$@" --work "$WORK"
PYTHONPATH=. exec "$PY" -m gastromap.cli package --log-level INFO "$@"
