"""Queues, locks and their timeouts among Python's threads."""
import queue
import threading
import time

from checks import Took, check, peak, run, together


def a_pool_of_workers_empties_a_queue_and_join_knows_when():
    tasks, results = queue.Queue(10), queue.SimpleQueue()

    def work():
        while (task := tasks.get()) is not None:
            results.put(task * task)
            tasks.task_done()
        tasks.task_done()

    workers = [threading.Thread(target=work) for _ in range(20)]
    for worker in workers:
        worker.start()
    for number in range(2000):
        tasks.put(number)
    tasks.join()
    peak()
    for _ in workers:
        tasks.put(None)
    for worker in workers:
        worker.join(60)
    check(sorted(results.get_nowait() for _ in range(2000)) == [n * n for n in range(2000)],
          "results are missing")
    check(results.empty(), "there are results too many")


def queues_keep_their_order_and_their_bound():
    in_order, by_priority, stack = queue.Queue(), queue.PriorityQueue(), queue.LifoQueue()
    for number in (3, 1, 2):
        for kind in (in_order, by_priority, stack):
            kind.put(number)
    check([in_order.get() for _ in range(3)] == [3, 1, 2], "Queue")
    check([by_priority.get() for _ in range(3)] == [1, 2, 3], "PriorityQueue")
    check([stack.get() for _ in range(3)] == [2, 1, 3], "LifoQueue")
    bounded = queue.Queue(1)
    bounded.put(1)
    with Took(0.2, raises=queue.Full):
        bounded.put(2, timeout=0.2)
    check(bounded.qsize() == 1, "the bound does not hold")


def timeouts_are_neither_early_nor_absurdly_late():
    def expired(wait, outcome):
        with Took(0.2):
            check(wait(0.2) == outcome, "a wait without a waker was woken")

    def empty(timeout):
        try:
            queue.Queue().get(timeout=timeout)
        except queue.Empty:
            return "empty"

    def broken(timeout):
        try:
            threading.Barrier(2).wait(timeout)
        except threading.BrokenBarrierError:
            return "broken"

    def condition(timeout):
        with (changed := threading.Condition()):
            return changed.wait(timeout)

    held, held_by_main = threading.Lock(), threading.RLock()
    held.acquire()
    held_by_main.acquire()
    forever = threading.Event()
    sleeper = threading.Thread(target=forever.wait, daemon=True)
    sleeper.start()
    waits = [
        (lambda timeout: held.acquire(timeout=timeout), False),
        (lambda timeout: held_by_main.acquire(timeout=timeout), False),
        (lambda timeout: threading.Semaphore(0).acquire(timeout=timeout), False),
        (threading.Event().wait, False),
        (condition, False),
        (broken, "broken"),
        (empty, "empty"),
        (time.sleep, None),
        (lambda timeout: sleeper.join(timeout), None),
    ]
    together(4 * len(waits), lambda n: expired(*waits[n % len(waits)]))
    check(sleeper.is_alive(), "the sleeper ended")
    forever.set()
    sleeper.join(60)
    check(not sleeper.is_alive(), "the sleeper still sleeps")


def a_lock_that_may_be_taken_again_counts():
    lock, total = threading.RLock(), [0]

    def add(depth):
        with lock:
            value = total[0]
            if depth:
                add(depth - 1)
                value = total[0]
            else:
                time.sleep(0)
            total[0] = value + 1

    together(20, lambda _: [add(3) for _ in range(20)])
    check(total[0] == 20 * 20 * 4, "additions were lost:", total[0])


def two_threads_play_ping_pong_over_a_condition():
    changed, turn, rounds = threading.Condition(), [0], 1000

    def play(me):
        for _ in range(rounds):
            with changed:
                check(changed.wait_for(lambda: turn[0] % 2 == me, 60), "the ball does not come")
                turn[0] += 1
                changed.notify_all()

    together(2, play)
    check(turn[0] == 2 * rounds, "turns:", turn[0])


def a_semaphore_lets_so_many_in_and_no_more():
    places, inside, most, guard = threading.BoundedSemaphore(5), [0], [0], threading.Lock()

    def visit(_):
        for _ in range(10):
            with places:
                with guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                with guard:
                    inside[0] -= 1

    together(30, visit)
    check(2 <= most[0] <= 5, "at once inside:", most[0])
    try:
        places.release()
    except ValueError:
        return
    check(False, "a bounded semaphore was released too often")


def a_barrier_brings_all_together_each_time():
    barrier, arrived = threading.Barrier(40), [0] * 40

    def walk(me):
        for turn in range(1, 11):
            arrived[me] = turn
            barrier.wait(60)
            check(min(arrived) == turn, "somebody has not arrived")
            barrier.wait(60)

    together(40, walk)


def an_event_wakes_all_that_wait():
    event, woken = threading.Event(), threading.Semaphore(0)
    threads = [threading.Thread(target=lambda: (event.wait(60), woken.release()))
               for _ in range(150)]
    for thread in threads:
        thread.start()
    check(not woken.acquire(timeout=0.05), "a thread did not wait")
    peak()
    event.set()
    for _ in threads:
        check(woken.acquire(timeout=60), "a thread was not woken")
    for thread in threads:
        thread.join(60)
    check(threading.active_count() == 1, "threads are left")


run(a_pool_of_workers_empties_a_queue_and_join_knows_when, queues_keep_their_order_and_their_bound,
    timeouts_are_neither_early_nor_absurdly_late, a_lock_that_may_be_taken_again_counts,
    two_threads_play_ping_pong_over_a_condition, a_semaphore_lets_so_many_in_and_no_more,
    a_barrier_brings_all_together_each_time, an_event_wakes_all_that_wait)
