#!/bin/sh
# A server with an event loop, an allocator of its own and background threads; and its client.
. "${0%/*}/support.sh"
need redis-server redis-cli

socket=$work/redis.sock
timeout 60 "$coir" run -- redis-server --port 0 --unixsocket "$socket" --dir "$work" --save '' \
  --appendonly yes --daemonize no > "$work/log" 2>&1 &
server=$!
ask() { timeout "$patience_seconds" "$coir" run -- redis-cli -s "$socket" "$@"; }
await redis-cli -s "$socket" ping

[ "$(ask ping)" = PONG ] || fail "no answer to a ping"
i=0
while [ "$i" -lt 1000 ]; do
  echo "set key$i value$i"
  i=$((i + 1))
done | ask > "$work/answers"
[ "$(grep -c '^OK$' "$work/answers")" = 1000 ] || fail "not all values were stored"
[ "$(ask get key777)" = value777 ] || fail "a value did not come back"
[ "$(ask dbsize)" = 1000 ] || fail "the number of keys is wrong"
ask bgrewriteaof > /dev/null  # forks
await sh -c "redis-cli -s '$socket' info persistence | grep -q aof_rewrite_in_progress:0"
ask flushall async > /dev/null  # a background thread
[ "$(ask dbsize)" = 0 ] || fail "the keys are still there"
ask shutdown nosave > /dev/null 2>&1 || true
status=0
wait "$server" || status=$?
server=
[ "$status" = 0 ] || { cat "$work/log"; fail "redis-server ended with status $status"; }
