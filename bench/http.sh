#!/bin/sh
# http.sh BUILD-DIR [--quick]: coir's HTTP server beside those of others; prints two tables.
exec python3 -B "$(dirname "$0")/http.py" "$@"
