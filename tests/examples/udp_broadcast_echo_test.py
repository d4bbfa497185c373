"""The udp_broadcast_echo example."""

import contextlib
import signal
import socket

from driver import PATIENCE_S, ExampleTest, Server, main, run

BROADCAST = "127.255.255.255"


@contextlib.contextmanager
def client_socket():
    """A plain UDP socket that may broadcast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.settimeout(PATIENCE_S)
        yield client


class UdpBroadcastEchoTest(ExampleTest):
    def test_a_broadcast_is_answered(self):
        with Server("udp_broadcast_echo") as server, client_socket() as client:
            for message in (b"hello", b"", b"x" * 60000):
                client.sendto(message, (BROADCAST, server.port))
                self.assertEqual(client.recv(65536), message)

    def test_a_datagram_to_one_address_is_answered(self):
        with Server("udp_broadcast_echo", "--address", "127.0.0.1") as server:
            with client_socket() as client:
                client.sendto(b"you", ("127.0.0.1", server.port))
                self.assertEqual(client.recvfrom(100), (b"you", ("127.0.0.1", server.port)))

    def test_everybody_answers_one_question(self):
        with Server("udp_broadcast_echo") as first:
            port = str(first.port)
            with Server("udp_broadcast_echo", "--port", port):
                result = run("udp_broadcast_echo", "--ask", "who is there?", "--port", port)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.count(f"127.0.0.1:{port}: who is there?\n"), 2)
        self.assertEqual(result.stdout.splitlines()[-1], "2 answers")

    def test_nobody_there_is_status_one(self):
        with client_socket() as bound:
            bound.bind(("127.0.0.1", 0))  # a port where no server can be
            port = str(bound.getsockname()[1])
            result = run("udp_broadcast_echo", "--ask", "hello", "--port", port, "--wait", "0.1")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "0 answers\n")

    def test_signals_end_the_server_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("udp_broadcast_echo") as server, client_socket() as client:
                client.sendto(b"one", (BROADCAST, server.port))
                client.recv(100)
                self.assertEqual(server.stop(number), 0)
                self.assertEqual(server.line(PATIENCE_S), "answered 1 datagrams")

    def test_usage(self):
        self.assert_usage("udp_broadcast_echo")
        self.assertEqual(run("udp_broadcast_echo", "--ask", "whom?").returncode, 2)


if __name__ == "__main__":
    main()
