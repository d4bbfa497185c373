"""Squares the tasks of task_master.py in threads. usage: task_worker.py PORT KEY THREADS"""
import sys
import threading
import time
from multiprocessing.managers import BaseManager

from checks import say, together


class QueueManager(BaseManager):
    pass


def main():
    port, key, threads = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
    for name in ("get_task_queue", "get_result_queue", "get_ready_queue"):
        QueueManager.register(name)
    manager = QueueManager(address=("127.0.0.1", port), authkey=key)
    manager.connect()
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    ready = manager.get_ready_queue()
    # A thread connects at its first call. The manager's listener has a backlog of 16 only, and a
    # connection that finds it full may be lost.
    connecting = threading.Lock()

    def work(_):
        with connecting:
            ready.put("ready")
        done = 0
        while (task := tasks.get(timeout=60)) is not None:
            time.sleep(0.001)
            results.put((task, task * task))
            done += 1
        ready.put("ended")
        return done

    say(f"worked on {sum(together(threads, work))} alive {threading.active_count() - 1}")


main()
