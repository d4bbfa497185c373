#!/usr/bin/env python3
"""memcached with four threads, and clients that speak its text protocol."""

import os
import pathlib
import signal

import harness
from harness import await_true, check, connect, together

THREADS = 10  # main, four that serve, and five that look after memory and logs


class Client:
    """memcached's text protocol over a socket, as much of it as is needed here."""

    def __init__(self, port):
        self.socket = connect(port)
        self.file = self.socket.makefile("rb")

    def line(self):
        line = self.file.readline()
        check(line.endswith(b"\r\n"), "the connection ended")
        return line[:-2]

    def ask(self, command):
        self.socket.sendall(command + b"\r\n")
        return self.line()

    def set(self, key, value, verb=b"set"):
        self.socket.sendall(b"%s %s 7 0 %d\r\n%s\r\n" % (verb, key, len(value), value))
        return self.line()

    def get(self, *keys):
        self.socket.sendall(b"get " + b" ".join(keys) + b"\r\n")
        found = {}
        while (head := self.line()) != b"END":
            _, key, flags, size = head.split()
            check(flags == b"7", "the flags are lost")
            found[key] = self.file.read(int(size))
            check(self.file.read(2) == b"\r\n", "a value has another size")
        return found

    def stats(self):
        self.socket.sendall(b"stats\r\n")
        found = {}
        while (line := self.line()) != b"END":
            _, name, value = line.split(maxsplit=2)
            found[name.decode()] = value.decode()
        return found

    def close(self):
        self.file.close()
        self.socket.close()


def start(run, *settings):
    harness.need("memcached")
    port_file = pathlib.Path(run.folder, "port")
    port_file.unlink(missing_ok=True)
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    if user:
        os.chmod(run.folder, 0o777)
    server = run.start("memcached", "-l", "127.0.0.1", "-p", "-1", "-U", "0", "-t", "4", *settings,
                       *user, MEMCACHED_PORT_FILENAME=str(port_file))
    await_true(port_file.exists, "the server has a port")
    return server, int(port_file.read_text(encoding="utf-8").split("TCP INET: ")[1].split()[0])


def memcached(run):
    """memcached -t 4 keeps what 200 connections store, counts them, and ends on SIGTERM."""
    server, port = start(run, "-c", "2000")
    clients = [Client(port) for _ in range(200)]

    def talk(me):
        client = clients[me]
        for number in range(20):
            key, value = b"key:%d:%d" % (me, number), b"%d/%d " % (me, number) * (number * 10 + 1)
            check(client.set(key, value) == b"STORED", "set")
            check(client.get(key) == {key: value}, "get")
        mine = {b"key:%d:%d" % (me, n): b"%d/%d " % (me, n) * (n * 10 + 1) for n in range(20)}
        check(client.get(*mine) == mine, "many at once")
        check(client.set(b"key:%d:0" % me, b"x", b"add") == b"NOT_STORED", "add")
        check(client.ask(b"delete key:%d:1" % me) == b"DELETED", "delete")
        check(client.get(b"key:%d:1" % me) == {}, "a deleted key is there")
        if me == 0:
            check(client.set(b"counter", b"0") == b"STORED", "the counter")
        return True

    check(all(together(200, talk)), "a client failed")
    together(200, lambda me: [clients[me].ask(b"incr counter 1") for _ in range(50)])
    check(clients[0].get(b"counter") == {b"counter": b"10000"}, clients[0].get(b"counter"))
    stats = clients[7].stats()
    check(int(stats["curr_connections"]) >= 200, stats)
    check(stats["threads"] == "4" and int(stats["cmd_set"]) == 200 * 21 + 1 and
          int(stats["curr_items"]) == 200 * 19 + 1, stats)
    run.show_threads(server, THREADS)
    for client in clients:
        client.close()
    watcher = Client(port)
    await_true(lambda: int(watcher.stats()["curr_connections"]) < 20, "the connections are closed")
    watcher.close()
    server.signal(signal.SIGTERM)
    server.ends(0)


def memcached_big_values(run):
    """memcached takes values of megabytes, drops old ones when it is full, and ends on SIGINT."""
    server, port = start(run, "-I", "4m", "-m", "64")
    check(not run.launcher or run.is_hooked(server), "the program runs without the hooks")

    def talk(me):
        client = Client(port)
        for number in range(4):
            key, value = b"big:%d:%d" % (me, number), bytes([me, number]) * 1_500_000
            check(client.set(key, value) == b"STORED", "set")
            found = client.get(key)
            check(not found or found == {key: value}, "another value came back")
        client.close()

    together(10, talk)
    client = Client(port)
    check(client.set(b"too big", b"x") != b"STORED", "a key with a space in it")
    client.close()
    client = Client(port)
    check(client.set(b"large", b"x" * (5 << 20)).startswith(b"SERVER_ERROR object too large"),
          "a value that is too large")
    check(client.set(b"small", b"y") == b"STORED" and client.get(b"small") == {b"small": b"y"},
          "the connection is spoilt")
    stats = client.stats()
    check(int(stats["evictions"]) > 0 and int(stats["bytes"]) <= 64 << 20, stats)
    check(client.ask(b"flush_all") == b"OK" and client.get(b"small") == {}, "flush_all")
    client.socket.sendall(b"quit\r\n")
    check(client.socket.recv(1) == b"", "quit")
    client.close()
    run.show_threads(server, THREADS)
    server.signal(signal.SIGINT)
    server.ends(0)


if __name__ == "__main__":
    harness.main(memcached, memcached_big_values)
