#!/bin/sh
# Build the CPU image from nothing and check it: hardened run on a synthetic study, equal to the application outside,
# failing run, show, extract. Exit 0: passed, 77: no container engine can run here (reason printed), other: failed.
# Optional: WHEELS (folder of wheels), BASE (image with Python 3.11 and venv), WORK (folder that is kept), PY (interpreter).
set -eu
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
set -- --flavour cpu --check -t gastromap:ci
[ -z "${WHEELS:-}" ] || set -- "$@" --wheels "$WHEELS"
[ -z "${BASE:-}" ] || set -- "$@" --base "$BASE"
[ -z "${WORK:-}" ] || set -- "$@" --work "$WORK"
PYTHONPATH=. exec "$PY" -m gastromap.cli package --log-level INFO "$@"
