"""Echo servers around selectors' classes, poll and an edge-triggered epoll, each in a thread."""
import os
import select
import selectors
import signal
import socket
import threading

from checks import check, peak, say


def echo(connection):
    """What there is to read goes back. False at the end of the connection."""
    try:
        data = connection.recv(65536)
    except BlockingIOError:
        return True
    connection.setblocking(True)
    connection.sendall(data)
    connection.setblocking(False)
    return bool(data)


def selector_loop(kind, server, stop):
    with kind() as selector:
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ, "server")
        selector.register(stop, selectors.EVENT_READ, "stop")
        while True:
            for key, _ in selector.select(60):
                if key.data == "stop":
                    return
                if key.data == "server":
                    connection, _ = server.accept()
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ, "connection")
                elif not echo(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def edge_loop(server, stop):
    """With edges everything has to be taken before the next wait."""
    connections = {}
    server.setblocking(False)
    with select.epoll() as epoll:
        epoll.register(server, select.EPOLLIN | select.EPOLLET)
        epoll.register(stop, select.EPOLLIN)
        while True:
            for descriptor, _ in epoll.poll(60):
                if descriptor == stop:
                    return
                if descriptor == server.fileno():
                    take_all(server, epoll, connections)
                else:
                    drain(connections, descriptor)


def take_all(server, epoll, connections):
    while True:
        try:
            connection, _ = server.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        connections[connection.fileno()] = connection
        epoll.register(connection, select.EPOLLIN | select.EPOLLET)


def drain(connections, descriptor):
    connection = connections[descriptor]
    while True:
        try:
            data = connection.recv(4096)
        except BlockingIOError:
            return
        if not data:
            del connections[descriptor]
            connection.close()
            return
        connection.setblocking(True)
        connection.sendall(data)
        connection.setblocking(False)


def main():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    reader, writer = os.pipe()
    threads = []
    kinds = (selectors.DefaultSelector, selectors.SelectSelector, selectors.PollSelector)
    for kind in (*kinds, None):
        server = socket.create_server(("127.0.0.1", 0), backlog=256)
        say(f"port {server.getsockname()[1]}")
        loop = (edge_loop, (server, reader)) if kind is None else (
            selector_loop, (kind, server, reader))
        threads.append(threading.Thread(target=loop[0], args=loop[1]))
        threads[-1].start()
    peak()
    stop.wait()
    os.write(writer, b"x")
    for thread in threads:
        thread.join(30)
    check(threading.active_count() == 1, "a loop did not end")
    say("alive 0")


main()
