"""A TLS echo server with a thread for each connection. usage: ssl_server.py CERTIFICATE KEY"""
import signal
import socket
import ssl
import sys
import threading

from checks import say


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


def serve(context, connection):
    with context.wrap_socket(connection, server_side=True) as secure:
        while data := secure.recv(16384):
            secure.sendall(data)
        secure.unwrap()


def main():
    signal.signal(signal.SIGTERM, stop)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    threads = []
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        say(f"port {server.getsockname()[1]}")
        try:
            while True:
                thread = threading.Thread(target=serve, args=(context, server.accept()[0]))
                thread.start()
                threads.append(thread)
        except Stop:
            pass
    for thread in threads:
        thread.join(30)
    say(f"alive {threading.active_count() - 1}")


main()
