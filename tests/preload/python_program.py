"""A tour of what blocks in CPython; prints one line for each stop, the same in every run."""
import concurrent.futures
import os
import queue
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time


def echo_over_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(1000):
                    connection.sendall(data)
        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"x" * 100_000)
            client.shutdown(socket.SHUT_WR)
            total = 0
            while data := client.recv(4096):
                total += len(data)
        thread.join()
    return total


def time_out_of_a_socket():
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(0.02)
        try:
            left.recv(1)
        except TimeoutError:
            return "timed out"


def wait_by_select():
    left, right = socket.socketpair()
    with left, right, selectors.DefaultSelector() as selector:
        before = select.select([left], [], [], 0.01)[0]
        selector.register(left, selectors.EVENT_READ)
        right.send(b"x")
        return len(before), len(selector.select(1)), len(select.select([left], [], [], 1)[0])


def processes():
    run = subprocess.run(["sh", "-c", "tr a-z A-Z; exit 5"], input=b"shout", capture_output=True)
    parent, child = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(child, b"from the child")
        os._exit(4)
    text = os.read(parent, 100)
    return run.stdout, run.returncode, text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def threads():
    numbers = queue.Queue(2)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        doubled = pool.map(lambda n: (time.sleep(0.001), 2 * n)[1], range(50))
        producer = threading.Thread(target=lambda: [numbers.put(n) for n in range(100)])
        producer.start()
        got = sum(numbers.get() for _ in range(100))
        producer.join()
        return sum(doubled), got


def files():
    with tempfile.TemporaryFile() as file:
        os.pwrite(file.fileno(), b"abcdef", 0)
        os.fsync(file.fileno())
        file.seek(2)
        return file.read(), os.pread(file.fileno(), 2, 1)


def signals():
    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(0.2)
        try:
            left.recv(1)
        except TimeoutError:
            seen.append("timed out")
    return seen


def names():
    return socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4]


for stop in (echo_over_tcp, time_out_of_a_socket, wait_by_select, processes, threads, files,
             signals, names):
    print(f"{stop.__name__}: {stop()}", flush=True)
print("all done")
sys.exit(0)
