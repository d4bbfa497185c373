"""What the threading module promises about threads themselves."""
import concurrent.futures
import gc
import itertools
import os
import socket
import sys
import threading
import time

from checks import Took, check, peak, run, say, together


def each_thread_has_its_own_locals_name_and_number():
    local, numbers = threading.local(), set()
    local.value = "main"

    def look(me):
        check(not hasattr(local, "value"), "a local of another thread is seen")
        local.value = me
        thread = threading.current_thread()
        thread.name = f"worker {me}"
        numbers.add((threading.get_ident(), threading.get_native_id()))
        meeting.wait(60)
        check(local.value == me and thread.name == f"worker {me}", "mixed up")
        check(thread is threading.current_thread(), "another thread")
        check(thread.ident == threading.get_ident(), "another number")

    meeting = threading.Barrier(50)
    together(50, look)
    check(local.value == "main", "the local of main is lost")
    check(len(numbers) == 50 and len({native for _, native in numbers}) == 50, "numbers are shared")


def an_exception_ends_its_thread_and_nothing_else():
    seen = []
    threading.excepthook = lambda args: seen.append((args.thread.name, str(args.exc_value)))

    def fail():
        raise ValueError(threading.current_thread().name)

    threads = [threading.Thread(target=fail, name=f"failing {n}") for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    threading.excepthook = threading.__excepthook__
    quiet = threading.Thread(target=sys.exit, args=(3,))
    quiet.start()
    quiet.join(60)
    check(sorted(seen) == sorted((f"failing {n}",) * 2 for n in range(20)), seen)


def two_thousand_short_threads_come_and_go():
    total = [0]

    def add():
        total[0] += 1

    for _ in range(2000):
        thread = threading.Thread(target=add)
        thread.start()
        thread.join(60)
    check(total[0] == 2000, "threads that ran:", total[0])


def five_hundred_threads_live_at_once():
    go, done = threading.Event(), []
    threads = [threading.Thread(target=lambda n=n: (go.wait(60), done.append(n)))
               for n in range(500)]
    for thread in threads:
        thread.start()
    peak()
    go.set()
    for thread in threads:
        thread.join(60)
    check(sorted(done) == list(range(500)), "threads that ran:", len(done))


def deep_recursion_fits_the_stack_of_a_thread():
    def depth(left):
        return 0 if left == 0 else 1 + depth(left - 1)

    check(together(10, lambda _: depth(700)) == [700] * 10, "wrong depth")
    old = threading.stack_size(16 << 20)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(12000)
    try:
        check(together(4, lambda _: max([10000, 1], key=depth)) == [10000] * 4, "wrong depth")
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(old)


def a_timer_fires_not_early_and_not_once_it_is_cancelled():
    fired = threading.Event()
    timer = threading.Timer(0.2, fired.set)
    with Took(0.2):
        timer.start()
        check(fired.wait(60), "the timer did not fire")
    timer.join(60)
    never = threading.Event()
    cancelled = threading.Timer(0.1, never.set)
    cancelled.start()
    cancelled.cancel()
    cancelled.join(60)
    check(not cancelled.is_alive() and not never.wait(0.2), "a cancelled timer fired")
    order, timers = [], []
    for delay in (0.3, 0.1, 0.2):
        timers.append(threading.Timer(delay, order.append, (delay,)))
        timers[-1].start()
    for timer in timers:
        timer.join(60)
    check(order == [0.1, 0.2, 0.3], "timers fired in the order", order)


def a_thread_pool_returns_values_exceptions_and_order():
    with concurrent.futures.ThreadPoolExecutor(16, initializer=lambda: None) as pool:
        check(list(pool.map(lambda n: (time.sleep(n % 3 / 1000), n)[1], range(200))) ==
              list(range(200)), "map lost its order")
        failing = pool.submit(lambda: 1 // 0)
        check(isinstance(failing.exception(60), ZeroDivisionError), "the exception is lost")
        slow = [pool.submit(time.sleep, 0.05 * n) for n in (3, 1, 2)]
        first, rest = concurrent.futures.wait(
            slow, 60, concurrent.futures.FIRST_COMPLETED)
        check(first and rest, "nobody was first")
        check(len(list(concurrent.futures.as_completed(slow, 60))) == 3, "some are missing")
        gate = threading.Event()
        waiting = pool.submit(gate.wait, 60)
        with Took(0.2, raises=concurrent.futures.TimeoutError):
            waiting.result(0.2)
        gate.set()
        check(waiting.result(60) is True, "the result is lost")


def sleepers_and_connections_go_on_beside_a_computing_thread():
    """Each of the waits may take 50 times as long as it asked for, not more."""
    stop, counted = threading.Event(), itertools.count()

    def compute():
        while not stop.is_set():
            sum(number * number for number in range(20000))
            next(counted)

    def sleeper(_):
        began = time.monotonic()
        for _ in range(20):
            time.sleep(0.01)
        took = time.monotonic() - began
        check(0.2 <= took < 50 * 0.2, "20 sleeps of 10 ms took", took)

    def client(_):
        left, right = socket.socketpair()

        def serve():
            while data := right.recv(100):
                right.sendall(data)

        server = threading.Thread(target=serve)
        server.start()
        with left, right:
            left.settimeout(30)
            for turn in range(20):
                left.sendall(b"turn %d" % turn)
                check(left.recv(100) == b"turn %d" % turn, "a wrong answer")
                time.sleep(0.01)
            left.shutdown(socket.SHUT_WR)
            server.join(60)

    hogs = [threading.Thread(target=compute) for _ in range(2)]
    for hog in hogs:
        hog.start()
    try:
        together(8, lambda n: (sleeper if n % 2 else client)(n))
    finally:
        stop.set()
        for hog in hogs:
            hog.join(60)
    check(next(counted) > 0, "the computing threads did nothing")


def threads_resolve_names_together():
    def resolve(number):
        for host in ("localhost", "127.0.0.1"):
            found = socket.getaddrinfo(host, 80 + number, socket.AF_INET, socket.SOCK_STREAM)
            check(found[0][4] == ("127.0.0.1", 80 + number), found)
        check(socket.getnameinfo(("127.0.0.1", 80 + number), socket.NI_NUMERICSERV)[1] ==
              str(80 + number), "the port was named otherwise")
        try:
            socket.getaddrinfo("no such host", 1, flags=socket.AI_NUMERICHOST)
        except socket.gaierror as error:
            check(error.errno == socket.EAI_NONAME, error)

    together(50, resolve)


def garbage_made_in_threads_is_collected():
    def litter(_):
        for _ in range(50):
            loop = [os.urandom(100)]
            loop.append(loop)

    together(20, litter)
    check(gc.collect() >= 0 and not gc.garbage, "garbage is left")


def endless():
    while True:
        time.sleep(0.01)


for index in range(20):
    threading.Thread(target=endless, daemon=True, name=f"daemon {index}").start()
run(each_thread_has_its_own_locals_name_and_number, an_exception_ends_its_thread_and_nothing_else,
    two_thousand_short_threads_come_and_go, five_hundred_threads_live_at_once,
    deep_recursion_fits_the_stack_of_a_thread, a_timer_fires_not_early_and_not_once_it_is_cancelled,
    a_thread_pool_returns_values_exceptions_and_order,
    sleepers_and_connections_go_on_beside_a_computing_thread, threads_resolve_names_together,
    garbage_made_in_threads_is_collected)
# The threads that are no daemons are waited for, the daemons are not.
threading.Thread(target=lambda: (time.sleep(0.2), say("the last thread has ended"))).start()
