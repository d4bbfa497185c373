#!/usr/bin/env python3
"""The examples, which use coir themselves, pass their own tests under `coir run`.

usage: examples_test.py LAUNCHER TOKENS PROGRAM...

Each test of tests/examples is run with scripts in the place of its programs, which start those
under the launcher.
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LAUNCHER, TOKENS = sys.argv[1], sys.argv[2]
PROGRAMS = {os.path.basename(path): path for path in sys.argv[3:]}
TESTS = Path(__file__).resolve().parents[1] / "examples"
PATIENCE_S = 240
# Programs that a test needs besides the one of its name.
COMPANIONS = {"echo_server": ("echo_load",), "locks": ("lock_misuse",),
              "reverse_proxy": ("websocket_echo",)}


def wrap(folder, name):
    """A script that starts the program under the launcher, as the process that was started."""
    script = Path(folder, name)
    script.write_text(f'#!/bin/sh\nexec "{LAUNCHER}" run --workers={TOKENS} -- '
                      f'"{PROGRAMS[name]}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


class ExamplesTest(unittest.TestCase):
    """One test for each script of tests/examples."""


def add_test(name, test):
    """Adds the test of one example."""

    def run(self):
        with tempfile.TemporaryDirectory(prefix="coir-examples-") as folder:
            programs = [wrap(folder, each) for each in (name, *COMPANIONS.get(name, ()))]
            environment = {**os.environ, "COIR_TEST_THREADS_ARE_FIBERS": "1"}
            result = subprocess.run([sys.executable, "-B", str(test), *programs], text=True,
                                    stdin=subprocess.DEVNULL, capture_output=True, check=False,
                                    timeout=PATIENCE_S, env=environment)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    setattr(ExamplesTest, f"test_{name}_does_as_natively", run)


for path in sorted(TESTS.glob("*_test.py")):
    add_test(path.name.removesuffix("_test.py"), path)

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
