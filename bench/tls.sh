#!/bin/sh
# tls.sh BUILD-DIR [--quick]: coir's HTTPS server beside nginx; prints two tables.
exec python3 -B "$(dirname "$0")/tls.py" "$@"
