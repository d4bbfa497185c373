"""What the examples that query a database are tested for, each against a real server.

The server is started once; the examples run on both backends, one after the other.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from driver import PATIENCE_S, ExampleTest, main, program  # noqa: E402  (found by the path above)
from ring import why_no_io_uring  # noqa: E402

__all__ = ["FanOutTest", "main"]

BACKENDS = ["epoll"] if why_no_io_uring() else ["epoll", "uring"]
QUERIES = 100
WAIT_S = 0.4  # of a query: all are to be sent in a fraction of it, on a busy machine too
DEADLINE_S = 0.2


def run_on(backend, name, *arguments, **environment):
    """Runs an example to its end, as driver.run does."""
    return subprocess.run([program(name), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          text=True, capture_output=True, timeout=PATIENCE_S, check=False,
                          env={**os.environ, "COIR_BACKEND": backend, **environment})


class FanOutTest(ExampleTest):
    """A subclass names the example and makes the server: with `address`, `waiting()`, the number
    of queries that wait there, and `cut()`, which ends the connections that make them."""

    name = ""
    make_server = None

    @classmethod
    def setUpClass(cls):
        cls.server = cls.make_server()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def figures(self, backend, *options):
        """Runs the example, which must succeed, and returns what it printed, by name."""
        result = run_on(backend, self.name, self.server.address, "--deadline", DEADLINE_S, *options)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stderr, "")
        patterns = (
            r"(?P<queries>\d+) queries over (?P<connections>\d+) connections"
            r" on (?P<threads>\d+) kernel thread \((?P<backend>\w+)\)",
            r"at a time: (?P<sent>\d+) under way, (?P<seen>\d+) seen by the server",
            r"wall time (?P<wall>[\d.]+) s, the waits of the queries together (?P<sum>[\d.]+) s",
            r"plain call: left after (?P<plain>[\d.]+) s, (?P<plain_end>.*),"
            r" (?P<plain_left>\d+) still at the server",
            r"own wait: left after (?P<own>[\d.]+) s, .*,"
            r" (?P<own_left>\d+) still at the server, and it is well",
        )
        match = re.fullmatch("\n".join(patterns) + "\n", result.stdout)
        self.assertTrue(match, result.stdout)
        return match.groupdict()

    def test_a_hundred_queries_wait_together_on_one_thread(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                found = self.figures(backend, "--seconds", WAIT_S)
                self.assertEqual(int(found["queries"]), QUERIES)
                self.assertEqual(int(found["connections"]), QUERIES)
                self.assertEqual(int(found["threads"]), 1)
                self.assertEqual(int(found["sent"]), QUERIES)
                # The server's own count, which is taken at instants: nearly all at one of them.
                self.assertGreater(int(found["seen"]), QUERIES / 2)
                self.assertLessEqual(int(found["seen"]), QUERIES)
                # One after the other they would take as long as their waits together.
                self.assertGreaterEqual(float(found["sum"]), QUERIES * WAIT_S * 0.9)
                self.assertLess(float(found["wall"]), float(found["sum"]) / 4)
                self.assert_deadlines(found)

    def assert_deadlines(self, found):
        """Slow queries of 30 s were left when their time was up, and nothing of them is left."""
        for way in ("plain", "own"):
            self.assertGreaterEqual(float(found[way]), DEADLINE_S * 0.9)
            self.assertLess(float(found[way]), 15)
            self.assertEqual(int(found[f"{way}_left"]), 0)

    def test_no_more_queries_run_than_there_are_connections(self):
        found = self.figures(BACKENDS[-1], "--queries", 40, "--connections", 8, "--seconds", 0.05)
        self.assertEqual(int(found["queries"]), 40)
        self.assertEqual(int(found["connections"]), 8)
        self.assertEqual(int(found["sent"]), 8)
        self.assertLessEqual(int(found["seen"]), 8)
        self.assertGreaterEqual(float(found["wall"]), 5 * 0.05 * 0.9)
        self.assert_deadlines(found)

    def test_a_server_that_is_not_there_is_named_in_the_error(self):
        result = run_on(BACKENDS[-1], self.name, self.server.missing)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, rf"^{self.name}: [^\n]*/nowhere")

    def test_connections_that_are_cut_during_the_queries_are_an_error(self):
        with subprocess.Popen(
                [program(self.name), self.server.address, "--seconds", str(PATIENCE_S)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env={**os.environ, "COIR_BACKEND": BACKENDS[-1]}) as running:
            def has_ended():
                self.server.cut()  # more than once: some libraries try a second time
                return running.poll() is not None
            try:
                self.server.await_true(lambda: self.server.waiting() >= QUERIES,
                                       "all queries are at the server")
                self.server.await_true(has_ended, "the example has ended")
                output, error = running.communicate(timeout=PATIENCE_S)
            finally:
                running.kill()
        self.assertEqual(running.returncode, 1, output + error)
        self.assertEqual(output, "")
        self.assertRegex(error, rf"(?m)^{self.name}: .*(onnection|terminat|socket)")

    def test_usage(self):
        self.assert_usage(self.name)
        without = run_on("epoll", self.name)
        self.assertEqual(without.returncode, 2)
        self.assertIn("one server must be given", without.stderr)
        self.assertEqual(run_on("epoll", self.name, "x", "--queries", 0).returncode, 2)
