"""The nursery example."""

from driver import ExampleTest, main, run

PARTS = ("head", "body", "foot")


class NurseryTest(ExampleTest):
    def assert_all_closed(self, output):
        """Every part was begun, and its connection closed in the end."""
        lines = output.splitlines()
        for part in PARTS:
            self.assertIn(f"{part}: connected", lines)
            self.assertGreater(lines.index(f"{part}: closed"), lines.index(f"{part}: connected"))

    def test_without_failure_the_whole_page_is_shown(self):
        result = run("nursery")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_all_closed(result.stdout)
        self.assertEqual(result.stdout.splitlines()[-3:],
                         [f"{part} of the page" for part in PARTS])

    def test_the_first_failure_kills_the_others_which_clean_up_before_the_scope_ends(self):
        result = run("nursery", "--fail", "head")
        self.assertEqual(result.returncode, 1)
        self.assert_all_closed(result.stdout)
        self.assertNotIn("fetched", result.stdout)
        self.assertEqual(result.stdout.splitlines()[-1], "no page: head cannot be found")
        self.assertIn('fiber "head"', result.stderr)

    def test_what_is_done_before_the_failure_stays_done(self):
        result = run("nursery", "--fail", "foot")
        self.assertEqual(result.returncode, 1)
        self.assertIn("head: fetched", result.stdout)
        self.assertNotIn("body: fetched", result.stdout)
        self.assert_all_closed(result.stdout)

    def test_failures_may_be_ignored(self):
        result = run("nursery", "--fail", "head", "--ignore")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_all_closed(result.stdout)
        self.assertEqual(result.stdout.splitlines()[-3:],
                         ["(head cannot be found)", "body of the page", "foot of the page"])

    def test_usage(self):
        self.assert_usage("nursery")
        self.assertEqual(run("nursery", "--fail", "arm").returncode, 2)
        self.assertEqual(run("nursery", "more").returncode, 2)


if __name__ == "__main__":
    main()
