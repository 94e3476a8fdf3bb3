#!/bin/sh
# Entrypoint of the MAP. The application's exit status is the container's exit status. The image holds no cat, cp or env:
# what the shell cannot do itself, Python does.
set -u
: "${HOLOSCAN_APPLICATION:=/opt/holoscan/app}" "${HOLOSCAN_WORKDIR:=/var/holoscan}"
: "${HOLOSCAN_MODEL_PATH:=/opt/holoscan/models}" "${HOLOSCAN_DOCS_PATH:=/opt/holoscan/docs}"
: "${HOLOSCAN_CONFIG_PATH:=/var/holoscan/app.yaml}" "${HOLOSCAN_APP_MANIFEST_PATH:=/etc/holoscan/app.json}"
: "${HOLOSCAN_PKG_MANIFEST_PATH:=/etc/holoscan/pkg.json}" "${HOLOSCAN_EXPORT_PATH:=/var/run/holoscan/export}"
die() { printf 'map: %s\n' "$*" >&2; exit 64; }
writable() { [ -w "$1" ] || die "$1 is not writable: create it on the host first, run with -u \$(id -u):\$(id -g)"; }
print() { # print FILE
  [ -r "$1" ] || die "$1 is not readable"
  while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done <"$1"
}
copy() { # copy DESTINATION SOURCE...: files, and what lies in folders; what is not there is left out
  writable "$1"
  python3 -I -c '
import os, shutil, sys
target, *sources = sys.argv[1:]
for source in sources:
    if os.path.isfile(source):
        shutil.copyfile(source, os.path.join(target, os.path.basename(source)))
    for folder, _, names in os.walk(source):
        place = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
        os.makedirs(place, exist_ok=True)
        for name in names:
            shutil.copyfile(os.path.join(folder, name), os.path.join(place, name))
' "$@" || exit 1
}
part() { # part NAME DESTINATION
  case $1 in
    app)    copy "$2" "$HOLOSCAN_APPLICATION" ;;
    config) copy "$2" "$HOLOSCAN_APP_MANIFEST_PATH" "$HOLOSCAN_PKG_MANIFEST_PATH" "$HOLOSCAN_CONFIG_PATH" ;;
    models) copy "$2" "$HOLOSCAN_MODEL_PATH" ;;
    docs)   copy "$2" "$HOLOSCAN_DOCS_PATH" ;;
  esac
}
case "${1:-}" in
  show)
    case "${2:-all}" in
      app) print "$HOLOSCAN_APP_MANIFEST_PATH" ;;
      pkg) print "$HOLOSCAN_PKG_MANIFEST_PATH" ;;
      all) for file in "$HOLOSCAN_APP_MANIFEST_PATH" "$HOLOSCAN_PKG_MANIFEST_PATH"; do
             printf '=== %s\n' "$file"; print "$file"
           done ;;
      *) die "show [app|pkg]" ;;
    esac ;;
  extract)
    x=$HOLOSCAN_EXPORT_PATH; some=
    [ -d "$x" ] || die "mount a folder at $x, or at $x/{app,config,models,docs}"
    for name in app config models docs; do
      [ ! -d "$x/$name" ] || { part $name "$x/$name"; some=1; }
    done
    [ -n "$some" ] || {
      writable "$x"
      python3 -I -c 'import os, sys; [os.mkdir(os.path.join(sys.argv[1], name)) for name in sys.argv[2:]]' \
        "$x" app config models docs || exit 1
      for name in app config models docs; do part $name "$x/$name"; done
    } ;;
  env) python3 -I -c 'import os; print(*(f"{k}={v}" for k, v in sorted(os.environ.items())), sep="\n")' ;;
  help|-h|--help) printf '%s\n' "usage: [show [app|pkg] | extract | env | help | application arguments...]" ;;
  *) cd "$HOLOSCAN_WORKDIR" || exit 1
     ulimit -s 32768 2>/dev/null || :   # Holoscan asks for a 32 MB stack
     exec python3 "$HOLOSCAN_APPLICATION" "$@" ;;
esac
