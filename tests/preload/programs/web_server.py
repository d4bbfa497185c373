"""A web server in the process of a test, natively: what clients under the launcher fetch from."""

import hashlib
import http.server
import pathlib
import ssl
import threading

import harness
from harness import PATIENCE


def page(number):
    return hashlib.sha256(b"%d" % number).hexdigest().encode() * (number * 10 + 1)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gate = threading.Event()
    waiting = set()

    def do_GET(self):
        kind, _, number = self.path[1:].partition("/")
        if kind == "gate":
            self.waiting.add(number)
            self.gate.wait(PATIENCE)
        if kind == "slow":
            self.gate.wait(PATIENCE)
        status = 200 if kind in ("page", "gate") else 404
        body = page(int(number)) if status == 200 else b"nothing here"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def secure(self, certificate, key):
        """Speaks TLS from now on; each connection shakes hands in its own thread."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True,
                                          do_handshake_on_connect=False)

    def handle_error(self, *_):
        """A client that went away; what came to it is checked where it runs."""


def make_certificate(run):
    """A certificate for localhost that is its own authority, and its key, as files of the run."""
    harness.need("openssl")
    certificate, key = (pathlib.Path(run.folder, name) for name in ("cert.pem", "key.pem"))
    run.output("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
               "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate)
    return certificate, key


def with_server(is_secure=False):
    """The test with the port of a server in this process; when that speaks TLS, the file of its
    certificate is told, too."""
    def decorate(test):
        def wrapped(run):
            Handler.gate = threading.Event()
            Handler.waiting = set()
            with Server(("127.0.0.1", 0), Handler) as server:
                told = [server.server_address[1]]
                if is_secure:
                    certificate, key = make_certificate(run)
                    server.secure(certificate, key)
                    told.append(certificate)
                threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
                try:
                    test(run, *told)
                finally:
                    Handler.gate.set()
                    server.shutdown()
        wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
        return wrapped
    return decorate
