"""ThreadingHTTPServer with 50 urllib clients in the same process, and then others from outside."""
import hashlib
import http.server
import signal
import threading
import time
import urllib.request

from checks import check, peak, say, together

CLIENTS = 50


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    meeting = threading.Barrier(CLIENTS + 1)

    def do_GET(self):
        if self.path == "/meet":
            self.meeting.wait(60)
        size = int(self.path[1:]) if self.path[1:].isdigit() else 10
        self.answer(b"%d," % size * size)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.sha256(body).hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False


def get(base, path):
    with urllib.request.urlopen(f"{base}/{path}", timeout=60) as answer:
        return answer.read()


def client(base, number):
    for size in (number, 10 * number, 1000 + number):
        check(get(base, str(size)) == b"%d," % size * size, "a page is wrong")
    body = bytes([number]) * 100_000
    with urllib.request.urlopen(base, body, timeout=60) as answer:
        check(answer.read().decode() == hashlib.sha256(body).hexdigest(), "a post is wrong")


def main():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Server(("127.0.0.1", 0), Handler) as server:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, args=(0.1,))
        serving.start()
        together(CLIENTS, lambda number: client(base, number))
        visitors = [threading.Thread(target=get, args=(base, "meet")) for _ in range(CLIENTS)]
        for visitor in visitors:
            visitor.start()
        deadline = time.monotonic() + 60
        while Handler.meeting.n_waiting < CLIENTS:
            check(time.monotonic() < deadline, "the requests do not come together")
            time.sleep(0.01)
        peak()
        Handler.meeting.wait(60)
        for visitor in visitors:
            visitor.join(60)
        say(f"port {server.server_address[1]}")
        stop.wait()
        server.shutdown()
        serving.join(30)
    say(f"alive {threading.active_count() - 1}")


main()
