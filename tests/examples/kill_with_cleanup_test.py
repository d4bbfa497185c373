"""The kill_with_cleanup example."""

from driver import ExampleTest, main, run


class KillWithCleanupTest(ExampleTest):
    def test_each_fiber_does_what_it_is_there_for(self):
        result = run("kill_with_cleanup")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines(), [
            "one with resources:", "  the lock is released", "  the file is released",
            "  ended well",
            "one with a handler:", "  said good-bye", "  ended well",
            "one that must not be cut short:", "  writing", "  written", "  ended well",
            "one that ignores it:", "  ended well", "  went on regardless",
            "one that is told why:", "  the server goes down"])

    def test_only_the_error_is_reported(self):
        lines = run("kill_with_cleanup").stderr.splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn('fiber "told"', lines[0])
        self.assertIn("the server goes down", lines[0])

    def test_usage(self):
        self.assert_usage("kill_with_cleanup")


if __name__ == "__main__":
    main()
