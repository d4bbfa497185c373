"""The find_race example."""

import os
import re

from driver import ExampleTest, main, run


class FindRaceTest(ExampleTest):
    def test_a_schedule_that_overdraws_is_found_and_its_seed_repeats_it(self):
        result = run("find_race")
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn("Ann's account is overdrawn", result.stdout)
        seed = re.search(r"COIR_SEED=(\d+) repeats it", result.stderr)
        self.assertIsNotNone(seed, result.stderr)
        os.environ["COIR_SEED"] = seed.group(1)
        try:
            again = run("find_race")
        finally:
            del os.environ["COIR_SEED"]
        self.assertEqual(again.returncode, 1, again.stderr)
        self.assertIn("schedule 1: Ann's account is overdrawn", again.stdout)

    def test_with_the_lock_no_schedule_does(self):
        result = run("find_race", "--fixed", "--schedules", "500")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "500 schedules, and no account was overdrawn\n")

    def test_usage(self):
        self.assert_usage("find_race")
        self.assertEqual(run("find_race", "--schedules", "0").returncode, 2)


if __name__ == "__main__":
    main()
