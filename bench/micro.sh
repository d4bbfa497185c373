#!/bin/sh
# micro.sh BUILD-DIR [--quick]: what fibers cost in a build, beside Boost.Fiber; prints one table.
exec python3 -B "$(dirname "$0")/micro.py" "$@"
