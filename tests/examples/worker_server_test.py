"""The worker_server example, with curl and with plain sockets."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from driver import PATIENCE_S, ExampleTest, Server, main, run

FACTOR, ADDEND = 6364136223846793005, 1442695040888963407
LONG_WALK = 20_000_000  # steps; some hundredths of a second


def walk(start, steps):
    """Where the server's walk leads, by doubling the steps."""
    factor, addend = FACTOR, ADDEND
    while steps:
        if steps & 1:
            start = (start * factor + addend) % 2**64
        factor, addend = factor * factor % 2**64, (addend * factor + addend) % 2**64
        steps >>= 1
    return start


def curl(server, *arguments, paths=("/",)):
    """What curl prints when it asks for the paths, with options."""
    urls = [f"http://127.0.0.1:{server.port}{path}" for path in paths]
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(PATIENCE_S),
                           "--noproxy", "*", *arguments, *urls],
                          capture_output=True, text=True, timeout=2 * PATIENCE_S, check=True)
    return done.stdout


class Client:
    """A connection whose answers are read one by one."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, *paths, headers=""):
        self.socket.sendall("".join(f"GET {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n"
                                    for path in paths).encode())

    def answer(self):
        """(status, worker, body) of the next answer; None at the end of the connection."""
        status = self.file.readline()
        if not status:
            return None
        headers = {}
        while line := self.file.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name] = value
        body = self.file.read(int(headers["Content-Length"]))
        return int(status.split()[1]), int(headers.get("X-Worker", -1)), body.decode()

    def ask(self, path):
        self.send(path)
        return self.answer()


def worker_threads(server):
    """The names of the workers' threads."""
    names = (task.read_text(encoding="ascii").strip()
             for task in pathlib.Path(f"/proc/{server.pid}/task").glob("*/comm"))
    return sorted(name for name in names if re.fullmatch(r"server-\d+", name))


class WorkerServerTest(ExampleTest):
    def test_curl_gets_the_end_of_a_walk(self):
        with Server("worker_server", "--workers", "2") as server:
            self.assertEqual(curl(server), "hello\n")
            self.assertEqual(curl(server, paths=["/walk/7/1000"]), f"{walk(7, 1000)}\n")
            self.assertEqual(curl(server, paths=["/walk/12/0"]), "12\n")

    @unittest.skipIf("COIR_TEST_THREADS_ARE_FIBERS" in os.environ, "the kernel does not see them")
    def test_there_are_as_many_workers_as_asked_for_and_all_of_them_serve(self):
        with Server("worker_server", "--workers", "3") as server:
            self.assertEqual(worker_threads(server), ["server-0", "server-1", "server-2"])
            seen = set()
            with contextlib.ExitStack() as stack:
                for _ in range(500):
                    client = stack.enter_context(Client(server))
                    status, worker, body = client.ask("/")
                    self.assertEqual((status, body), (200, "hello\n"))
                    seen.add(worker)
                    if len(seen) == 3:
                        break
            self.assertEqual(seen, {0, 1, 2})

    def test_a_thousand_requests_of_curl_at_once_all_get_their_own_answer(self):
        with Server("worker_server", "--workers", "2") as server, \
                tempfile.TemporaryDirectory() as folder:
            curl(server, "--parallel", "--parallel-max", "100", "-o", f"{folder}/#1",
                 paths=["/walk/[1-1000]/5000"])
            for start in range(1, 1001):
                body = pathlib.Path(folder, str(start)).read_text(encoding="ascii")
                self.assertEqual(body, f"{walk(start, 5000)}\n")

    def test_a_connection_is_kept_unless_the_client_wants_it_closed(self):
        with Server("worker_server") as server:
            counts = curl(server, "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ",
                          paths=["/", "/walk/1/1"])
            self.assertEqual(counts.split(), ["1", "0"])
            for closing in ("Connection: close\r\n", "connection:Close\r\n"):
                with Client(server) as client:
                    client.send("/", headers=closing)
                    self.assertEqual(client.answer()[0], 200)
                    self.assertIsNone(client.answer())
            self.assertEqual(curl(server, "--http1.0"), "hello\n")

    def test_pipelined_requests_are_answered_in_their_order(self):
        with Server("worker_server") as server, Client(server) as client:
            client.send(*(f"/walk/{start}/100" for start in range(200)))
            for start in range(200):
                self.assertEqual(client.answer()[2], f"{walk(start, 100)}\n")

    def test_a_request_that_comes_byte_by_byte_is_answered(self):
        with Server("worker_server") as server, Client(server) as client:
            for byte in b"GET /walk/5/6 HTTP/1.1\r\nHost: here\r\n\r\n":
                client.socket.sendall(bytes([byte]))
            self.assertEqual(client.answer()[2], f"{walk(5, 6)}\n")

    def test_what_it_does_not_serve_is_refused(self):
        refused = {"GET /nowhere": 404, "GET /walk/1/2/3": 404, "GET /walk/1/-2": 404,
                   "GET /walk/1/100000001": 404, "GET /walk/x/1": 404, "DELETE /": 405}
        with Server("worker_server") as server, Client(server) as client:
            for request, status in refused.items():
                with self.subTest(request=request):
                    client.socket.sendall(f"{request} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
                    self.assertEqual(client.answer()[0], status)

    def test_what_is_no_request_is_refused_and_the_connection_closed(self):
        refused = {
            b"GET / HTTP/1.1\r\nHost: h\r\nX: " + 20000 * b"x": 431,
            b"GET / HTTP/3.0\r\n\r\n": 505,
            b"GET / HTTP/1.1\r\n\r\n": 400,
            b"hello\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nno header\r\n\r\n": 400,
        }
        with Server("worker_server") as server:
            for request, status in refused.items():
                with self.subTest(request=request[:40]), Client(server) as client:
                    client.socket.sendall(request)
                    self.assertEqual(client.answer()[0], status)
                    self.assertIsNone(client.answer())
            self.assertEqual(curl(server), "hello\n")

    def test_a_client_that_still_sends_a_refused_body_gets_the_answer(self):
        with Server("worker_server") as server, Client(server) as client:
            client.socket.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
            for _ in range(10):
                client.socket.sendall(bytes(20_000))
            self.assertEqual(client.answer()[0], 405)
            self.assertEqual(client.ask("/")[2], "hello\n")

    def test_signals_end_it_cleanly_once_what_has_arrived_is_answered(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("worker_server", "--workers", "2") as server, contextlib.ExitStack() as all:
                clients = [all.enter_context(Client(server)) for _ in range(8)]
                for client in clients:
                    self.assertEqual(client.ask("/")[0], 200)
                for start in range(4):
                    clients[start].send(f"/walk/{start}/{LONG_WALK}")
                self.assertEqual(server.stop(number), 0)
                for start in range(4):
                    self.assertEqual(clients[start].answer()[2], f"{walk(start, LONG_WALK)}\n")
                for client in clients:
                    self.assertIsNone(client.answer())
                counts = re.fullmatch(r"served (\d+) (\d+) requests", server.line(PATIENCE_S))
                self.assertEqual(int(counts[1]) + int(counts[2]), 12)

    def test_out_of_descriptors_it_serves_on(self):
        command = ["sh", "-c", 'ulimit -n 64 && exec "$0" "$@"']
        with Server("worker_server", "--workers", "2", wrapper=command) as server, \
                contextlib.ExitStack() as stack:
            first = stack.enter_context(Client(server))
            self.assertEqual(first.ask("/")[0], 200)
            clients = [stack.enter_context(Client(server)) for _ in range(100)]
            self.assertEqual(first.ask("/")[0], 200)
            for client in clients[:80]:
                client.__exit__()
            for client in clients[80:]:
                self.assertEqual(client.ask("/")[0], 200)
            self.assertEqual(server.stop(signal.SIGTERM), 0)

    def test_a_port_that_is_taken_is_an_error(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            result = run("worker_server", "--port", str(taken.getsockname()[1]))
        self.assertEqual(result.returncode, 1)
        self.assertIn("Address already in use", result.stderr)

    def test_usage(self):
        self.assert_usage("worker_server")
        self.assertEqual(run("worker_server", "--workers", "-1").returncode, 2)
        self.assertEqual(run("worker_server", "--address", "nowhere").returncode, 1)


if __name__ == "__main__":
    main()
