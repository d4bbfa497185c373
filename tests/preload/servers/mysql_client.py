"""A client of MariaDB's protocol, as small as a test needs it: log in without a password, ask.

It is here because 1,000 connections from one test are too many for the command line client, and a
benchmark tool does not look at the answers.
"""

import contextlib
import socket
import struct

PATIENCE_SECONDS = 30

_CLIENT_LONG_PASSWORD = 0x1
_CLIENT_PROTOCOL_41 = 0x200
_CLIENT_TRANSACTIONS = 0x2000
_CLIENT_SECURE_CONNECTION = 0x8000
_CLIENT_PLUGIN_AUTH = 0x80000
_CAPABILITIES = (_CLIENT_LONG_PASSWORD | _CLIENT_PROTOCOL_41 | _CLIENT_TRANSACTIONS
                 | _CLIENT_SECURE_CONNECTION | _CLIENT_PLUGIN_AUTH)
_PACKET_BYTES_MAX = 1 << 24
_UTF8MB4 = 45
_QUERY = b"\x03"
_QUIT = b"\x01"


class ServerError(Exception):
    """What the server answered instead of a result; `number` is its error number."""

    def __init__(self, packet):
        self.number = struct.unpack_from("<H", packet, 1)[0]
        super().__init__(f"error {self.number}: {packet[9:].decode(errors='replace')}")


class Connection:
    """One logged-in connection. Every wait for an answer ends with TimeoutError at the latest."""

    def __init__(self, port, user, seconds=PATIENCE_SECONDS):
        self._socket = socket.create_connection(("127.0.0.1", port), seconds)
        self._file = self._socket.makefile("rb")
        self._sequence = 0
        try:
            self.number = self._log_in(user)
        except BaseException:
            self.close()
            raise

    def _log_in(self, user):
        """Returns the number by which the server knows the connection."""
        greeting = self._packet()
        end = greeting.index(b"\0", 1)
        number = struct.unpack_from("<I", greeting, end + 1)[0]
        self._send(struct.pack("<IIB23x", _CAPABILITIES, _PACKET_BYTES_MAX, _UTF8MB4)
                   + user.encode() + b"\0" + b"\0" + b"mysql_native_password\0")
        answer = self._packet()
        if answer[:1] == b"\xfe":  # asks for the password again, by a plugin it names
            self._send(b"")
            answer = self._packet()
        return number

    def _packet(self):
        head = self._file.read(4)
        if len(head) < 4:
            raise ConnectionError("the server has closed the connection")
        size = int.from_bytes(head[:3], "little")
        self._sequence = (head[3] + 1) % 256
        body = self._file.read(size)
        if len(body) < size:
            raise ConnectionError("the server has closed the connection within an answer")
        if body[:1] == b"\xff":
            raise ServerError(body)
        return body

    def _send(self, body):
        self._socket.sendall(len(body).to_bytes(3, "little") + bytes([self._sequence]) + body)

    def send_query(self, text):
        """Asks, without waiting for the answer."""
        self._sequence = 0
        self._send(_QUERY + text.encode())

    def answer(self):
        """The rows that the query sent before has brought, as lists of strings."""
        first = self._packet()
        if first[:1] == b"\x00":
            return []
        for _ in range(first[0]):  # what the columns are called; fewer than 251 of them
            self._packet()
        self._packet()  # the end of the columns
        rows = []
        while (packet := self._packet())[:1] != b"\xfe" or len(packet) >= 9:
            rows.append(_row(packet))
        return rows

    def query(self, text):
        """Asks, and returns the rows."""
        self.send_query(text)
        return self.answer()

    def close(self):
        """Says good-bye and closes."""
        with contextlib.suppress(OSError):
            self._sequence = 0
            self._send(_QUIT)
        self._file.close()
        self._socket.close()


def _row(packet):
    values, at = [], 0
    while at < len(packet):
        size = packet[at]
        at += 1
        if size == 0xfb:
            values.append(None)
            continue
        if size >= 0xfc:
            width = {0xfc: 2, 0xfd: 3, 0xfe: 8}[size]
            size = int.from_bytes(packet[at:at + width], "little")
            at += width
        values.append(packet[at:at + size].decode())
        at += size
    return values
