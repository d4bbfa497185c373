"""Signals in a program with threads: handlers run in main, sigwait takes them in a thread."""
import os
import select
import signal
import socket
import subprocess
import threading
import time

from checks import Took, check, peak, run


USER_SIGNALS = {signal.SIGUSR1, signal.SIGUSR2}


class Interrupted(Exception):
    pass


def raise_interrupted(*_):
    raise Interrupted


class Handler:
    """with Handler(signal, function): the handler of a signal for a while."""

    def __init__(self, number, function):
        self.number, self.function = number, function

    def __enter__(self):
        self.before = signal.signal(self.number, self.function)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(self.number, self.before)


def soon(seconds):
    signal.setitimer(signal.ITIMER_REAL, seconds)


def an_alarm_ends_what_main_waits_for_when_its_handler_raises():
    left, right = socket.socketpair()
    reader, writer = os.pipe()
    never, held = threading.Event(), threading.Lock()
    held.acquire()
    sleeper = threading.Thread(target=never.wait, daemon=True)
    sleeper.start()
    child = subprocess.Popen(["sleep", "60"])
    with Handler(signal.SIGALRM, raise_interrupted), left, right:
        for wait in (lambda: time.sleep(60), lambda: left.recv(1), lambda: os.read(reader, 1),
                     lambda: never.wait(60), held.acquire, lambda: held.acquire(timeout=60),
                     sleeper.join, child.wait, lambda: select.select([left], [], [], 60)):
            with Took(0.2, raises=Interrupted):
                soon(0.2)
                wait()
    child.kill()
    child.wait(60)
    with Handler(signal.SIGALRM, lambda *_: None), Took(1.0):
        signal.alarm(1)
        signal.pause()
    never.set()
    sleeper.join(60)
    os.close(reader)
    os.close(writer)


def waits_go_on_after_a_handler_that_returns():
    seen = []
    left, right = socket.socketpair()
    with Handler(signal.SIGALRM, lambda number, _: seen.append(threading.current_thread())):
        soon(0.05)
        with Took(0.3):
            time.sleep(0.3)
        check(len(seen) == 1, "handlers that ran:", len(seen))
        with left, right:
            soon(0.05)
            answer = threading.Timer(0.3, right.send, (b"late",))
            answer.start()
            check(left.recv(10) == b"late", "a wrong answer")
            answer.join(60)
            left.settimeout(0.3)
            soon(0.05)
            with Took(0.3, raises=TimeoutError):
                left.recv(1)
    check(seen == [threading.main_thread()] * 3, "handlers that ran:", seen)


def a_thread_takes_blocked_signals_by_sigwait():
    taken, ready = [], threading.Semaphore(0)

    def take():
        while (number := signal.sigwait(USER_SIGNALS)) != signal.SIGUSR2:
            taken.append(number)
            ready.release()

    thread = threading.Thread(target=take)
    thread.start()
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGUSR1)
        check(ready.acquire(timeout=60), "the signal was not taken")
    signal.pthread_kill(thread.ident, signal.SIGUSR2)
    thread.join(60)
    check(not thread.is_alive() and taken == [signal.SIGUSR1] * 20, "taken:", len(taken))
    with Took(0.2):
        check(signal.sigtimedwait(USER_SIGNALS, 0.2) is None, "a signal that nobody sent")
    os.kill(os.getpid(), signal.SIGUSR1)
    check(signal.sigpending() == {signal.SIGUSR1}, "pending:", signal.sigpending())
    check(signal.sigtimedwait(USER_SIGNALS, 60).si_signo == signal.SIGUSR1, "it was not taken")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, USER_SIGNALS)


def each_thread_has_a_signal_mask_of_its_own():
    masks = {}

    def look(numbers):
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        meeting.wait(60)
        time.sleep(0.01)
        masks[tuple(numbers)] = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    wanted = ([signal.SIGUSR1], [signal.SIGUSR2], [signal.SIGHUP, signal.SIGUSR1])
    meeting = threading.Barrier(len(wanted))
    threads = [threading.Thread(target=look, args=(numbers,)) for numbers in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check(masks == {tuple(numbers): set(numbers) for numbers in wanted}, masks)
    check(not signal.pthread_sigmask(signal.SIG_BLOCK, []), "the mask of main has changed")


def a_signal_for_a_thread_that_receives_runs_the_handler_in_main():
    seen, got = [], []
    left, right = socket.socketpair()
    with Handler(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread())):
        thread = threading.Thread(target=lambda: got.append(left.recv(10)))
        thread.start()
        for count in range(1, 6):
            signal.pthread_kill(thread.ident, signal.SIGUSR1)
            deadline = time.monotonic() + 60
            while len(seen) < count:
                check(time.monotonic() < deadline, "the handler did not run")
                time.sleep(0.01)
        right.send(b"data")
        thread.join(60)
    left.close()
    right.close()
    check(seen == [threading.main_thread()] * 5, "handlers:", seen)
    check(got == [b"data"], "the wait did not go on:", got)


def an_interrupt_reaches_main_wherever_it_waits():
    never, lock = threading.Event(), threading.Lock()
    lock.acquire()
    left, right = socket.socketpair()
    waits = (lambda: time.sleep(60), lambda: left.recv(1), lambda: never.wait(60), lock.acquire,
             lambda: threading.Thread(target=never.wait, daemon=True).start() or never.wait())
    for send in (lambda: os.kill(os.getpid(), signal.SIGINT),
                 lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)):
        for wait in waits:
            sender = threading.Timer(0.1, send)
            began = time.monotonic()
            try:
                sender.start()
                wait()
                check(False, "the wait came to its end")
            except KeyboardInterrupt:
                took = time.monotonic() - began
            sender.join(60)
            check(took < 30, "the interrupt took", took)
    never.set()
    left.close()
    right.close()


def a_wakeup_descriptor_tells_of_signals():
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno())
    with Handler(signal.SIGUSR1, lambda *_: None):
        thread = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        thread.start()
        check(reader.recv(1) == bytes([signal.SIGUSR1]), "another signal")
        thread.join(60)
    signal.set_wakeup_fd(before)
    reader.close()
    writer.close()


# While all this goes on other threads sleep and wait. They block what sigwait is to take, as main
# does until then.
signal.pthread_sigmask(signal.SIG_BLOCK, USER_SIGNALS)
stop = threading.Event()
for _ in range(100):
    threading.Thread(target=stop.wait, daemon=True).start()
for _ in range(4):
    threading.Thread(target=lambda: [time.sleep(0.005) for _ in iter(stop.is_set, True)],
                     daemon=True).start()
peak()
run(an_alarm_ends_what_main_waits_for_when_its_handler_raises,
    waits_go_on_after_a_handler_that_returns,
    a_thread_takes_blocked_signals_by_sigwait, each_thread_has_a_signal_mask_of_its_own,
    a_signal_for_a_thread_that_receives_runs_the_handler_in_main,
    an_interrupt_reaches_main_wherever_it_waits, a_wakeup_descriptor_tells_of_signals)
stop.set()
