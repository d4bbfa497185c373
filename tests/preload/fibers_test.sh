#!/bin/sh
# A program that links coir but not its hooks becomes cooperative under the launcher.
#   fibers_test.sh LAUNCHER PROGRAM
. "${0%/*}/support.sh"
program=$2

timeout 60 "$program" > "$work/plain"
timeout 60 "$coir" run -- "$program" > "$work/hooked"
cat "$work/hooked"
for call in recv read poll nanosleep; do
  grep -qx "$call: blocked the thread" "$work/plain" ||
    { cat "$work/plain"; fail "without hooks $call should block its thread"; }
  grep -qx "$call: cooperative" "$work/hooked" || fail "$call is not cooperative under coir run"
done
