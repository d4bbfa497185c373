# What the scripts of tests/preload share; sourced by each. Their first argument is the launcher.
#
# Off a fiber every hook is a straight call, so what these scripts show is that a program does under
# `coir run` what it does without: same output, same exit status, and to the end.
set -eu
coir=$1
work=$(mktemp -d /tmp/coir-preload-XXXXXX)
server=  # the process number of a server that the script started
patience_seconds=20

finish() {
  status=$?
  if [ -n "$server" ]; then
    kill "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

# CTest takes 77 for "skipped".
need() {
  for program in "$@"; do
    command -v "$program" > /dev/null || { echo "$program is not installed"; exit 77; }
  done
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# await COMMAND...: until it succeeds, or the script fails.
await() {
  tries=$((patience_seconds * 20))
  until "$@" > /dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "never came true: $*"
    sleep 0.05
  done
}

# same_with_hooks COMMAND...: without the hooks and with them, output and status must be alike.
same_with_hooks() {
  plain_status=0
  "$@" > "$work/plain" 2>&1 < /dev/null || plain_status=$?
  hooked_status=0
  timeout "$patience_seconds" "$coir" run -- "$@" > "$work/hooked" 2>&1 < /dev/null ||
    hooked_status=$?
  [ "$plain_status" = "$hooked_status" ] || {
    cat "$work/hooked" >&2
    fail "$*: exit status $plain_status without hooks, $hooked_status with them"
  }
  diff "$work/plain" "$work/hooked" >&2 || fail "$*: the output differs"
  echo "same: $*"
}
