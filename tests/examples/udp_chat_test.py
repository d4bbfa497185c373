"""The udp_chat example, with peers on plain sockets."""

import contextlib
import signal
import socket
import time

from driver import PATIENCE_S, ExampleTest, Server, main, run


@contextlib.contextmanager
def peer(server):
    """A socket that talks to the server, and its name there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.connect(("127.0.0.1", server.port))
        client.settimeout(PATIENCE_S)
        yield client, f"127.0.0.1:{client.getsockname()[1]}".encode()


class UdpChatTest(ExampleTest):
    def test_a_datagram_goes_to_all_other_peers(self):
        with Server("udp_chat") as server, peer(server) as (ann, ann_name), \
                peer(server) as (bob, bob_name), peer(server) as (cem, _):
            for client in (ann, bob, cem):
                client.send(b"")
            ann.send(b"hello")
            self.assertEqual([bob.recv(2000), cem.recv(2000)], 2 * [ann_name + b": hello"])
            bob.send(b"1" * 1401)
            cut = bob_name + b": " + b"1" * 1400 + b" [cut off]\n"
            self.assertEqual([ann.recv(2000), cem.recv(2000)], 2 * [cut])

    def test_a_silent_peer_is_forgotten(self):
        with Server("udp_chat", "--idle", "0.2") as server, peer(server) as (ann, ann_name), \
                peer(server) as (bob, bob_name):
            bob.send(b"")
            ann.send(b"first")
            self.assertEqual(bob.recv(2000), ann_name + b": first")
            time.sleep(0.4)
            ann.send(b"unheard")
            bob.send(b"back")
            self.assertEqual(ann.recv(2000), bob_name + b": back")
            ann.send(b"again")
            self.assertEqual(bob.recv(2000), ann_name + b": again")

    def test_signals_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("udp_chat") as server, peer(server) as (ann, _), peer(server) as (bob, _):
                bob.send(b"")
                ann.send(b"x")
                bob.recv(2000)
                self.assertEqual(server.stop(number), 0)
                self.assertEqual(server.line(PATIENCE_S), "passed on 1 datagrams")

    def test_usage(self):
        self.assert_usage("udp_chat")
        self.assertEqual(run("udp_chat", "--idle", "soon").returncode, 2)


if __name__ == "__main__":
    main()
