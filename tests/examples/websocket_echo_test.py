"""The websocket_echo example, with a client that writes its frames by hand."""

import base64
import contextlib
import hashlib
import os
import signal
import socket
import struct
import urllib.request

from driver import PATIENCE_S, ExampleTest, Server, main, run

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    """A client. Leaving its `with` block ends the connection."""

    def __init__(self, server, path="/echo", fields=""):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
        self.stream = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16))
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n{fields}\r\n"
            .encode())
        self.status = int(self.stream.readline().split()[1])
        lines = iter(self.stream.readline, b"\r\n")
        self.fields = dict(line.decode().rstrip().split(": ", 1) for line in lines)
        self.expected = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def send(self, kind, payload):
        """Sends one frame, masked as a client must."""
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | kind, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(head + mask + masked)

    def receive(self):
        """The next frame: kind and payload."""
        kind, size = self.stream.read(2)
        if size == 126:
            size, = struct.unpack("!H", self.stream.read(2))
        elif size == 127:
            size, = struct.unpack("!Q", self.stream.read(8))
        return kind & 15, self.stream.read(size)

    def exchange(self, kind, payload):
        """Sends a frame, and returns the next one of the server."""
        self.send(kind, payload)
        return self.receive()


class WebSocketEchoTest(ExampleTest):
    def test_messages_of_many_clients_come_back(self):
        with Server("websocket_echo") as server, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(WebSocket(server)) for _ in range(30)]
            for number, client in enumerate(clients):
                self.assertEqual(client.status, 101)
                self.assertEqual(client.fields["Sec-WebSocket-Accept"], client.expected)
                client.send(BINARY, os.urandom(number) + b"end")
            for number, client in enumerate(clients):
                kind, payload = client.receive()
                self.assertEqual((kind, len(payload)), (BINARY, number + 3))
            large = b"0123456789" * 30000
            self.assertEqual(clients[0].exchange(TEXT, large), (TEXT, large))
            self.assertEqual(clients[1].exchange(PING, b"?"), (PONG, b"?"))

    def test_signals_tell_the_clients_and_end_it_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("websocket_echo") as server, WebSocket(server) as client:
                with WebSocket(server) as other:
                    self.assertEqual(client.exchange(TEXT, b"hello"), (TEXT, b"hello"))
                    os.kill(server.pid, number)
                    reason = struct.pack("!H", 1001) + b"the server stops"
                    for each in (client, other):
                        self.assertEqual(each.receive(), (CLOSE, reason))
                        each.send(CLOSE, reason[:2])
                        self.assertEqual(each.stream.read(), b"")
                        each.socket.close()
                        each.stream.close()
                self.assertEqual(server.line(PATIENCE_S), "served 2 clients, 1 messages")
                self.assertEqual(server.process.wait(PATIENCE_S), 0)

    def test_a_client_that_closes_gets_its_code_back(self):
        with Server("websocket_echo") as server, WebSocket(server) as client:
            self.assertEqual(client.exchange(CLOSE, struct.pack("!H", 4321)),
                             (CLOSE, struct.pack("!H", 4321)))
            self.assertEqual(client.stream.read(), b"")

    def test_clients_that_vanish_or_talk_nonsense_disturb_nobody(self):
        with Server("websocket_echo") as server, WebSocket(server) as client:
            for _ in range(10):
                with WebSocket(server) as rude:
                    rude.send(TEXT, b"hello")
                with WebSocket(server) as rude:
                    rude.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(client.exchange(TEXT, b"still here"), (TEXT, b"still here"))

    def test_compression_is_agreed_on_only_where_it_is_wanted(self):
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        with Server("websocket_echo", "--compress") as server:
            with WebSocket(server, fields=offer) as client:
                self.assertIn("permessage-deflate", client.fields["Sec-WebSocket-Extensions"])
            with WebSocket(server) as client:
                self.assertNotIn("Sec-WebSocket-Extensions", client.fields)

    def test_other_requests_are_answered_as_http(self):
        with Server("websocket_echo") as server:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/",
                                        timeout=PATIENCE_S) as answer:
                self.assertIn(b"new WebSocket", answer.read())
            with WebSocket(server, path="/elsewhere") as client:
                self.assertEqual(client.status, 404)

    def test_usage(self):
        self.assert_usage("websocket_echo")
        self.assertEqual(run("websocket_echo", "--port", "65536").returncode, 2)
        self.assertEqual(run("websocket_echo", "--address", "nowhere").returncode, 1)


if __name__ == "__main__":
    main()
