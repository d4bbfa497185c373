#!/usr/bin/env python3
"""Signals and waits for descriptors in Python programs with threads."""

import signal

import harness
from harness import check


def signals(run):
    """Handlers interrupt main beside a hundred threads, and sigwait takes signals in threads."""
    run.follow(run.python("signals.py"))


def interrupts(run):
    """Ctrl-C ends a program with threads wherever its main thread waits, and it cleans up."""
    for where in ("sleep", "join", "event", "read"):
        program = run.python("interrupted.py", where)
        program.line("^waiting$")
        program.signal(signal.SIGINT)
        program.line("^cleaned up 20$")
        program.ends(-signal.SIGINT)
        check("KeyboardInterrupt" in program.text(), "the program ended for another reason")


def waits(run):
    """Threads wait for pipes, sockets, poll and epoll, with and without timeouts."""
    run.follow(run.python("waits.py"))


if __name__ == "__main__":
    harness.main(signals, interrupts, waits)
