"""An echo server with a thread for each connection. SIGTERM ends it when its clients are gone."""
import signal
import socket
import threading

from checks import say


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


def serve(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def main():
    signal.signal(signal.SIGTERM, stop)
    threads = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        say(f"port {server.getsockname()[1]}")
        try:
            while True:
                connection, _ = server.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=serve, args=(connection,))
                thread.start()
                threads.append(thread)
        except Stop:
            pass
    for thread in threads:
        thread.join(30)
    say(f"served {len(threads)} alive {threading.active_count() - 1}")


main()
