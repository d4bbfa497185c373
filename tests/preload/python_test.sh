#!/bin/sh
# An interpreter with sockets, threads, processes and files.
. "${0%/*}/support.sh"
need python3
same_with_hooks python3 -c 'import sys; sys.exit(3)'
same_with_hooks python3 "${0%/*}/python_program.py"
cat "$work/hooked"
grep -qx 'all done' "$work/hooked" || fail "the program did not come to its end"
