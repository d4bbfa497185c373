"""The reverse_proxy example, between curl and nginx."""

import contextlib
import os
import pathlib
import queue
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

from driver import PATIENCE_S, ExampleTest, Server, main, run
from nginx import PROGRAM, Nginx
from websocket_echo_test import BINARY, CLOSE, TEXT, WebSocket

LARGE = 10_000_000
LAST_CHUNK = b"0\r\n\r\n"
SERVER = """
    dav_methods PUT; add_header X-Connection $connection;
    location /about {
      return 200 "$http_x_forwarded_for|$http_via|$http_host|$http_connection|$http_x_own";
    }
    location /removed { return 200 "$http_x_for_me|$http_te|$args"; }
"""


def curl(server, path, *arguments, folder=None, check=True):
    """What curl prints of the answer."""
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(PATIENCE_S),
                           "--noproxy", "*", "--path-as-is", *arguments,
                           f"http://127.0.0.1:{server.port}{path}"], cwd=folder,
                          capture_output=True, text=True, timeout=2 * PATIENCE_S, check=check)
    return done.stdout


def status(server, path, *arguments):
    """(status, body) of the answer."""
    text, _, code = curl(server, path, "--write-out", "\n%{http_code}", *arguments).rpartition("\n")
    return int(code), text


def peak_bytes(process_id):
    """The most memory that a process has had."""
    text = pathlib.Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", text)[1])


class Upstream:
    """A server that a test plays by hand, on a thread: `play(socket, head)` for each connection."""

    def __init__(self, play):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._play = play
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with peer:
                    peer.settimeout(PATIENCE_S)
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += peer.recv(65536) or b"\r\n\r\n"
                    self._play(peer, head)


def read_to_end(peer):
    """Until the other side has ended the connection."""
    while peer.recv(65536):
        pass


def dead_place():
    """A HOST:PORT where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@unittest.skipUnless(PROGRAM, "nginx is not installed")
class ReverseProxyTest(ExampleTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(
            cls.enterClassContext(tempfile.TemporaryDirectory(prefix="coir-proxy-")))
        cls.nginx = cls.enterClassContext(Nginx(SERVER))
        cls.data = os.urandom(LARGE)
        (cls.nginx.files / "large").write_bytes(cls.data)
        (cls.folder / "large").write_bytes(cls.data)
        (cls.nginx.files / "small").write_text("small file\n", encoding="ascii")

    def proxy(self, *arguments, to=None):
        places = [to or self.nginx.place] if not isinstance(to, list) else to
        options = [word for place in places for word in ("--to", place)]
        return Server("reverse_proxy", "--quiet", *options, *arguments)

    def test_files_come_as_they_are(self):
        with self.proxy() as server:
            got = self.folder / "got"
            curl(server, "/large", "--output", str(got))
            self.assertEqual(got.read_bytes(), self.data)
            self.assertEqual(curl(server, "/small"), "small file\n")
            self.assertEqual(curl(server, "/./x/../small"), "small file\n")
            self.assertEqual(status(server, "/nowhere")[0], 404)
            head = curl(server, "/large", "--head")
            self.assertIn(f"Content-Length: {LARGE}\n", head)
            self.assertIn("Via: 1.1 coir", head)
            part = status(server, "/small", "--range", "6-9")
            self.assertEqual(part, (206, "file"))
            tag = re.search(r"ETag: (\S+)", curl(server, "/small", "--head"))[1]
            self.assertEqual(status(server, "/small", "-H", f"If-None-Match: {tag}"), (304, ""))

    def test_uploads_arrive_as_they_are(self):
        with self.proxy() as server:
            for name, options in {"by_length": [], "chunks": ["-H", "Transfer-Encoding: chunked"],
                                  "asked": ["-H", "Expect: 100-continue"]}.items():
                code, _ = status(server, f"/{name}", "--upload-file", str(self.folder / "large"),
                                 *options)
                self.assertEqual((name, code), (name, 201))
                self.assertEqual((self.nginx.files / name).read_bytes(), self.data)

    def test_bodies_are_not_held_in_memory(self):
        huge = 10 * LARGE
        (self.nginx.files / "huge").touch()
        os.truncate(self.nginx.files / "huge", huge)
        with self.proxy() as server:
            curl(server, "/small")
            before = peak_bytes(server.pid)
            got = curl(server, "/huge", "--output", "/dev/null", "--write-out", "%{size_download}")
            self.assertEqual(int(got), huge)
            self.assertEqual(status(server, "/copy", "-T", str(self.nginx.files / "huge"))[0], 201)
            self.assertEqual(os.path.getsize(self.nginx.files / "copy"), huge)
            self.assertLess(peak_bytes(server.pid) - before, huge / 10)

    def test_fields_about_one_connection_go_no_further(self):
        with self.proxy() as server:
            fields = ["Connection: X-For-Me, keep-alive", "X-For-Me: 1", "X-Own: 2", "TE: trailers",
                      "X-Forwarded-For: 192.0.2.1", "Host: somewhere"]
            options = [word for field in fields for word in ("-H", field)]
            self.assertEqual(curl(server, "/about", *options),
                             "192.0.2.1, 127.0.0.1|1.1 coir|somewhere||2")
            self.assertEqual(curl(server, "/removed?a=%20b&c", *options), "||a=%20b&c")

    def test_connections_to_the_server_are_kept(self):
        with self.proxy() as server:
            seen = {re.search(r"X-Connection: (\d+)", curl(server, "/small", "--head"))[1]
                    for _ in range(10)}
            self.assertEqual(len(seen), 1)

    def test_no_request_fails_when_the_server_closes_what_was_kept(self):
        settings = "keepalive_requests 3; keepalive_timeout 20ms;"
        with Nginx(settings) as hasty, self.proxy(to=hasty.place) as server:
            (hasty.files / "small").write_text("small file\n", encoding="ascii")
            for _ in range(3):
                done = curl(server, "/small?[1-100]", "--parallel", "--parallel-max", "5")
                self.assertEqual(done, 100 * "small file\n")

    def test_two_hundred_requests_at_once_get_their_own_answers(self):
        for number in range(200):
            (self.nginx.files / f"n{number}").write_text(f"file {number}", encoding="ascii")
        with self.proxy() as server, tempfile.TemporaryDirectory() as folder:
            curl(server, "/n[0-199]", "--parallel", "--parallel-max", "50", "-o", f"{folder}/#1")
            for number in range(200):
                text = pathlib.Path(folder, str(number)).read_text(encoding="ascii")
                self.assertEqual(text, f"file {number}")
            self.assertEqual(server.stop(signal.SIGTERM), 0)

    def test_a_server_that_cannot_be_reached_is_a_502(self):
        with self.proxy(to=dead_place()) as server:
            for options in ([], ["--data", "text"], ["--request", "POST"]):
                code, text = status(server, "/", *options)
                self.assertEqual(code, 502)
                self.assertRegex(text, r"^no answer from 127\.0\.0\.1:\d+: Connection refused\n$")

    def test_a_server_that_talks_nonsense_or_hangs_up_is_a_502(self):
        for nonsense in (b"220 hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b""):
            with Upstream(lambda peer, _: peer.sendall(nonsense)) as upstream, \
                    self.proxy(to=upstream.place) as server:
                self.assertEqual(status(server, "/")[0], 502)

    def test_an_answer_that_breaks_off_does_so_for_the_client(self):
        def play(peer, _):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        with Upstream(play) as upstream, self.proxy(to=upstream.place) as server:
            self.assertEqual(curl(server, "/", "-w", "|%{exitcode}", check=False), "part|18")

    def test_a_server_that_is_silent_is_a_504(self):
        with Upstream(lambda peer, _: read_to_end(peer)) as upstream, \
                self.proxy("--timeout", "0.5", to=upstream.place) as server:
            code, text = status(server, "/")
            self.assertEqual(code, 504)
            self.assertRegex(text, "timed out")
            self.assertEqual(status(server, "/", "--data", "text")[0], 504)

    def test_when_the_client_leaves_the_server_is_left_as_well(self):
        asked, left = threading.Semaphore(0), queue.Queue()

        def play(peer, head):
            if b"/begun" in head:
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
            while b"chunked" in head and not head.endswith(LAST_CHUNK):
                head += peer.recv(65536) or LAST_CHUNK
            asked.release()
            left.put(peer.recv(1))  # times out when the proxy stays

        with Upstream(play) as upstream, \
                Server("reverse_proxy", "--to", upstream.place) as server:
            for request in ("GET / HTTP/1.1", "GET /begun HTTP/1.1",
                            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked"):
                body = LAST_CHUNK if "POST" in request else b""
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.sendall(f"{request}\r\nHost: h\r\n\r\n".encode() + body)
                    self.assertTrue(asked.acquire(timeout=PATIENCE_S))
                self.assertEqual(left.get(timeout=PATIENCE_S), b"")
                expected = 200 if "begun" in request else 499
                self.assertRegex(server.line(PATIENCE_S), f'HTTP/1.1" {expected} ')

    def test_another_server_stands_in_for_one_that_is_dead(self):
        with self.proxy(to=[dead_place(), self.nginx.place]) as server:
            for _ in range(6):
                self.assertEqual(status(server, "/small"), (200, "small file\n"))
            self.assertEqual(status(server, "/stand_in", "-T", str(self.folder / "large"))[0], 201)
            self.assertEqual((self.nginx.files / "stand_in").read_bytes(), self.data)

    def test_servers_take_turns(self):
        def named(name):
            answer = f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{name}"
            return Upstream(lambda peer, _: peer.sendall(answer.encode()))
        with named("a") as a, named("b") as b, self.proxy(to=[a.place, b.place]) as server:
            self.assertEqual([curl(server, "/") for _ in range(6)], [*"ababab"])

    def test_a_signal_lets_an_answer_be_finished(self):
        with self.proxy() as server:
            got = self.folder / "paced"
            with open(got, "wb") as file, \
                    subprocess.Popen(["curl", "-sSN", "--noproxy", "*", "--limit-rate", "10M",
                                      f"http://127.0.0.1:{server.port}/large"],
                                     stdout=file) as client:
                while got.stat().st_size == 0:
                    self.assertIsNone(client.poll())
                self.assertEqual(server.stop(signal.SIGTERM), 0)
                self.assertEqual(client.wait(PATIENCE_S), 0)
            self.assertEqual(got.read_bytes(), self.data)

    def test_requests_are_logged(self):
        with Server("reverse_proxy", "--to", self.nginx.place) as server:
            curl(server, "/small")
            self.assertRegex(server.line(PATIENCE_S),
                             r'^127\.0\.0\.1 - - \[\S+ \+0000\] "GET /small HTTP/1\.1" 200 11$')

    def test_web_sockets_go_through(self):
        with Server("websocket_echo") as echo, \
                self.proxy(to=f"127.0.0.1:{echo.port}") as server, \
                WebSocket(server) as first, WebSocket(server) as second:
            self.assertEqual(first.status, 101)
            for payload in (b"hello", b"x" * 100_000):
                first.send(TEXT, payload)
                self.assertEqual(second.exchange(BINARY, payload), (BINARY, payload))
                self.assertEqual(first.receive(), (TEXT, payload))
            for client in (first, second):
                code = struct.pack("!H", 1000)
                self.assertEqual(client.exchange(CLOSE, code), (CLOSE, code))
                self.assertEqual(client.stream.read(), b"")

    def test_a_client_that_leaves_ends_its_web_socket(self):
        ends = queue.Queue()

        def play(peer, _):
            peer.sendall(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            ends.put(peer.recv(1))

        with Upstream(play) as upstream, self.proxy(to=upstream.place) as server:
            with WebSocket(server) as client:
                self.assertEqual(client.status, 101)
            self.assertEqual(ends.get(timeout=PATIENCE_S), b"")

    def test_a_server_that_changes_no_protocol_answers_as_ever(self):
        with self.proxy() as server, WebSocket(server, "/small") as client:
            self.assertEqual((client.status, client.stream.read(11)), (200, b"small file\n"))

    def test_usage(self):
        self.assert_usage("reverse_proxy")
        self.assertEqual(run("reverse_proxy").returncode, 2)
        self.assertEqual(run("reverse_proxy", "--to", "127.0.0.1:x").returncode, 1)


if __name__ == "__main__":
    main()
