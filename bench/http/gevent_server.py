"""gevent's WSGI server with the handler of the benchmark: a short text. Serves until it is ended.

Its listener has TCP_NODELAY, which accepted sockets inherit: the server writes the head and the
body of an answer apart, and the body would wait 40 ms for the client's acknowledgement of the head.
"""

import resource
import socket

import gevent.pywsgi

BODY = b"Hello, World!\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def answer_hello(_environ, start_response):
    start_response("200 OK", HEADERS)
    return [BODY]


def main():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with gevent.socket.socket() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
        gevent.pywsgi.WSGIServer(listener, answer_hello, log=None).serve_forever()


main()
