"""The locks and lock_misuse examples."""

import re

from driver import ExampleTest, main, run


class LocksTest(ExampleTest):
    def test_additions_are_lost_without_a_lock_only(self):
        result = run("locks", "--fibers", "5", "--rounds", "20")
        self.assertEqual(result.returncode, 0, result.stderr)
        counts = [tuple(map(int, pair)) for pair in re.findall(r"(\d+) of (\d+)", result.stdout)]
        self.assertEqual(len(counts), 3)
        self.assertLess(counts[0][0], 100)
        self.assertEqual(counts[1:], [(100, 100), (200, 200)])

    def test_usage(self):
        self.assert_usage("locks")
        self.assertEqual(run("locks", "--fibers", "1").returncode, 2)


class LockMisuseTest(ExampleTest):
    def test_every_mistake_is_reported(self):
        result = run("lock_misuse")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("unlocked by a fiber that does not hold it", result.stdout)
        self.assertIn("this fiber holds it already", result.stdout)
        self.assertIn("more units released", result.stdout)
        self.assertRegex(result.stdout, r'fiber "forwards" \(#\d+\) waits for mutex at \S+, '
                                        r'held by fiber "backwards"')
        self.assertIn("4 of 4 mistakes were reported", result.stdout)

    def test_usage(self):
        self.assert_usage("lock_misuse")


if __name__ == "__main__":
    main()
