#!/usr/bin/env python3
"""Runs each promise of a program natively and under the launcher, and compares the two.

A promise is kept under the launcher when the native run gave the expected exit status and each run
under the launcher gives the same standard output and the same status, with one worker and with two.
Every run is a process group of its own with a deadline; what is left of it afterwards is ended.

usage: compare.py [--native] [--repeat N] [--only NAME] LAUNCHER PROGRAM...
  --native    natively only: are the programs themselves right, and always the same?
  --repeat N  every run N times
  --only NAME this promise only
"""

import argparse
import difflib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

RUN_SECONDS = 30
WORKERS = (1, 2)
DIFF_LINES = 20
TIMED_OUT = "did not end within its time"


@dataclass
class Result:
    status: object  # an exit code, minus a signal's number, or TIMED_OUT
    output: str
    errors: str

    def same(self, other):
        return self.status == other.status and self.output == other.output


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, environment):
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=RUN_SECONDS)
        return Result(process.returncode, output, errors)
    except subprocess.TimeoutExpired:
        end_group(process)
        output, errors = process.communicate()
        return Result(TIMED_OUT, output, errors)
    finally:
        end_group(process)


def promises(program):
    listing = run([program], {})
    if listing.status != 0:
        sys.exit(f"{program} does not list its promises: {listing.errors}")
    for line in listing.output.splitlines():
        name, status, sentence = line.split("\t")
        yield name, int(status), sentence


def native_problem(result, expected):
    if result.status == expected and "broken" not in result.output:
        return None
    return f"natively: status {result.status}, not {expected}\n{result.output}{result.errors}"


def launched_problem(workers, native, result):
    if result.same(native):
        return None
    diff = difflib.unified_diff(
        native.output.splitlines(), result.output.splitlines(), "natively", "launched", lineterm=""
    )
    diff = list(diff)[:DIFF_LINES]
    lines = [f"with {workers} worker(s): status {result.status}, natively {native.status}", *diff]
    return "\n".join(lines + result.errors.splitlines())


def keep(options, program, name, expected):
    """What went wrong, as a list of texts."""
    for _ in range(options.repeat):
        native = run([program, name], {})
        problem = native_problem(native, expected)
        if problem:
            return [problem]
        if options.native:
            continue
        found = []
        for workers in WORKERS:
            result = run(
                [options.launcher, "run", "--", program, name], {"COIR_WORKERS": str(workers)}
            )
            found.append(launched_problem(workers, native, result))
        found = [problem for problem in found if problem]
        if found:
            return found
    return []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("launcher")
    parser.add_argument("programs", nargs="+")
    options = parser.parse_args()
    failed = kept = 0
    for program in options.programs:
        for name, expected, sentence in promises(program):
            if options.only not in (None, name):
                continue
            began = time.monotonic()
            problems = keep(options, program, name, expected)
            seconds = time.monotonic() - began
            if problems:
                failed += 1
                print(f"BROKEN  {name}: {sentence}  ({seconds:.2f} s)")
                for problem in problems:
                    print("    " + problem.replace("\n", "\n    "))
            else:
                kept += 1
                print(f"kept    {sentence}  ({seconds:.2f} s)")
            sys.stdout.flush()
    print(f"{kept} kept, {failed} broken")
    return 1 if failed or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
