"""multiprocessing and process pools. usage: multiprocesses.py fork|spawn"""
import concurrent.futures
import multiprocessing
import os
import sys
import threading
import time

from checks import Took, check, peak, run, together

METHOD = sys.argv[-1] if sys.argv[-1] in ("fork", "spawn") else "spawn"
context = multiprocessing.get_context(METHOD)


def square(number):
    return number * number


def fail(number):
    raise ValueError(number)


def threads_of_a_child(number):
    """Sums in ten threads of the child."""
    parts = [0] * 10

    def work(me):
        time.sleep(0.001)
        parts[me] = number * me

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sum(parts)


def answer(pipe):
    while (word := pipe.recv()) is not None:
        pipe.send(word[::-1])
    sys.exit(4)


def drain(tasks, results):
    while (task := tasks.get()) is not None:
        results.put((os.getpid(), task * task))


def add(lock, total, event):
    event.wait(60)
    for _ in range(200):
        with lock:
            total.value += 1


def fill(shared, names, me):
    shared[me] = me * me
    names.append(f"process {me}")


def a_process_answers_over_a_pipe_and_has_a_status():
    ours, theirs = context.Pipe()
    process = context.Process(target=answer, args=(theirs,))
    process.start()
    theirs.close()
    for word in ("abc", "x" * 200_000, [1, 2, 3]):
        ours.send(word)
        check(ours.poll(60) and ours.recv() == word[::-1], "a wrong answer")
    check(process.is_alive(), "it ended")
    with Took(0.2):
        process.join(0.2)
    ours.send(None)
    process.join(60)
    check(process.exitcode == 4, process.exitcode)
    victim = context.Process(target=time.sleep, args=(60,))
    victim.start()
    victim.terminate()
    victim.join(60)
    check(victim.exitcode == -15, victim.exitcode)


def queues_carry_tasks_and_results_between_processes():
    tasks, results = context.Queue(), context.Queue()
    processes = [context.Process(target=drain, args=(tasks, results)) for _ in range(3)]
    for process in processes:
        process.start()
    for number in range(300):
        tasks.put(number)
    got = [results.get(timeout=60) for _ in range(300)]
    for _ in processes:
        tasks.put(None)
    for process in processes:
        process.join(60)
        check(process.exitcode == 0, process.exitcode)
    check(sorted(value for _, value in got) == [n * n for n in range(300)], "results are missing")
    check({pid for pid, _ in got} <= {process.pid for process in processes}, "somebody else")


def processes_share_a_number_under_a_lock():
    lock, total, event = context.Lock(), context.Value("i", 0, lock=False), context.Event()
    processes = [context.Process(target=add, args=(lock, total, event)) for _ in range(3)]
    for process in processes:
        process.start()
    event.set()
    for process in processes:
        process.join(60)
    check(total.value == 600, "additions were lost:", total.value)


def a_pool_maps_and_passes_exceptions_on():
    with context.Pool(3) as pool:
        check(pool.map(square, range(200)) == [n * n for n in range(200)], "map")
        check(pool.apply_async(threads_of_a_child, (7,)).get(60) == 7 * 45, "threads of a child")
        check(sorted(pool.imap_unordered(square, range(50), 5)) ==
              [n * n for n in range(50)], "imap")
        try:
            pool.apply_async(fail, (3,)).get(60)
            check(False, "the exception is lost")
        except ValueError as error:
            check(error.args == (3,), error)
        # Many threads share the pool.
        check(together(20, lambda n: pool.apply(square, (n,))) == [n * n for n in range(20)],
              "apply from threads")
        pool.close()
        pool.join()


def a_manager_shares_a_dictionary_and_a_list():
    with context.Manager() as manager:
        shared, names = manager.dict(), manager.list()
        processes = [context.Process(target=fill, args=(shared, names, n)) for n in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        check(dict(shared) == {n: n * n for n in range(3)}, dict(shared))
        check(sorted(names) == [f"process {n}" for n in range(3)], list(names))

        def touch(me):
            """Each thread has a connection of its own, so the manager has a thread for each."""
            shared[me] = me * me
            if meeting.wait(60) == 0:
                peak(52, manager._process.pid)
            meeting.wait(60)

        meeting = threading.Barrier(50)
        together(50, touch)
        check(dict(shared) == {n: n * n for n in range(50)}, "values are missing")


def a_process_pool_executor_runs_threads_in_its_processes():
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
        check(list(pool.map(square, range(100), chunksize=7)) == [n * n for n in range(100)], "map")
        check([f.result(60) for f in [pool.submit(threads_of_a_child, n) for n in range(6)]] ==
              [45 * n for n in range(6)], "threads of a child")
        check(isinstance(pool.submit(fail, 5).exception(60), ValueError), "the exception is lost")


if __name__ == "__main__":
    run(a_process_answers_over_a_pipe_and_has_a_status,
        queues_carry_tasks_and_results_between_processes, processes_share_a_number_under_a_lock,
        a_pool_maps_and_passes_exceptions_on, a_manager_shares_a_dictionary_and_a_list,
        a_process_pool_executor_runs_threads_in_its_processes)
