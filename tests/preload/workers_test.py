#!/usr/bin/env python3
"""A program that uses coir itself works under `coir run`, where its workers' threads are fibers.

usage: workers_test.py LAUNCHER PROGRAM TOKENS

PROGRAM is workers_program, linked with libcoir.so or with coir inside. TOKENS 0 runs it natively,
on each backend: that shows that what is asked of it under the launcher is asked rightly.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "demo"))

from ring import why_no_io_uring  # noqa: E402  (found by the path above)

LAUNCHER, PROGRAM, TOKENS = sys.argv[1], sys.argv[2], int(sys.argv[3])
PATIENCE_S = 60
# What a busy machine may cost; a wait that blocks its kernel thread costs one each time. A very
# busy one costs more now and then: the best of some runs counts.
KERNEL_THREADS_SPARE = 1
RUNS_MAX = 5
HAND_OVERS_MAX = 5
PARKS_WHEN_IDLE_MAX = 200
CPU_MS_OF_AN_IDLE_SECOND_MAX = 200.0


class Run:
    """One run of a part of the program to its end."""

    def __init__(self, part, **settings):
        with tempfile.TemporaryDirectory(prefix="coir-workers-") as folder:
            report = Path(folder, "report")
            command = [PROGRAM, part]
            if TOKENS:
                command = [LAUNCHER, "run", f"--workers={TOKENS}", f"--report={report}", "--",
                           *command]
            environment = {**os.environ, **settings}
            self.result = subprocess.run(command, stdin=subprocess.DEVNULL, text=True, check=False,
                                         capture_output=True, timeout=PATIENCE_S, env=environment)
            self.report = report.read_text(encoding="utf-8") if report.exists() else ""

    def counted(self, what):
        """The number in the line of the report that begins so."""
        match = re.search(rf"^coir: +{re.escape(what)} +(\d+)", self.report, re.MULTILINE)
        if not match:
            raise AssertionError(f"no line '{what}' in the report:\n{self.report}")
        return int(match[1])


def backends():
    """The settings of COIR_BACKEND that a run can have."""
    if TOKENS:
        return [{}]
    both = [{"COIR_BACKEND": "epoll"}]
    if not why_no_io_uring():
        both.append({"COIR_BACKEND": "uring"})
    return both


class WorkersTest(unittest.TestCase):
    """Each part of the program, on few kernel threads."""

    def succeed(self, part, output, spare=KERNEL_THREADS_SPARE):
        """Runs it on each backend and checks what it printed; the last run."""
        for settings in backends():
            with self.subTest(**settings):
                for _ in range(RUNS_MAX):
                    run = Run(part, **settings)
                    self.assertEqual(run.result.returncode, 0, run.result.stderr)
                    self.assertRegex(run.result.stdout, output)
                    self.assertEqual(run.result.stderr, "")
                    used = run.counted("kernel threads used") if TOKENS else 0
                    if used <= TOKENS + spare:
                        break
                self.assertLessEqual(used, TOKENS + spare, run.report)
        return run

    def test_fibers_of_several_workers_talk_by_all_means(self):
        self.succeed("talk", r"^sum 1280800\n$")

    def test_an_idle_second_costs_next_to_nothing(self):
        run = self.succeed("idle", r"^cpu_ms [0-9.]+\n$")
        cpu_ms = float(run.result.stdout.split()[1])
        self.assertLess(cpu_ms, CPU_MS_OF_AN_IDLE_SECOND_MAX)
        if TOKENS:
            hand_overs = run.counted("and unforeseen: tokens taken by the monitor")
            self.assertLessEqual(hand_overs, HAND_OVERS_MAX, run.report)
            self.assertEqual(run.counted("calls that blocked a kernel thread, foreseen"), 0)
            parks = run.counted("waits for descriptors parked")
            self.assertLessEqual(parks, PARKS_WHEN_IDLE_MAX, run.report)

    def test_workers_may_wait_by_libc_too_and_change_their_kernel_threads(self):
        self.succeed("mixed", r"^turns 2000\n$")

    def test_a_set_of_workers_shares_out_fibers(self):
        self.succeed("crew", r"^crew 45150\n$")

    def test_handlers_run_on_a_worker_that_is_idle(self):
        self.succeed("signals", r"^100 signals\n$")

    def test_children_of_workers_use_coir(self):
        self.succeed("forks", r"^6 children\n$")

    def test_fibers_are_unwound_at_the_end_of_their_thread_but_not_of_the_process(self):
        self.succeed("ends", r"^unwound 360\n$")

    def test_fibers_use_files(self):
        # Each of the offload threads may be in a call that blocks.
        self.succeed("files", r"^files\n$", spare=8 + KERNEL_THREADS_SPARE)

    def test_the_overflow_of_a_fiber_is_reported(self):
        for part in "overflow", "main_overflow":
            with self.subTest(part):
                run = Run(part)
                self.assertIn("stack overflow in fiber", run.result.stderr)
                self.assertNotEqual(run.result.returncode, 0)

    def test_a_deadlock_is_found_when_all_other_threads_have_ended(self):
        self.succeed("deadlock", r"^deadlock\n$")

    def test_the_backend_is_epoll_where_threads_are_fibers_and_that_is_said(self):
        if not TOKENS:
            self.skipTest("natively the other tests of backends show it")
        self.assertEqual(Run("backend").result.stdout, "epoll epoll\n")
        self.assertEqual(Run("backend").result.stderr, "")
        forced = Run("backend", COIR_BACKEND="uring").result
        self.assertEqual(forced.stdout, "epoll epoll\n")
        said = forced.stderr.splitlines()
        self.assertEqual(len(said), 1, forced.stderr)
        self.assertRegex(said[0], r"^coir: COIR_BACKEND=uring .*epoll.*--mode=thread")

    def test_rings_are_kept_in_the_mode_thread(self):
        if not TOKENS or why_no_io_uring():
            self.skipTest("natively, or without rings")
        result = Run("backend", COIR_MODE="thread", COIR_BACKEND="uring").result
        self.assertEqual((result.stdout, result.stderr), ("io_uring io_uring\n", ""))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
