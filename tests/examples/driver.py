"""Running the example programs from tests: the programs come as arguments of the test script."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "demo"))

from children import Child  # noqa: E402  (found by the path above)
from ring import why_no_io_uring  # noqa: E402

PATIENCE_S = 30  # sanitizers make programs slow, and other tests run at the same time
SKIPPED = 77  # what ctest takes as "skipped"
PROGRAMS = {os.path.basename(path): path for path in sys.argv[1:]}

os.environ["no_proxy"] = "*"


def program(name):
    """The path of an example that was given to the test."""
    return PROGRAMS[name]


def run(name, *arguments):
    """Runs an example to its end; the result has returncode, stdout and stderr."""
    return subprocess.run([program(name), *arguments], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=PATIENCE_S, check=False)


class Server(Child):
    """A server example that prints where it listens; `wrapper` is a command that starts it."""

    def __init__(self, name, *arguments, wrapper=()):
        super().__init__([*wrapper, program(name), *arguments])
        try:
            first = self.line(PATIENCE_S)
            match = re.fullmatch(r"listening on (\S+):(\d+) \((\w+)\)", first)
            if not match:
                raise AssertionError(f"unexpected first line: {first}")
        except BaseException:
            self.__exit__()
            raise
        self.port = int(match[2])
        self.backend = match[3]


class ExampleTest(unittest.TestCase):
    """What all examples are tested for."""

    def assert_usage(self, name):
        """--help explains, and nonsense is refused with the same text."""
        helped = run(name, "--help")
        self.assertEqual(helped.returncode, 0)
        self.assertTrue(helped.stdout.startswith(f"usage: {name}"), helped.stdout)
        refused = run(name, "--no-such-option")
        self.assertEqual(refused.returncode, 2, refused.stdout)
        self.assertIn(f"usage: {name}", refused.stderr)


def main():
    """Runs the tests of the script that calls it, on the backend that the environment names."""
    if os.environ.get("COIR_BACKEND") == "uring" and (why := why_no_io_uring()):
        print(f"skipped: this machine allows no io_uring ({why})")
        sys.exit(SKIPPED)
    unittest.main(argv=sys.argv[:1], verbosity=2)
