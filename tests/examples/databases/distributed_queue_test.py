"""The master and the workers of the distributed queue, over a Redis with a password."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from servers import Redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from driver import (  # noqa: E402  (found by the path above)
    PATIENCE_S, Child, ExampleTest, main, program)
from ring import why_no_io_uring  # noqa: E402

PASSWORD = "open sesame"
BACKENDS = ["epoll"] if why_no_io_uring() else ["epoll", "uring"]
LIMIT, PRIMES = 200_000, 17_984  # so many primes are below it
TASKS = 40
LEASE_S = 1.0
ENDLESS_S = PATIENCE_S * 10


class Participant(Child):
    """A master or worker on a backend; what it has printed so far is in `lines`."""

    def __init__(self, backend, name, server, queue, *options):
        self.lines = []
        super().__init__([program(name), server.address, queue, *map(str, options)],
                         backend=backend)

    def line_with(self, pattern):
        """Waits for the next line that matches, and returns the match."""
        while True:
            self.lines.append(self.line(PATIENCE_S))
            if match := re.search(pattern, self.lines[-1]):
                return match

    def end(self):
        """Its exit status; what it still printed is added to `lines`."""
        self.lines += self.lines_to_end(PATIENCE_S)
        return self.wait(PATIENCE_S)


class DistributedQueueTest(ExampleTest):
    @classmethod
    def setUpClass(cls):
        cls.server = Redis(PASSWORD)
        os.environ["REDIS_PASSWORD"] = PASSWORD

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def start(self, backend, name, queue, *options):
        """Starts a master or worker that is ended with the test at the latest."""
        participant = Participant(backend, name, self.server, queue, *options)
        self.addCleanup(participant.__exit__)
        return participant

    def worker(self, backend, queue, name, *options):
        """Starts a worker with a short lease."""
        started = self.start(backend, "queue_worker", queue, "--as", name, "--lease", LEASE_S,
                             *options)
        started.line_with(f"worker {name} waits for tasks")
        return started

    def holders(self, queue):
        """Who holds tasks, and how many, as the server knows it."""
        words = self.server.ask("xpending", f"{{{queue}}}:tasks", "workers",
                                password=PASSWORD).split()[3:]
        return dict(zip(words[::2], map(int, words[1::2])))

    def results(self, queue):
        """How many results have come."""
        return int(self.server.ask("xlen", f"{{{queue}}}:results", password=PASSWORD))

    def test_a_killed_and_a_stopped_worker_lose_no_task_and_none_counts_twice(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                self.lose_workers(backend, f"losses-{backend}")

    def lose_workers(self, backend, queue):
        """One worker is killed in two tasks, one is stopped in one until another has done it, and
        one works at one for longer than a lease."""
        killed = self.worker(backend, queue, "killed", "--fibers", 2, "--pause", ENDLESS_S)
        stopped = self.worker(backend, queue, "stopped", "--fibers", 1, "--pause", LEASE_S)
        master = self.start(backend, "queue_master", queue, "--limit", LIMIT, "--tasks", TASKS,
                            "--timeout", PATIENCE_S)
        for _ in range(2):
            killed.line_with("task .* begun")
        self.assertEqual(self.holders(queue)["killed"], 2)
        killed.process.kill()
        stopped.line_with("task .* begun")
        stopped.process.send_signal(signal.SIGSTOP)
        done_by_stopped = self.results(queue)  # none, unless this test was slow

        last = self.worker(backend, queue, "last", "--fibers", 1, "--pause", ENDLESS_S)
        last.line_with("task .* begun")
        quick = self.worker(backend, queue, "quick", "--fibers", 4)
        self.server.await_true(lambda: self.results(queue) == TASKS - 1, "only one task is left")
        stopped.process.send_signal(signal.SIGCONT)
        stopped.line_with("task .* dropped")
        self.assertEqual(stopped.stop(), 0)  # lest it gets the last task
        self.assertEqual(self.holders(queue), {"last": 1}, "it has renewed its hold")
        last.process.kill()

        self.assertEqual(master.end(), 0, master.lines)
        self.assertEqual(quick.end(), 0, quick.lines)
        self.check_report(master.lines, done_by_stopped)
        self.assertEqual(self.server.ask("keys", f"*{queue}*", password=PASSWORD).strip(), "")

    def check_report(self, lines, done_by_stopped):
        """All tasks are in the master's sum, each once."""
        report = "\n".join(lines)
        totals = re.search(r"(\d+) tasks, (\d+) results, (\d+) results repeated,"
                           r" (\d+) tasks taken over", report)
        self.assertEqual(totals.groups()[:3], (str(TASKS), str(TASKS), "0"), report)
        self.assertGreaterEqual(int(totals[4]), 2 + 1 + 1, report)  # killed, stopped, last
        self.assertEqual(lines[-1], f"{PRIMES} primes below {LIMIT}")
        counts = {name: int(count) for name, count in
                  re.findall(r"worker (\w+): (\d+) tasks", report)}
        self.assertEqual(sum(counts.values()), TASKS)
        self.assertEqual(counts.keys() - {"stopped"}, {"quick"})
        self.assertEqual(counts.get("stopped", 0), done_by_stopped)

    def test_a_wrong_or_missing_password_is_told(self):
        for password, answer in (("guessed", "WRONGPASS"), (None, "NOAUTH")):
            environment = {**os.environ}
            environment.pop("REDIS_PASSWORD")
            if password:
                environment["REDIS_PASSWORD"] = password
            for name in ("queue_master", "queue_worker"):
                result = subprocess.run(
                    [program(name), self.server.address, "refused"], env=environment, text=True,
                    capture_output=True, timeout=PATIENCE_S, check=False)
                self.assertEqual(result.returncode, 1)
                self.assertEqual(result.stdout, "")
                self.assertIn(answer, result.stderr)
                self.assertIn("REDIS_PASSWORD", result.stderr)
                self.assertNotIn("guessed", result.stderr)

    def test_a_worker_that_is_asked_to_stop_ends_what_it_has_begun(self):
        backend = BACKENDS[-1]
        leaving = self.worker(backend, "leave", "leaving", "--fibers", 2, "--pause", 0.3)
        master = self.start(backend, "queue_master", "leave", "--limit", LIMIT, "--tasks", 6)
        leaving.line_with("task .* begun")
        self.assertEqual(leaving.stop(), 0)
        leaving.end()
        done = int(re.fullmatch(r"(\d+) tasks done, 0 dropped", leaving.lines[-1])[1])
        self.assertEqual(self.holders("leave"), {})
        self.assertEqual(self.results("leave"), done)
        rest = self.worker(backend, "leave", "rest")
        self.assertEqual(master.end(), 0, master.lines)
        self.assertEqual(master.lines[-1], f"{PRIMES} primes below {LIMIT}")
        self.assertEqual(rest.end(), 0)

    def test_a_master_without_workers_gives_up_and_leaves_nothing(self):
        result = subprocess.run(
            [program("queue_master"), self.server.address, "alone", "--timeout", "0.2"],
            text=True, capture_output=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("only 0 of 100 results came in time", result.stderr)
        self.assertEqual(self.server.ask("keys", "*alone*", password=PASSWORD).strip(), "")

    def test_a_queue_in_use_is_not_touched_unless_that_is_asked_for(self):
        key = "{used}:tasks"
        self.server.ask("xadd", key, "*", "left", "over", password=PASSWORD)
        command = [program("queue_master"), self.server.address, "used", "--timeout", "0.1"]
        refused = subprocess.run(command, text=True, capture_output=True, timeout=PATIENCE_S,
                                 check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("holds 1 entries of another master", refused.stderr)
        self.assertEqual(self.server.ask("xlen", key, password=PASSWORD).strip(), "1")
        taken = subprocess.run([*command, "--discard"], text=True, capture_output=True,
                               timeout=PATIENCE_S, check=False)
        self.assertIn("only 0 of 100 results", taken.stderr)

    def test_a_server_that_ends_ends_the_worker_with_an_error(self):
        with Redis() as server:
            environment = {**os.environ}
            environment.pop("REDIS_PASSWORD")
            with subprocess.Popen([program("queue_worker"), server.address, "gone"],
                                  env=environment, stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
                try:
                    server.await_true(lambda: server.waiting() == 4, "all fibers wait for tasks")
                    server.process.kill()
                    _, error = worker.communicate(timeout=PATIENCE_S)
                finally:
                    worker.kill()
            self.assertEqual(worker.returncode, 1, error)
            self.assertRegex(error, r"(?m)^queue_worker: .*Redis")

    def test_usage(self):
        for name in ("queue_master", "queue_worker"):
            self.assert_usage(name)


if __name__ == "__main__":
    main()
