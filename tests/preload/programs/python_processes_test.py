#!/usr/bin/env python3
"""Python programs whose threads make processes, and share work with them."""

import harness
from harness import check


def children(run):
    """Threads start children, feed them, fork and wait for them."""
    run.follow(run.python("children.py"))


def forked_processes(run):
    """Processes, pools and managers of multiprocessing work with the start method fork."""
    run.follow(run.python("multiprocesses.py", "fork"))


def spawned_processes(run):
    """Processes, pools and managers of multiprocessing work with the start method spawn."""
    run.follow(run.python("multiprocesses.py", "spawn"))


def task_queues(run):
    """A master hands tasks to the threads of three worker processes over a manager's queues."""
    master = run.python("task_master.py")
    port = master.port()
    intruder = run.python("task_worker.py", port, "a wrong key", 1)
    intruder.line("^multiprocessing.context.AuthenticationError")
    intruder.ends(1)
    workers = [run.python("task_worker.py", port, "abracadabra", 30) for _ in range(3)]
    run.follow(master)
    done = [int(worker.line(r"^worked on (\d+) alive 0$")[1]) for worker in workers]
    check(sum(done) == 400, "tasks that were worked on:", done)
    for worker in workers:
        worker.ends(0)


if __name__ == "__main__":
    harness.main(children, forked_processes, spawned_processes, task_queues)
