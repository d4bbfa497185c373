"""The select_ticker example."""

import re

from driver import ExampleTest, main, run


def counts(output):
    """How many numbers each producer says that it sent."""
    return [int(n) for n in re.findall(r"^producer \d+: (\d+)$", output, re.MULTILINE)]


class SelectTickerTest(ExampleTest):
    def test_it_ends_when_enough_has_come(self):
        result = run("select_ticker", "--numbers", "40", "--limit", "20", "--tick", "0.01")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("enough: 40 numbers", result.stdout.splitlines())
        self.assertEqual(sum(counts(result.stdout)), 40)

    def test_it_ends_at_the_limit(self):
        result = run("select_ticker", "--numbers", "1000000", "--limit", "0.2", "--tick", "0.05")
        self.assertEqual(result.returncode, 0, result.stderr)
        total = int(re.search(r"^limit: (\d+) numbers$", result.stdout, re.MULTILINE)[1])
        self.assertEqual(sum(counts(result.stdout)), total)
        self.assertGreater(total, 0)

    def test_ticks_come_while_numbers_do(self):
        output = run("select_ticker", "--numbers", "1000000", "--limit", "0.3",
                     "--tick", "0.05").stdout
        seen = [int(n) for n in re.findall(r"^tick: (\d+) numbers$", output, re.MULTILINE)]
        self.assertGreaterEqual(len(seen), 3)  # six, if the machine is not busy
        self.assertLessEqual(len(seen), 6)
        self.assertEqual(seen, sorted(seen))
        self.assertLess(seen[0], seen[-1])

    def test_every_producer_is_heard_and_the_fast_ones_more_often(self):
        sent = counts(run("select_ticker", "--producers", "4", "--numbers", "80",
                          "--limit", "20").stdout)
        self.assertEqual(len(sent), 4)
        self.assertGreater(sent[0], sent[3])
        self.assertGreater(sent[3], 0)

    def test_usage(self):
        self.assert_usage("select_ticker")
        self.assertEqual(run("select_ticker", "--producers", "0").returncode, 2)
        self.assertEqual(run("select_ticker", "--tick", "0").returncode, 2)


if __name__ == "__main__":
    main()
