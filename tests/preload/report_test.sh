#!/bin/sh
# What `--report` says, and that families of hooks can be switched off.
. "${0%/*}/support.sh"
need python3
cat > "$work/program.py" <<'END'
import socket, threading, time

def look_up():
    socket.getaddrinfo("localhost", 80)
    time.sleep(0.01)

threads = [threading.Thread(target=look_up) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
END
report="$work/report"

# with OPTION...: one run with a report of its own.
with() {
  rm -f "$report"
  timeout "$patience_seconds" "$coir" run --workers=1 --report="$report" "$@" -- \
    python3 "$work/program.py" || fail "the program failed with $*"
}

counts() { grep -Eq "$1 +$2( |\$)" "$report" || { cat "$report" >&2; fail "no line '$1 $2'"; }; }

with
counts 'threads that were fibers' 20
counts 'threads left to the kernel' 0
counts 'sleeps parked' '[1-9][0-9]*'
counts 'calls that blocked a kernel thread, foreseen' '[1-9][0-9]*'
grep -q 'times a call that blocks, from' "$report" || fail "no call site is shown"

with --no-io
counts 'sleeps parked' 0

with --no-thread
[ ! -e "$report" ] || fail "there is a report although no thread was a fiber"
echo "reports are as they should be"
