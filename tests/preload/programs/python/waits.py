"""Waits for descriptors in threads: pipes, poll, epoll, and sockets with timeouts."""
import os
import select
import socket
import threading
import time

from checks import Took, check, peak, run, together


def a_reader_wakes_when_the_other_end_of_its_pipe_is_closed():
    def work(_):
        reader, writer = os.pipe()
        got = []
        thread = threading.Thread(target=lambda: got.append(os.read(reader, 10)))
        thread.start()
        time.sleep(0.02)
        os.close(writer)
        thread.join(60)
        check(got == [b""], "read:", got)
        os.close(reader)

    together(50, work)


def a_reader_keeps_its_pipe_when_another_thread_closes_it():
    """As the kernel has it: who reads already, gets what is written. If the reader is so slow that
    the number is closed before it reads, it is tried again with more patience."""
    for patience in (0.05, 0.2, 0.8, 3.2):
        reader, writer = os.pipe()
        got = []

        def read(reader=reader, got=got):
            try:
                got.append(os.read(reader, 10))
            except OSError as error:
                got.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        time.sleep(patience)
        os.close(reader)
        time.sleep(0.05)
        if thread.is_alive():
            os.write(writer, b"after all")
        thread.join(60)
        os.close(writer)
        if got == [b"after all"]:
            return
    check(False, "read:", got)


def many_threads_read_one_pipe():
    reader, writer = os.pipe()
    got, lock = [], threading.Lock()

    def work(me):
        if me == 100:
            time.sleep(0.05)
            peak()
            for number in range(200):
                os.write(writer, bytes([number]))
            os.close(writer)
            return
        while data := os.read(reader, 1):
            with lock:
                got.append(data[0])

    together(101, work)
    os.close(reader)
    check(sorted(got) == list(range(200)), "bytes that came:", len(got))


def a_full_pipe_makes_its_writer_wait():
    reader, writer = os.pipe()
    data = os.urandom(1 << 20)

    def write():
        sent = 0
        while sent < len(data):
            sent += os.write(writer, data[sent:])
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.02)
    got = bytearray()
    while piece := os.read(reader, 10_000):
        got += piece
    thread.join(60)
    os.close(reader)
    check(got == data, "what came is not what was written")


def timeouts_of_sockets_are_kept():
    def receive():
        left, right = socket.socketpair()
        with left, right:
            left.settimeout(0.2)
            with Took(0.2, raises=TimeoutError):
                left.recv(1)
            right.send(b"x")
            check(left.recv(1) == b"x", "the socket is spoilt")

    def accept():
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.2)
            with Took(0.2, raises=TimeoutError):
                server.accept()
            with socket.create_connection(server.getsockname(), 60):
                server.accept()[0].close()

    def connect():
        # Where a backlog is full, nobody answers.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(server.getsockname())
            with socket.socket() as late:
                late.settimeout(0.2)
                with Took(0.2, raises=TimeoutError):
                    late.connect(server.getsockname())
            for filler in fillers:
                filler.close()

    def send():
        left, right = socket.socketpair()
        with left, right:
            left.settimeout(0.2)
            with Took(0.2, raises=TimeoutError):
                while True:
                    left.send(b"x" * 65536)

    def datagram():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(0.2)
            with Took(0.2, raises=TimeoutError):
                receiver.recvfrom(10)

    def of_the_kernel():
        """SO_RCVTIMEO, which the kernel keeps, not Python."""
        left, right = socket.socketpair()
        with left, right:
            left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO,
                            (0).to_bytes(8, "little") + (200_000).to_bytes(8, "little"))
            with Took(0.2, raises=BlockingIOError):
                left.recv(1)

    kinds = (receive, accept, connect, send, datagram, of_the_kernel)
    together(4 * len(kinds), lambda n: kinds[n % len(kinds)]())


def a_connect_to_nobody_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    def work(_):
        try:
            socket.create_connection(("127.0.0.1", port), 60).close()
        except ConnectionRefusedError:
            return
        check(False, "somebody answered")

    together(20, work)


def select_poll_and_epoll_keep_their_timeouts_and_see_what_comes():
    def with_select(reader):
        return lambda timeout: select.select([reader], [], [], timeout)[0]

    def with_poll(reader):
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        return lambda timeout: poll.poll(timeout * 1000)

    def with_epoll(reader):
        epoll = select.epoll()
        epoll.register(reader, select.EPOLLIN)
        return epoll.poll

    def work(kind):
        left, right = socket.socketpair()
        with left, right:
            wait = kind(left)
            with Took(0.2):
                check(not wait(0.2), "there was something")
            check(not wait(0), "there was something")
            later = threading.Timer(0.05, right.send, (b"x",))
            later.start()
            check(len(wait(60)) == 1, "nothing came")
            later.join(60)
            check(len(wait(0)) == 1, "it is gone")

    kinds = (with_select, with_poll, with_epoll)
    together(15, lambda n: work(kinds[n % 3]))


def edges_are_told_once_and_one_shots_only_when_armed():
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right, select.epoll() as epoll:
        epoll.register(left, select.EPOLLIN | select.EPOLLET)
        right.send(b"one")
        check(epoll.poll(60) == [(left.fileno(), select.EPOLLIN)], "the edge was not told")
        check(epoll.poll(0.05) == [], "the edge was told twice")
        check(left.recv(1) == b"o" and epoll.poll(0.05) == [], "what is left is no edge")
        right.send(b"two")
        check(len(epoll.poll(60)) == 1 and left.recv(10) == b"netwo", "the next edge")
        epoll.modify(left, select.EPOLLIN | select.EPOLLONESHOT)
        right.send(b"x")
        check(len(epoll.poll(60)) == 1 and epoll.poll(0.05) == [], "a one-shot was told twice")
        epoll.modify(left, select.EPOLLIN | select.EPOLLONESHOT)
        check(len(epoll.poll(60)) == 1, "an armed one-shot was not told")


def threads_that_share_an_epoll_get_each_event_once():
    pairs = [socket.socketpair() for _ in range(40)]
    got, lock, done = [], threading.Lock(), threading.Event()
    with select.epoll() as epoll:
        for left, _ in pairs:
            epoll.register(left, select.EPOLLIN | select.EPOLLONESHOT)
        owners = {left.fileno(): index for index, (left, _) in enumerate(pairs)}

        def work(me):
            if me == 8:
                for turn in range(40):
                    pairs[turn][1].send(b"x")
                return
            while not done.is_set():
                for descriptor, _ in epoll.poll(0.05, 4):
                    with lock:
                        got.append(owners[descriptor])
                        if len(got) == len(pairs):
                            done.set()

        together(9, work)
    for pair in pairs:
        for end in pair:
            end.close()
    check(sorted(got) == list(range(40)), "events:", len(got))


run(a_reader_wakes_when_the_other_end_of_its_pipe_is_closed,
    a_reader_keeps_its_pipe_when_another_thread_closes_it, many_threads_read_one_pipe,
    a_full_pipe_makes_its_writer_wait, timeouts_of_sockets_are_kept,
    a_connect_to_nobody_is_refused_at_once,
    select_poll_and_epoll_keep_their_timeouts_and_see_what_comes,
    edges_are_told_once_and_one_shots_only_when_armed,
    threads_that_share_an_epoll_get_each_event_once)
