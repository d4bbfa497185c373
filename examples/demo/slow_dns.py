"""A name server that is slow to answer: every name is 127.0.0.1.

It answers A queries after a delay, each on its own timer so that many wait at the same time, and
all others with "no such record". It counts the names that were asked for.
"""

import socket
import struct
import threading

HEADER = struct.Struct("!HHHHHH")
TYPE_A = 1
CLASS_IN = 1
TIME_TO_LIVE_S = 1
FLAGS_ANSWER = 0x8580  # a response, authoritative, recursion desired and available
POINTER_TO_NAME = 0xC00C  # the question's name, behind the header
LARGEST_QUERY = 512


def parse_question(query):
    """The name, the type, and the bytes of a query's only question."""
    labels = []
    at = HEADER.size
    while query[at]:
        size = query[at]
        labels.append(query[at + 1 : at + 1 + size].decode("ascii").lower())
        at += 1 + size
    at += 1
    (kind,) = struct.unpack_from("!H", query, at)
    return ".".join(labels), kind, query[HEADER.size : at + 4]


def make_answer(query):
    """The response to a query, and the name that it is about."""
    name, kind, question = parse_question(query)
    (identifier,) = struct.unpack_from("!H", query)
    record = b""
    if kind == TYPE_A:
        record = struct.pack("!HHHIH", POINTER_TO_NAME, TYPE_A, CLASS_IN, TIME_TO_LIVE_S, 4)
        record += socket.inet_aton("127.0.0.1")
    header = HEADER.pack(identifier, FLAGS_ANSWER, 1, 1 if record else 0, 0, 0)
    return header + question + record, name


class SlowDns:
    """Serves on 127.0.0.1:53 in threads that end with the process."""

    def __init__(self, delay, port=53):
        self.delay = delay
        self.names = []  # of A and other queries, as they came; only ever appended to
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, client = self.socket.recvfrom(LARGEST_QUERY)
            try:
                answer, name = make_answer(query)
            except (IndexError, ValueError, struct.error):
                continue  # not a query that we understand: a name server stays silent
            self.names.append(name)
            timer = threading.Timer(self.delay, self.socket.sendto, (answer, client))
            timer.daemon = True
            timer.start()
