#!/bin/sh
# preload.sh BUILD-DIR [ROW...] [--quick]: unmodified programs with their threads as they are and as
# fibers; prints one table.
exec python3 -B "$(dirname "$0")/preload.py" "$@"
