#!/bin/sh
# Whether a program imports the fortified functions that its test means to call:
#   fortify_imports.sh PROGRAM
set -eu
imports=$(nm -D --undefined-only "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }')
for name in __read_chk __recv_chk __recvfrom_chk __pread_chk __pread64_chk \
            __poll_chk __ppoll_chk; do
  if ! printf '%s\n' "$imports" | grep -qx "$name"; then
    echo "$1 does not import $name: it was compiled without _FORTIFY_SOURCE or optimisation" >&2
    exit 1
  fi
done
echo "all fortified functions are imported"
