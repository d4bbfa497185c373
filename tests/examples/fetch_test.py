"""The fetch example, against the slow web server of the demo."""

import hashlib
import json
import socket
import sys
import tempfile
import time
from pathlib import Path

from driver import PATIENCE_S, Child, ExampleTest, main, run

SERVER = Path(__file__).resolve().parents[2] / "examples" / "demo" / "slow_http.py"
BODIES = 20
DELAY_S = 0.5


class FetchTest(ExampleTest):
    @classmethod
    def setUpClass(cls):
        cls.web = Child([sys.executable, "-B", str(SERVER), "--delay", str(DELAY_S),
                         "--bodies", str(BODIES)])
        described = json.loads(cls.web.line(PATIENCE_S))
        cls.bodies = described["bodies"]
        cls.port = described["port"]

    @classmethod
    def tearDownClass(cls):
        cls.web.stop()
        cls.web.__exit__()

    def url(self, path, host="127.0.0.1"):
        """Of a path on the web server."""
        return f"http://{host}:{self.port}{path}"

    def test_all_bodies_arrive_whole_in_about_the_time_of_one(self):
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory, "made", "here")
            begin = time.monotonic()
            result = run("fetch", "--output-dir", str(target), *map(self.url, self.bodies))
            seconds = time.monotonic() - begin
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            for number, body in enumerate(self.bodies.values(), 1):
                content = (target / str(number)).read_bytes()
                self.assertEqual(hashlib.sha256(content).hexdigest(), body["sha256"])
        self.assertLess(seconds, BODIES * DELAY_S / 2)  # one by one: BODIES * DELAY_S
        self.assertEqual(len(result.stdout.splitlines()), BODIES + 1)

    def test_each_line_tells_status_bytes_and_url(self):
        path, body = next(iter(self.bodies.items()))
        line = run("fetch", self.url(path)).stdout.splitlines()[0].split()
        self.assertEqual(line[:3], ["200", str(body["bytes"]), "bytes"])
        self.assertEqual(line[-1], self.url(path))
        self.assertGreaterEqual(float(line[3]), DELAY_S)

    def test_names_are_looked_up(self):
        result = run("fetch", *(self.url(path, "localhost") for path in self.bodies))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_lines_come_as_transfers_end(self):
        result = run("fetch", self.url("/slow/1.5"), self.url("/slow/0.1"), self.url("/slow/0.8"))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        order = [line.rpartition("/")[2] for line in result.stdout.splitlines()[:-1]]
        self.assertEqual(order, ["0.1", "0.8", "1.5"])

    def test_a_refusing_server_makes_it_fail_but_the_others_come(self):
        good = next(iter(self.bodies))
        result = run("fetch", self.url("/status/500"), self.url(good), self.url("/no/such/path"))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.count("FAILED: the server refused it"), 2)
        self.assertIn("1 of 3 in", result.stdout)

    def test_errors_of_libcurl_are_told(self):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            closed = f"http://127.0.0.1:{bound.getsockname()[1]}/"
            result = run("fetch", closed, "no-such-protocol://x/")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{closed}  FAILED: Failed to connect", result.stdout)
        self.assertIn("FAILED: Protocol", result.stdout)

    def test_what_does_not_end_in_time_is_given_up(self):
        begin = time.monotonic()
        result = run("fetch", "--timeout", "2", self.url("/slow/25"), self.url("/slow/0"))
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(result.returncode, 1)
        self.assertIn("/slow/25  FAILED: not done in time", result.stdout)
        self.assertIn("1 of 2 in", result.stdout)

    def test_a_directory_that_cannot_be_made_is_an_error(self):
        result = run("fetch", "--output-dir", "/proc/no/such", self.url("/slow/0"))
        self.assertEqual(result.returncode, 1)
        self.assertNotEqual(result.stderr, "")

    def test_usage(self):
        self.assert_usage("fetch")
        self.assertEqual(run("fetch").returncode, 2)
        self.assertEqual(run("fetch", "--timeout", "0", "http://x/").returncode, 2)


if __name__ == "__main__":
    main()
