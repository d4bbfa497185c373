#!/bin/sh
# curl and Python's web server, both with the hooks.
. "${0%/*}/support.sh"
need curl python3

mkdir "$work/site"
head -c 2000000 /dev/urandom > "$work/site/data"
timeout 60 "$coir" run -- python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/site" \
  > "$work/log" 2>&1 &
server=$!
await grep -q 'port [0-9]' "$work/log"
port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$work/log" | head -n 1)
url=http://127.0.0.1:$port

"$coir" run -- curl -sS --noproxy '*' -m "$patience_seconds" -o "$work/got" "$url/data"
cmp "$work/site/data" "$work/got" || fail "the page did not come as it is"
"$coir" run -- curl -sS --noproxy '*' -m "$patience_seconds" -Z \
  -o "$work/first" "$url/data" -o "$work/second" "$url/data" 2> /dev/null
cmp "$work/site/data" "$work/first"
cmp "$work/site/data" "$work/second"
same_with_hooks curl -sS --noproxy '*' -m "$patience_seconds" -o /dev/null -w '%{http_code}' \
  "$url/missing"
