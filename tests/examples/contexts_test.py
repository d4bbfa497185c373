"""The contexts example."""

from driver import ExampleTest, main, run


class ContextsTest(ExampleTest):
    def test_each_word_is_answered_with_the_sum_so_far(self):
        result = run("contexts", "5 + 6 + -1")
        self.assertEqual(result.returncode, 0, result.stderr)
        answers = [line.split()[-1] for line in result.stdout.splitlines()]
        self.assertEqual(answers, ["5", "5", "11", "11", "10", "10"])

    def test_without_a_sum_it_adds_its_own(self):
        self.assertIn("sum: 42\n", run("contexts").stdout)

    def test_an_error_of_the_inner_context_comes_out_of_the_outer_one(self):
        result = run("contexts", "1 + x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("not a number: x", result.stderr)

    def test_usage(self):
        self.assertEqual(run("contexts", "--help").returncode, 0)
        self.assertEqual(run("contexts", "1", "2").returncode, 2)


if __name__ == "__main__":
    main()
