#!/usr/bin/env python3
"""A small DNS server for tests, on loopback: UDP and TCP on one free port, which it prints first.

Ends when its standard input does. What it says of a name is told by the name's first label:

  both, four, six         127.0.0.1 and ::1, or only one of them
  alias                   an alias of four.test
  many                    100 addresses; over UDP only that there are too many
  empty                   known, without any address
  broken, refused         codes SERVFAIL and REFUSED
  silent                  nothing at all
  late                    127.0.0.1, after a fifth of a second
  gather-N-I              127.0.0.1, once N names of this kind have been asked for
  held-X                  10.0.0.N for the Nth question, and only once `release` is asked for
  ...list.test            the addresses that the labels before it are, in hexadecimal digits

Any other name is unknown.
"""

import ipaddress
import selectors
import socket
import struct
import sys
import time

A, CNAME, AAAA = 1, 5, 28
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5
LONGEST_UDP_ANSWER = 512

gathered = {}  # label -> answers held back
held = []  # (send, answer)
questions = {}  # label -> how many
timers = []  # (when, send, answer)


def read_question(query):
    """The labels, the type, and where the question ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return labels, struct.unpack_from("!H", query, at + 1)[0], at + 5


def encoded(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def record(kind, data, name=b"\xc0\x0c"):
    return name + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def answer_to(query, records=(), code=0, is_cut=False):
    flags = 0x8180 | (0x0200 if is_cut else 0) | code
    end = read_question(query)[2]
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return head + query[12:end] + b"".join(records)


def addresses(texts, kind):
    version = 4 if kind == A else 6
    found = [ipaddress.ip_address(text) for text in texts]
    return [record(kind, each.packed) for each in found if each.version == version]


def listed(labels):
    return [ipaddress.ip_address(bytes.fromhex(label)) for label in labels]


def send_all(answers):
    while answers:
        send, answer = answers.pop()
        send(answer)


def serve(query, send, is_udp):
    labels, kind, _ = read_question(query)
    first = labels[0]
    known = {"both": ["127.0.0.1", "::1"], "four": ["127.0.0.1"], "six": ["::1"], "empty": [],
             "many": [f"10.0.{i}.1" for i in range(100)]}
    if labels[-2:] == ["list", "test"]:
        send(answer_to(query, addresses(listed(labels[:-2]), kind)))
    elif first == "alias" and kind == A:
        target = encoded("four.test")
        four = record(A, bytes([127, 0, 0, 1]), target)
        send(answer_to(query, [record(CNAME, target), four]))
    elif first == "alias":
        send(answer_to(query, [record(CNAME, encoded("four.test"))]))
    elif first in known:
        whole = answer_to(query, addresses(known[first], kind))
        is_cut = is_udp and len(whole) > LONGEST_UDP_ANSWER
        send(answer_to(query, is_cut=True) if is_cut else whole)
    elif first in ("broken", "refused"):
        send(answer_to(query, code=SERVFAIL if first == "broken" else REFUSED))
    elif first == "late":
        answer = answer_to(query, addresses(["127.0.0.1"], kind))
        timers.append((time.monotonic() + 0.2, send, answer))
    elif first.startswith("held-") and kind == A:
        questions[first] = questions.get(first, 0) + 1
        held.append((send, answer_to(query, addresses([f"10.0.0.{questions[first]}"], kind))))
    elif first.startswith("held-"):
        send(answer_to(query))
    elif first == "release":
        send(answer_to(query, addresses(["127.0.0.1"], kind)))
        send_all(held)
    elif first.startswith("gather-"):
        gathered.setdefault(first, []).append(
            (send, answer_to(query, addresses(["127.0.0.1"], kind))))
        if len(gathered) == int(first.split("-")[1]):
            for waiting in gathered.values():
                send_all(waiting)
    elif first != "silent":
        send(answer_to(query, code=NXDOMAIN))


def both_sockets():
    """On the same port; another process may have one of the two."""
    while True:
        stream = socket.create_server(("127.0.0.1", 0))
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagram.bind(stream.getsockname())
            return stream, datagram
        except OSError:
            stream.close()
            datagram.close()


def take_stream(connection, received):
    """Answers what has come in whole; False at the end of the stream."""
    data = connection.recv(65536)
    received += data
    while len(received) >= 2:
        size = struct.unpack_from("!H", received)[0]
        if len(received) < 2 + size:
            break
        query = bytes(received[2:2 + size])
        del received[:2 + size]
        serve(query, lambda a: connection.sendall(struct.pack("!H", len(a)) + a), False)
    return bool(data)


def is_stream_served(key):
    try:
        return take_stream(key.fileobj, key.data)
    except OSError:
        return False  # a client that has given up


def take_datagram(datagram):
    query, peer = datagram.recvfrom(4096)
    serve(query, lambda answer: datagram.sendto(answer, peer), True)


def main():
    listener, datagram = both_sockets()
    print(listener.getsockname()[1], flush=True)
    selector = selectors.DefaultSelector()
    for source in (listener, datagram, sys.stdin):
        selector.register(source, selectors.EVENT_READ)
    while True:
        now = time.monotonic()
        for timer in [each for each in timers if each[0] <= now]:
            timers.remove(timer)
            timer[1](timer[2])
        wait = min((each[0] - now for each in timers), default=None)
        for key, _ in selector.select(None if wait is None else max(wait, 0)):
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ, bytearray())
            elif key.fileobj is datagram:
                take_datagram(datagram)
            elif not is_stream_served(key):
                selector.unregister(key.fileobj)
                key.fileobj.close()


if __name__ == "__main__":
    main()
