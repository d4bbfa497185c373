#!/bin/sh
# workers.sh BUILD-DIR [ROW...] [--quick]: what fibers cost on several workers, beside Go and
# Boost.Fiber; prints one table.
exec python3 -B "$(dirname "$0")/workers.py" "$@"
