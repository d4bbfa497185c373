#!/bin/sh
# echo.sh BUILD-DIR [--quick]: the echo server of a build beside raw servers; prints one table.
exec python3 -B "$(dirname "$0")/echo.py" "$@"
