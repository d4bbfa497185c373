"""A web server that is slow to answer, with bodies whose content is known.

usage: slow_http.py [--delay SECONDS] [--bodies N] [--seed N] [--largest BYTES]

Listens on 127.0.0.1, a port of the kernel's choice, and prints one line of JSON once it does:
the port and, for each path, the size and SHA-256 of its body. /status/CODE answers with that
status, /slow/SECONDS answers after that time. Runs until it gets SIGTERM or SIGINT.
"""

import argparse
import hashlib
import json
import random
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

SMALLEST_BODY = 1024


class SlowServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own, after a delay."""

    request_queue_size = 1024  # clients come all at once
    daemon_threads = True

    def __init__(self, delay, bodies):
        super().__init__(("127.0.0.1", 0), SlowHandler)
        self.delay = delay
        self.bodies = bodies

    def server_bind(self):
        """Binds without HTTPServer's look-up of its own name, which could take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address


class SlowHandler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        """Waits, then sends what the path names."""
        kind, _, value = self.path[1:].partition("/")
        if kind == "slow":
            time.sleep(float(value))
            self.answer(200, b"slow\n")
            return
        time.sleep(self.server.delay)
        if kind == "status":
            self.answer(int(value), b"as asked\n")
        elif self.path in self.server.bodies:
            self.answer(200, self.server.bodies[self.path])
        else:
            self.answer(404, b"no such path\n")

    def answer(self, status, body):
        """Sends a whole response; a client that has gone is not our trouble."""
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_):
        """Says nothing: stdout is for the first line, and stderr for errors."""


def make_bodies(count, seed, largest):
    """Random bodies of random sizes, the same for the same seed."""
    source = random.Random(seed)
    return {
        f"/body/{i:02}": source.randbytes(source.randint(SMALLEST_BODY, largest))
        for i in range(1, count + 1)
    }


def describe(server):
    """What the first line tells."""
    return {
        "port": server.server_address[1],
        "bodies": {
            path: {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            for path, body in server.bodies.items()
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--bodies", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--largest", type=int, default=256 * 1024)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    server = SlowServer(options.delay, make_bodies(options.bodies, options.seed, options.largest))
    print(json.dumps(describe(server)), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
