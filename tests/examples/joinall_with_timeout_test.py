"""The joinall_with_timeout example."""

import time

from driver import ExampleTest, main, run


class JoinallWithTimeoutTest(ExampleTest):
    def test_those_that_are_late_are_killed_when_the_time_is_up(self):
        begin = time.monotonic()
        result = run("joinall_with_timeout", "0.2", "0.01", "3600", "0.02", "3600")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines(), [
            "2 of 4 were done after 0.2 s", "done: 0.01", "late", "done: 0.02", "late",
            "4 of 4 have ended"])
        self.assertGreaterEqual(time.monotonic() - begin, 0.19)

    def test_nobody_waits_longer_than_all_work(self):
        begin = time.monotonic()
        result = run("joinall_with_timeout", "3600", "0.01", "0.02")
        self.assertEqual(result.stdout.splitlines()[0], "2 of 2 were done after 3600 s")
        self.assertLess(time.monotonic() - begin, 20)

    def test_usage(self):
        self.assert_usage("joinall_with_timeout")
        self.assertEqual(run("joinall_with_timeout").returncode, 2)
        self.assertEqual(run("joinall_with_timeout", "1", "soon").returncode, 2)


if __name__ == "__main__":
    main()
