"""The generator_average example."""

import subprocess

from driver import PATIENCE_S, ExampleTest, main, program, run


def averages(*arguments):
    """The lines that the program prints for its arguments."""
    result = run("generator_average", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def run_with_input(text):
    """Runs the program with numbers on its standard input."""
    return subprocess.run([program("generator_average")], input=text, text=True,
                          capture_output=True, timeout=PATIENCE_S, check=False)


class GeneratorAverageTest(ExampleTest):
    def test_each_number_is_answered_with_the_average_so_far(self):
        self.assertEqual(averages("10", "20", "30"), ["10", "15", "20"])

    def test_negative_numbers_and_fractions(self):
        self.assertEqual(averages("--", "-1.5", "0", "4.5"), ["-1.5", "-0.75", "1"])

    def test_an_average_can_begin_anew(self):
        self.assertEqual(averages("--reset-below", "0", "--", "4", "8", "-1", "100"),
                         ["4", "6", "begin anew", "100"])

    def test_numbers_come_from_the_standard_input_as_well(self):
        result = run_with_input("1\n\n2\n6\n")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines(), ["1", "1.5", "3"])

    def test_nothing_to_average_is_no_error(self):
        result = run_with_input("")
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)

    def test_what_is_no_number_ends_the_program_after_the_averages_before_it(self):
        result = run("generator_average", "2", "x", "3")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.splitlines(), ["2"])
        self.assertIn("not a number: 'x'", result.stderr)

    def test_usage(self):
        self.assert_usage("generator_average")


if __name__ == "__main__":
    main()
