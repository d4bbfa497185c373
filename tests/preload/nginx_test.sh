#!/bin/sh
# A web server in one process, on a socket in the file system.
. "${0%/*}/support.sh"
PATH=$PATH:/usr/sbin
need nginx curl

mkdir "$work/site"
head -c 2000000 /dev/urandom > "$work/site/data"
cat > "$work/nginx.conf" << END
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/error.log;
events {}
http {
  access_log off;
  client_body_temp_path $work/body;
  proxy_temp_path $work/proxy;
  fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi;
  scgi_temp_path $work/scgi;
  server {
    listen unix:$work/nginx.sock;
    root $work/site;
  }
}
END
chmod 755 "$work" "$work/site"
timeout 60 "$coir" run -- nginx -p "$work" -c "$work/nginx.conf" > "$work/log" 2>&1 &
server=$!
await test -S "$work/nginx.sock"

get() { curl -sS --noproxy '*' -m "$patience_seconds" --unix-socket "$work/nginx.sock" "$@"; }
get -o "$work/got" http://server/data || { cat "$work/log" "$work/error.log"; fail "no answer"; }
cmp "$work/site/data" "$work/got" || fail "the page did not come as it is"
i=0
while [ "$i" -lt 20 ]; do
  get -o "$work/got$i" http://server/data &
  clients="${clients:-} $!"
  i=$((i + 1))
done
for client in $clients; do wait "$client"; done
i=0
while [ "$i" -lt 20 ]; do
  cmp "$work/site/data" "$work/got$i" || fail "page $i did not come as it is"
  i=$((i + 1))
done
[ "$(get -o /dev/null -w '%{http_code}' http://server/missing)" = 404 ] || fail "no 404"
