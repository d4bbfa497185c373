"""The demo's fourth step: a program of many threads under `coir run`, as it is."""

import contextlib
import os
import socket
import sys
import time

from children import Child, require
from fetching import HERE, START_PATIENCE_S, parse_count, say

CLIENTS = 200
ROUNDS = 5
MESSAGE_BYTES = 512
WORKERS = 2
# Two that run fibers, the monitor, and what stands in for one that is stuck. CLIENTS threads of the
# kernel would be far more.
KERNEL_THREADS_MAX = 20
ANSWER_PATIENCE_S = 20


def receive(connection, size):
    """That many bytes, or fewer when the stream ends."""
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def use(port):
    """Keeps CLIENTS connections open and checks each answer; how many bytes came back."""
    checked = 0
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), ANSWER_PATIENCE_S))
            for _ in range(CLIENTS)
        ]
        for _ in range(ROUNDS):
            messages = [os.urandom(MESSAGE_BYTES) for _ in connections]
            for connection, message in zip(connections, messages):
                connection.sendall(message)
            for connection, message in zip(connections, messages):
                require(receive(connection, len(message)) == message, "an answer is wrong")
                checked += len(message)
    return checked


def threads_as_fibers(launcher):
    """Returns a row's figures: bytes verified, wall time, the program's threads, the kernel's."""
    say(f"threads: a Python server with a thread for each of {CLIENTS} clients, under coir run")
    program = [sys.executable, "-B", str(HERE / "threaded_echo.py")]
    with Child([launcher, "run", f"--workers={WORKERS}", "--mode=fiber", "--", *program]) as server:
        port = parse_count(server.line(START_PATIENCE_S), r"listening on port (\d+)")
        begin = time.monotonic()
        checked = use(port)
        seconds = time.monotonic() - begin
        require(server.stop() == 0, "threaded_echo.py did not end cleanly")
        threads = parse_count(server.line(START_PATIENCE_S), r"threads (\d+)")
        kernel_threads = server.most_threads()
    say(f"    {threads} threads of the program ran on {kernel_threads} kernel threads")
    require(threads == CLIENTS + 1, f"the program had {threads} threads")
    require(kernel_threads <= KERNEL_THREADS_MAX, f"{kernel_threads} kernel threads were used")
    return {"bytes": checked, "seconds": seconds, "threads": threads, "kernel": kernel_threads}
