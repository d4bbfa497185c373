"""The pool_map example."""

import re

from driver import ExampleTest, main, run

POOL_SIZE = 2
WORK_S = 0.1


def events(output):
    """(time, start or end, item) of each line that tells one."""
    found = re.findall(r"^(\d+\.\d+) s  (start|end) +(-?\d+)$", output, re.MULTILINE)
    return [(float(time), what, int(item)) for time, what, item in found]


class PoolMapTest(ExampleTest):
    def test_the_squares_come_in_the_order_of_the_items(self):
        result = run("pool_map", "9", "-3", "7")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines()[-1], "squares: 81 9 49")

    def test_the_third_call_waits_until_one_has_ended(self):
        seen = events(run("pool_map").stdout)
        order = [what for _, what, _ in seen]
        self.assertEqual(order[:3], ["start", "start", "end"])
        begin_of_third = next(time for time, what, item in seen if (what, item) == ("start", 3))
        self.assertGreaterEqual(begin_of_third, WORK_S)

    def test_no_more_than_two_run_at_a_time(self):
        running = 0
        for _, what, _ in events(run("pool_map", *map(str, range(9))).stdout):
            running += 1 if what == "start" else -1
            self.assertIn(running, range(POOL_SIZE + 1))
        self.assertEqual(running, 0)

    def test_usage(self):
        self.assert_usage("pool_map")


if __name__ == "__main__":
    main()
