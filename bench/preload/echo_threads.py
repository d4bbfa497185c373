"""An echo server with a Python thread for each connection; says on which port it listens."""

import contextlib
import socket
import threading


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(ConnectionError), connection:
        while data := connection.recv(4096):
            connection.sendall(data)


def main():
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
