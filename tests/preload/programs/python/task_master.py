"""Hands out tasks over a manager's queues and gathers the results; see task_worker.py."""
import multiprocessing
import queue
from multiprocessing.managers import BaseManager

from checks import check, peak, say

TASKS = 400
WORKER_THREADS = 90  # of all workers together
task_queue, result_queue, ready_queue = queue.Queue(), queue.Queue(), queue.Queue()


class QueueManager(BaseManager):
    pass


def main():
    multiprocessing.set_start_method("fork")  # the queues belong to the manager's process
    QueueManager.register("get_task_queue", callable=lambda: task_queue)
    QueueManager.register("get_result_queue", callable=lambda: result_queue)
    QueueManager.register("get_ready_queue", callable=lambda: ready_queue)
    manager = QueueManager(address=("127.0.0.1", 0), authkey=b"abracadabra")
    manager.start()
    say(f"port {manager.address[1]}")
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    ready = manager.get_ready_queue()
    for _ in range(WORKER_THREADS):
        ready.get(timeout=60)
    # The manager's process has a thread for each connection: its acceptor waits beside them.
    peak(WORKER_THREADS + 2, manager._process.pid)
    for number in range(TASKS):
        tasks.put(number)
    got = dict(results.get(timeout=60) for _ in range(TASKS))
    check(got == {number: number * number for number in range(TASKS)}, "results are missing")
    try:
        results.get(timeout=0.1)
        check(False, "there was one result too many")
    except queue.Empty:
        pass
    for _ in range(WORKER_THREADS):
        tasks.put(None)
    for _ in range(WORKER_THREADS):
        check(ready.get(timeout=60) == "ended", "a worker failed")
    manager.shutdown()
    say("done")


main()
