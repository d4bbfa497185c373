#!/usr/bin/env python3
"""Servers written in Python, with clients from another process that runs natively."""

import hashlib
import signal
import socket
import ssl
import urllib.request

import harness
from harness import PATIENCE, check, connect, echoed, receive, together
from web_server import make_certificate


def stop(program, *patterns):
    """SIGTERM, and the program says its last words."""
    program.signal(signal.SIGTERM)
    matches = [program.line(pattern) for pattern in patterns]
    program.ends(0)
    check("Traceback" not in program.text(), "a thread of the program failed")
    return matches


def thread_per_connection(run):
    """200 clients of a thread-per-connection server get back what they sent."""
    server = run.python("echo_server.py")
    port = server.port()
    check(not run.launcher or run.is_hooked(server), "the program runs without the hooks")

    def talk(number):
        with connect(port) as connection:
            for turn in range(15):
                echoed(connection, b"%d/%d " % (number, turn) * (turn * 20 + 1))
            echoed(connection, bytes([number]) * 100_000)

    together(200, talk)
    connections = [connect(port) for _ in range(200)]
    for connection in connections:
        echoed(connection, b"still here")
    run.show_threads(server, 201)
    for connection in connections:
        connection.close()
    stop(server, r"^served 400 alive 0$")


def idle_connections(run):
    """1,000 idle connections have a thread each, and another client is served beside them."""
    server = run.python("echo_server.py")
    port = server.port()
    idle = [connect(port) for _ in range(1000)]
    for number, connection in enumerate(idle):
        echoed(connection, b"%d" % number)
    with connect(port) as active:
        for number in range(200):
            echoed(active, b"%d" % number * 10)
        run.show_threads(server, 1002)
    for number, connection in enumerate(reversed(idle)):
        echoed(connection, b"again %d" % number)
    for connection in idle:
        connection.close()
    stop(server, r"^served 1001 alive 0$")


def socketserver_servers(run):
    """ThreadingTCPServer and ThreadingUDPServer answer 50 clients at once."""
    server = run.python("socketserver_servers.py")
    tcp, udp = server.port(), server.port()
    connections = [connect(tcp) for _ in range(50)]

    def lines(number):
        with connections[number] as connection, connection.makefile("rwb") as file:
            for turn in range(10):
                file.write(b"line %d of %d\n" % (turn, number))
                file.flush()
                check(file.readline() == (b"line %d of %d" % (turn, number))[::-1] + b"\n",
                      "an answer is wrong")

    def datagram(number):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", udp))
            client.settimeout(PATIENCE)
            client.send(b"datagram %d" % number)
            check(client.recv(100) == b"DATAGRAM %d" % number, "an answer is wrong")

    # The datagrams are answered when all have come and the threads were counted.
    def count(_):
        threads = int(server.line(r"^threads (\d+)$")[1])
        check(threads >= 53, "only", threads, "threads")
        run.show_threads(server, threads)
        server.say("go")

    together(51, lambda number: datagram(number) if number < 50 else count(number))
    together(50, lines)
    stop(server, r"^alive 0$")


def http_server(run):
    """ThreadingHTTPServer serves 50 clients of its own process and 50 from outside."""
    server = run.python("http_server.py")
    threads = int(server.line(r"^threads (\d+)$")[1])
    check(threads >= 102, "only", threads, "threads")
    run.show_threads(server, threads)
    server.say("go")
    base = f"http://127.0.0.1:{server.port()}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def client(number):
        for size in (number, 2000 + number):
            with opener.open(f"{base}/{size}", timeout=PATIENCE) as answer:
                check(answer.read() == b"%d," % size * size, "a page is wrong")
        body = bytes([number]) * 200_000
        with opener.open(base, body, timeout=PATIENCE) as answer:
            check(answer.read().decode() == hashlib.sha256(body).hexdigest(), "a post is wrong")

    together(50, client)
    stop(server, r"^alive 0$")


def event_loops(run):
    """Servers around epoll, select, poll and edge-triggered epoll echo in threads of a process."""
    server = run.python("event_loops.py")
    ports = [server.port() for _ in range(4)]
    run.show_threads(server, int(server.line(r"^threads (5)$")[1]))
    server.say("go")

    def talk(number):
        with connect(ports[number % 4]) as connection:
            for turn in range(20):
                echoed(connection, b"%d/%d " % (number, turn) * (turn * 40 + 1))

    together(120, talk)
    stop(server, r"^alive 0$")


def asyncio_server(run):
    """An asyncio server hands its work to executor threads and answers 100 clients."""
    server = run.python("asyncio_server.py")
    run.show_threads(server, int(server.line(r"^threads (21)$")[1]))
    server.say("go")
    port = server.port()

    def talk(number):
        with connect(port) as connection:
            for turn in range(5):
                line = b"%d/%d" % (number, turn)
                connection.sendall(line + b"\n")
                check(receive(connection, 65).strip().decode() == hashlib.sha256(line).hexdigest(),
                      "an answer is wrong")

    together(100, talk)
    stop(server, r"^alive 0$")


def ssl_server(run):
    """A TLS server in threads is what its certificate says, and echoes to 50 clients."""
    certificate, key = make_certificate(run)
    server = run.python("ssl_server.py", certificate, key)
    port = server.port()
    context = ssl.create_default_context(cafile=certificate)

    def dial(_):
        return context.wrap_socket(connect(port), server_hostname="localhost")

    connections = together(120, dial)
    for connection in connections:
        connection.sendall(b"hello")
        check(receive(connection, 5) == b"hello", "the answer is wrong")
    run.show_threads(server, 121)

    def talk(number):
        connection = connections[number]
        for turn in range(20):
            data = bytes([number]) * (turn * 500 + 1)
            connection.sendall(data)
            check(receive(connection, len(data)) == data, "what came back is not what was sent")
        connection.unwrap().close()

    together(120, talk)
    stop(server, r"^alive 0$")


if __name__ == "__main__":
    harness.main(thread_per_connection, idle_connections, socketserver_servers, http_server,
                 event_loops, asyncio_server, ssl_server)
