#!/usr/bin/env python3
"""redis-server with and without threads for its connections, and the clients that come with it."""

import re
import signal

import harness
from harness import await_true, check, connect, together

HELPERS = 4  # the main thread and three for what blocks, in every redis-server


class Client:
    """Redis' protocol over a socket, as much of it as is needed here."""

    def __init__(self, port):
        self.socket = connect(port)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) +
                            b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def answer(self):
        line = self.file.readline()
        check(line.endswith(b"\r\n"), "the connection ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"$":
            if rest == b"-1":
                return None
            return self.file.read(int(rest) + 2)[:-2]
        check(kind != b"-", "an error:", rest)
        return int(rest) if kind == b":" else rest

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def info(self, field):
        found = re.search(rb"^%s:(.*?)\r?$" % field.encode(), self.ask("info", "all"), re.MULTILINE)
        return found[1].decode()

    def close(self):
        self.file.close()
        self.socket.close()


def start(run, port, *settings):
    harness.need("redis-server", "redis-cli", "redis-benchmark")
    server = run.start("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", run.folder,
                       "--save", "", "--appendonly", "no", "--daemonize", "no", *settings)
    server.line("Ready to accept connections")
    check(not run.launcher or run.is_hooked(server), "the program runs without the hooks")
    return server


def use_by_many_clients(port):
    """100 connections, each with commands one by one and many at once."""
    def talk(me):
        client = Client(port)
        for number in range(20):
            check(client.ask("set", f"key:{me}:{number}", f"{me}-{number}") == b"OK", "set")
            check(client.ask("get", f"key:{me}:{number}") == b"%d-%d" % (me, number), "get")
        for _ in range(100):
            client.send("incr", "counter")
        check(all(isinstance(client.answer(), int) for _ in range(100)), "incr")
        client.close()

    together(100, talk)
    client = Client(port)
    check(client.ask("get", "counter") == b"10000", "increments were lost")
    check(client.ask("dbsize") == 2001, "keys:", client.ask("dbsize"))
    big = bytes(range(256)) * 20_000
    check(client.ask("set", "big", big) == b"OK" and client.ask("get", "big") == big, "5 MB")
    client.close()


def use_pub_sub(run, port):
    """What is published comes to every subscriber, in order."""
    subscribers = [Client(port) for _ in range(30)]
    for subscriber in subscribers:
        check(subscriber.ask("subscribe", "news") == [b"subscribe", b"news", 1], "subscribe")
    listener = run.start("redis-cli", "-p", port, "subscribe", "news")
    publisher = Client(port)
    await_true(lambda: publisher.ask("pubsub", "numsub", "news") == [b"news", 31], "31 subscribers")
    for number in range(50):
        check(publisher.ask("publish", "news", number) == 31, "receivers")

    def listen(me):
        for number in range(50):
            check(subscribers[me].answer() == [b"message", b"news", b"%d" % number], "a message")
        subscribers[me].close()

    together(len(subscribers), listen)
    listener.line("^49$")
    listener.signal(signal.SIGINT)
    listener.ends(-signal.SIGINT)
    publisher.close()


def use_redis_clients(run, port):
    """redis-cli and redis-benchmark, the latter with threads of its own."""
    check(run.output("redis-cli", "-p", port, "ping") == "PONG\n", "ping")
    many = "".join(f"set piped:{n} {n}\n" for n in range(500)) + "mget piped:7 piped:499\n"
    check(run.output("redis-cli", "-p", port, text=many).split() == ["OK"] * 500 + ["7", "499"],
          "redis-cli")
    client = Client(port)
    client.ask("config", "resetstat")
    for how in ((), ("--threads", "2"), ("--threads", "2", "-P", "16")):
        text = run.output("redis-benchmark", "-p", port, "-n", "4000", "-c", "50", "-t",
                          "set,get,lpush", "-q", *how)
        speeds = re.findall(r"^(SET|GET|LPUSH)[^\r\n]*: ([0-9.]+) requests per second",
                            text.replace("\r", "\n"), re.MULTILINE)
        check([name for name, _ in speeds] == ["SET", "GET", "LPUSH"], "redis-benchmark:", text)
    calls = {name: int(re.match(r"calls=(\d+)", client.info(f"cmdstat_{name}"))[1])
             for name in ("set", "get", "lpush")}
    check(all(12000 <= count <= 13000 for count in calls.values()), "commands that came:", calls)
    client.close()


def save_and_start_again(run, server, port, *settings):
    """BGSAVE forks; who starts from its file finds everything."""
    client = Client(port)
    before = client.ask("debug", "digest")
    check(client.ask("bgsave") == b"Background saving started", "bgsave")
    await_true(lambda: client.info("rdb_bgsave_in_progress") == "0", "the file is written")
    check(client.info("rdb_last_bgsave_status") == "ok", "the file was not written")
    client.close()
    run.output("redis-cli", "-p", port, "shutdown", "nosave")
    server.ends(0)
    server = start(run, port, *settings)
    client = Client(port)
    check(client.ask("debug", "digest") == before, "another database came back")
    check(client.ask("flushall", "async") == b"OK" and client.ask("dbsize") == 0, "flushall")
    client.close()
    return server


def use(run, threads, *settings):
    port = harness.free_port()
    settings = ("--enable-debug-command", "yes", *settings)
    server = start(run, port, *settings)
    use_by_many_clients(port)
    use_pub_sub(run, port)
    use_redis_clients(run, port)
    run.show_threads(server, threads)
    server = save_and_start_again(run, server, port, *settings)
    server.signal(signal.SIGTERM)
    server.line("bye bye")
    server.ends(0)


def redis(run):
    """redis-server keeps what 100 clients store, publishes, saves, starts again and ends."""
    use(run, HELPERS)


def redis_io_threads(run):
    """redis-server that reads and writes with two threads answers the same."""
    port = harness.free_port()
    server = start(run, port, "--io-threads", "2", "--io-threads-do-reads", "yes")
    clients = [Client(port) for _ in range(50)]

    def flood():
        """All clients at once send so much that it pays to share it; then all answers are read."""
        for client in clients:
            for number in range(20):
                client.send("set", f"flood:{number}", "x" * 1000)
                client.send("get", f"flood:{number}")
        for client in clients:
            check([client.answer() for _ in range(40)] == [b"OK", b"x" * 1000] * 20, "an answer")
        return (int(clients[0].info("io_threaded_reads_processed")) > 0 and
                int(clients[0].info("io_threaded_writes_processed")) > 0)

    await_true(flood, "the threads were used")
    for client in clients:
        client.close()
    server.signal(signal.SIGINT)
    server.ends(0)
    use(run, HELPERS + 1, "--io-threads", "2", "--io-threads-do-reads", "yes")


if __name__ == "__main__":
    harness.main(redis, redis_io_threads)
