#!/usr/bin/env python3
"""What CPython's threads do among themselves: locks, queues, pools, logs, databases."""

import harness
from harness import check


def synchronisation(run):
    """Queues, locks, conditions, events and barriers work, and their timeouts are kept."""
    run.follow(run.python("synchronisation.py"))


def threads(run):
    """Threads have identity, end, fail, are many, fire timers and run beside computing ones."""
    program = run.python("threads.py")
    run.follow(program)
    check(program.log[-1] == "the last thread has ended", "the last thread was not waited for")


def logs_and_databases(run):
    """Fifty threads share rotating logs, and threads share sqlite databases."""
    run.follow(run.python("logs_and_databases.py", run.folder))


if __name__ == "__main__":
    harness.main(synchronisation, threads, logs_and_databases)
