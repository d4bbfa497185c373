"""A server with a std::thread for each connection: 10,000 of them, and too few descriptors."""

import json
import resource
import signal
import socket
import time

import harness
from harness import check

CONNECTIONS = 10_000
ACTIVE = 200
ROUND_SECONDS = 1.0
FEW_DESCRIPTORS = 128


def start_server(at, **limits):
    server = at.start([at.program("preload_servers_echo_server")], **limits)
    return server, int(server.await_line("listening on").rpartition(":")[2])


def start_load(at, port, connections, active, size):
    command = [at.program("preload_servers_echo_load"), "--port", port, "--connections",
               connections, "--active", active, "--bytes", size, "--rotate", 1]
    load = at.start(command, is_native=True, has_input=True)
    opened = json.loads(load.await_line("opened", 60))
    check(opened["opened"] == connections, "not all connections were opened")
    return load, opened["seconds"]


def run_round(load, seconds):
    load.tell(str(seconds))
    return json.loads(load.await_line("requests", 60))


def ten_thousand(at):
    server, port = start_server(at, limits=harness.most_descriptors())
    load, opening = start_load(at, port, CONNECTIONS, ACTIVE, 64)
    at.report_threads(CONNECTIONS + 1, server.pid)
    result = run_round(load, ROUND_SECONDS)
    print(f"  {result['requests']} requests in {result['seconds']:.2f} s, p50 "
          f"{result['p50_us']:.0f} us, p99 {result['p99_us']:.0f} us; opened in {opening:.2f} s")
    check(result["requests"] > ACTIVE, "no connection was answered twice")
    load.close_input()
    load.await_end(seconds=60)
    server.stop()
    check(f"served {CONNECTIONS} connections" in server.said(), "connections were lost")


def large_messages(at):
    server, port = start_server(at)
    load, _ = start_load(at, port, 16, 16, 1 << 20)
    result = run_round(load, 0.3)
    check(result["requests"] >= 16, "too few requests")
    load.close_input()
    load.await_end()
    server.stop()


def stops_when_asked(at):
    server, port = start_server(at)
    clients = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(100)]
    for client in clients:
        client.sendall(b"hello")
        check(client.recv(5, socket.MSG_WAITALL) == b"hello", "no echo")
    server.send_signal(signal.SIGTERM)
    for client in clients:
        check(client.recv(1) == b"", "the connection was not closed")
        client.close()
    server.await_end()
    check("served 100 connections, 500 bytes" in server.said(), "the count is wrong")


def try_echo(port):
    """A connection that was answered, or None when it was refused."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    try:
        client.sendall(b"x")
        if client.recv(1) == b"x":
            return client
    except ConnectionError:
        pass
    client.close()
    return None


def runs_out_of_descriptors(at):
    server, port = start_server(at, limits={resource.RLIMIT_NOFILE: FEW_DESCRIPTORS})
    clients = [try_echo(port) for _ in range(FEW_DESCRIPTORS + 50)]
    served = [client for client in clients if client]
    check(len(served) >= FEW_DESCRIPTORS // 2, f"only {len(served)} connections were served")
    check(len(served) < FEW_DESCRIPTORS, "more connections than descriptors were served")
    for client in served:
        client.sendall(b"y")
        check(client.recv(1) == b"y", "a connection died when others were refused")
        client.close()
    end = time.monotonic() + harness.PATIENCE_SECONDS
    while not (again := try_echo(port)):
        check(time.monotonic() < end, "nothing is served after descriptors became free")
    again.close()
    server.stop()


harness.main(__doc__, {
    "ten thousand connections are answered, each by a thread of its own": ten_thousand,
    "messages larger than the sockets' buffers come back whole": large_messages,
    "SIGTERM closes the connections and ends the server": stops_when_asked,
    "a server without descriptors refuses connections and serves again later":
        runs_out_of_descriptors,
})
