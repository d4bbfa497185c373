"""The echo_server example, with clients on plain sockets."""

import contextlib
import os
import random
import signal
import socket
import struct
import threading
import time
import unittest

from driver import PATIENCE_S, ExampleTest, Server, main, run

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time


def connect(server):
    """A client of the server, with a deadline for each call."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def receive(client, size):
    """Exactly `size` bytes, or what came before the end."""
    parts = bytearray()
    while len(parts) < size and (part := client.recv(size - len(parts))):
        parts += part
    return bytes(parts)


def exchange(client, message):
    """Sends a message, and returns as much as that from the server."""
    client.sendall(message)
    return receive(client, len(message))


def processor_seconds(pid):
    """The processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_ipv6_loopback():
    """Whether ::1 can be bound."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


class EchoServerTest(ExampleTest):
    def test_each_of_many_clients_gets_its_own_bytes_on_one_thread(self):
        with Server("echo_server") as server, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server)) for _ in range(100)]
            for number, client in enumerate(clients):
                client.sendall(random.Random(number).randbytes(1000 + number))
            for number, client in enumerate(clients):
                expected = random.Random(number).randbytes(1000 + number)
                self.assertEqual(receive(client, len(expected)), expected)
            self.assertEqual(server.most_threads(), 1)

    def test_a_transfer_larger_than_all_buffers_comes_back_whole(self):
        content = random.Random(1).randbytes(8 << 20)
        with Server("echo_server", "--buffer", "1000") as server, connect(server) as client:
            sender = threading.Thread(target=client.sendall, args=(content,))
            sender.start()
            self.assertEqual(receive(client, len(content)), content)
            sender.join(PATIENCE_S)

    def test_a_client_that_ends_its_half_still_gets_everything_and_then_the_end(self):
        with Server("echo_server") as server, connect(server) as client:
            client.sendall(b"last words")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(receive(client, 100), b"last words")

    def test_a_client_that_resets_its_connection_disturbs_nobody(self):
        with Server("echo_server") as server, connect(server) as other:
            for _ in range(20):
                with connect(server) as rude:
                    exchange(rude, b"hello")
                    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.assertEqual(exchange(other, b"still here"), b"still here")

    def test_signals_end_it_cleanly_while_clients_are_connected(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("echo_server") as server, connect(server) as client:
                self.assertEqual(exchange(client, b"12345"), b"12345")
                self.assertEqual(server.stop(number), 0)
                self.assertEqual(server.line(PATIENCE_S), "served 1 connections, 5 bytes")
                self.assertEqual(client.recv(1), b"")

    def test_out_of_descriptors_it_serves_on_and_waits_without_spinning(self):
        command = ["sh", "-c", 'ulimit -n 48 && exec "$0"']
        with Server("echo_server", wrapper=command) as server, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server)) for _ in range(80)]
            for client in clients:
                client.sendall(b"ping")
            self.assertEqual(receive(clients[0], 4), b"ping")
            self.assertEqual(exchange(clients[0], b"pong"), b"pong")
            before = processor_seconds(server.pid)
            clients[-1].settimeout(1)
            with self.assertRaises(socket.timeout):
                clients[-1].recv(1)
            self.assertLess(processor_seconds(server.pid) - before, 0.5)
            for client in clients[:60]:
                client.close()
            for client in clients[60:]:
                client.settimeout(PATIENCE_S)
                self.assertEqual(receive(client, 4), b"ping")

    @unittest.skipUnless(has_ipv6_loopback(), "no IPv6 here")
    def test_it_listens_on_ipv6_too(self):
        with Server("echo_server", "--address", "::1") as server:
            with socket.create_connection(("::1", server.port), PATIENCE_S) as client:
                self.assertEqual(exchange(client, b"six"), b"six")

    def test_it_runs_on_the_backend_that_was_asked_for(self):
        names = {"uring": "io_uring", "epoll": "epoll"}
        with Server("echo_server") as server:
            self.assertIn(server.backend, names.values())
            if asked := os.environ.get("COIR_BACKEND"):
                self.assertEqual(server.backend, names[asked])

    def test_a_port_that_is_taken_is_an_error(self):
        with Server("echo_server") as server:
            result = run("echo_server", "--port", str(server.port))
            self.assertEqual(result.returncode, 1)
            self.assertIn("Address already in use", result.stderr)

    def test_usage(self):
        self.assert_usage("echo_server")
        self.assertEqual(run("echo_server", "--port", "65536").returncode, 2)
        self.assertEqual(run("echo_server", "--address", "nowhere").returncode, 1)


class EchoLoadTest(ExampleTest):
    """The demo's client must be able to find fault."""

    def serve_badly(self, answer):
        """Runs echo_load against a server that sends answer(message) for each message."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve():
                client, _ = listener.accept()
                with client, contextlib.suppress(ConnectionError):
                    while message := client.recv(4096):
                        client.sendall(answer(message))

            threading.Thread(target=serve, daemon=True).start()
            port = str(listener.getsockname()[1])
            return run("echo_load", "--port", port, "--connections", "1", "--rounds", "2",
                       "--size", "100", "--timeout", "5")

    def test_a_right_server_passes(self):
        with Server("echo_server") as server:
            result = run("echo_load", "--port", str(server.port), "--connections", "300",
                         "--rounds", "3")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertRegex(result.stdout.splitlines()[-1], r"^checked \d{6,} bytes on 300 ")

    def test_a_changed_byte_is_found(self):
        result = self.serve_badly(lambda message: message[:-1] + bytes([message[-1] ^ 1]))
        self.assertEqual(result.returncode, 1)
        self.assertIn("wrong bytes came back", result.stderr)

    def test_a_byte_too_many_is_found(self):
        result = self.serve_badly(lambda message: message + b"x")
        self.assertEqual(result.returncode, 1)

    def test_a_missing_byte_is_found(self):
        begin = time.monotonic()
        result = self.serve_badly(lambda message: message[:-1])
        self.assertEqual(result.returncode, 1)
        self.assertIn("in time", result.stderr)
        self.assertLess(time.monotonic() - begin, PATIENCE_S)

    def test_a_server_that_is_not_there_is_found(self):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            result = run("echo_load", "--connections", "100", "--port",
                         str(bound.getsockname()[1]))
        self.assertEqual(result.returncode, 1)
        self.assertIn("Connection refused", result.stderr)

    def test_usage(self):
        self.assert_usage("echo_load")


if __name__ == "__main__":
    main()
