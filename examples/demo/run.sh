#!/bin/sh
# The main job: usage: run.sh BUILD_DIR. demo.py says what it shows.
exec python3 -B "$(dirname "$0")/demo.py" "$@"
