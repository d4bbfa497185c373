"""The run_commands example."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from driver import PATIENCE_S, ExampleTest, main, program, run


def wait_until(condition):
    """Looks now and then until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it has not come to that")
        time.sleep(0.01)


def exists(pid):
    """Whether there is a process of that number, a zombie included."""
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


class RunCommandsTest(ExampleTest):
    def test_its_own_commands_show_output_and_status(self):
        result = run("run_commands")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stdout, "echo hello: exit code 0\n"
                                        "  hello\n"
                                        "printf 'b\\na\\n' | sort: exit code 0\n"
                                        "  a\n"
                                        "  b\n"
                                        "exit 3: exit code 3\n")

    def test_all_that_succeed_are_status_zero(self):
        result = run("run_commands", "true", "echo to stderr >&2")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("  to stderr\n", result.stdout)

    def test_commands_run_at_the_same_time(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(f"{folder}/fifo")  # each waits for the other
            result = run("run_commands", f"echo met > {folder}/fifo", f"cat {folder}/fifo")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("  met\n", result.stdout)

    def test_one_that_takes_too_long_is_ended_with_its_children(self):
        result = run("run_commands", "--timeout", "1", "sleep 60 & echo $!; wait", "echo quick")
        self.assertEqual(result.returncode, 1)
        self.assertIn(": ended after 1 s\n", result.stdout)
        self.assertIn("echo quick: exit code 0\n", result.stdout)

    def test_a_signal_ends_the_commands(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with tempfile.TemporaryDirectory() as folder:
                pids = pathlib.Path(folder, "pids")
                pids.touch()
                command = f"echo $$ >> {pids}; exec sleep 60"
                with subprocess.Popen([program("run_commands"), command, command],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True) as child:
                    wait_until(lambda file=pids: file.read_text().count("\n") == 2)
                    child.send_signal(number)
                    output, errors = child.communicate(timeout=PATIENCE_S)
                self.assertEqual(child.returncode, 130, errors)
                self.assertIn(f"run_commands: {signal.Signals(number).name} from process", errors)
                self.assertEqual(output.count(": interrupted\n"), 2, output)
                for pid in pids.read_text().split():
                    wait_until(lambda pid=int(pid): not exists(pid))

    def test_nobody_reading_the_output_is_an_error(self):
        with subprocess.Popen([program("run_commands"), "sleep 0.2"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as child:
            child.stdout.close()
            self.assertIn("Broken pipe", child.stderr.read())
            self.assertEqual(child.wait(PATIENCE_S), 1)

    def test_usage(self):
        self.assert_usage("run_commands")
        self.assertEqual(run("run_commands", "--timeout", "none").returncode, 2)


if __name__ == "__main__":
    main()
