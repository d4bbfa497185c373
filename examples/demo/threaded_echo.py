"""An echo server with a thread for each connection, as a program that knows nothing of coir.

usage: threaded_echo.py

Prints its port, and after SIGTERM or SIGINT how many threads of its own it had at most at once.
"""

import signal
import socket
import threading

WAITING_CLIENTS = 1000


class Stop(Exception):
    """A signal has asked for the end."""


def stop(*_):
    """Leaves the loop of main."""
    raise Stop


def echo(connection):
    """Sends back what comes, to the end."""
    with connection:
        while data := connection.recv(4096):
            connection.sendall(data)


def main():
    most_threads = 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=WAITING_CLIENTS) as listener:
            print("listening on port", listener.getsockname()[1], flush=True)
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=echo, args=(connection,), daemon=True).start()
                most_threads = max(most_threads, threading.active_count())
    except Stop:
        print("threads", most_threads, flush=True)


if __name__ == "__main__":
    main()
