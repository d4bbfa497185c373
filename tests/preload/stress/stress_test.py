#!/usr/bin/env python3
"""Runs the stress program under `coir run` and watches it from outside.

usage: stress_test.py LAUNCHER PROGRAM [--workers 1,2,4] [--seconds S] [--seed N] [PROGRAM OPTIONS]

The seed is printed first; --seed repeats it. A run that fails shows it again, with the program's
own message. A run in which no round ends for a while is taken apart: what each thread was doing
last, from the file in which the program keeps that, and the stacks of its kernel threads. With
"--workers native" the program runs by itself, which must succeed, too.
"""

import argparse
import os
import pathlib
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time

BOARD_LINE_BYTES = 96
# A round takes half a second on an idle machine. This is how long it may take on a busy one.
ROUND_SECONDS_MAX = 90
GDB_SECONDS_MAX = 60


def board_lines(path):
    try:
        board = pathlib.Path(path).read_bytes()
    except OSError:
        return
    for start in range(0, len(board), BOARD_LINE_BYTES):
        text = board[start:start + BOARD_LINE_BYTES].split(b"\0")[0]
        if text:
            yield text.decode(errors="replace")


def processes_of_group(group):
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group:
                    yield int(entry.name)
            except ProcessLookupError:
                continue


def show_stacks(process):
    print(f"-- stacks of process {process}", flush=True)
    command = ["gdb", "-batch", "-p", str(process), "-ex", "thread apply all bt"]
    try:
        subprocess.run(command, timeout=GDB_SECONDS_MAX, stdin=subprocess.DEVNULL,
                       stderr=subprocess.STDOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"no stacks: {error}", flush=True)


def take_apart(group, board):
    print("-- what the threads were doing", flush=True)
    for line in board_lines(board):
        print(line)
    for process in sorted(processes_of_group(group)):
        show_stacks(process)


def lines_in_time(process):
    """The lines that the process prints; None when there was none for too long."""
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        deadline = time.monotonic() + ROUND_SECONDS_MAX
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                yield None
                return
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                return
            deadline = time.monotonic() + ROUND_SECONDS_MAX
            *complete, text = (text + more).split(b"\n")
            for line in complete:
                yield line.decode(errors="replace")


def run(options, workers, seed, folder):
    """True when the program ran to its end and found all totals exact."""
    board = str(pathlib.Path(folder) / f"board-{workers}")
    command = [options.program, "--seed", str(seed), "--seconds", str(options.seconds),
               "--board", board, *options.rest]
    environment = dict(os.environ)
    if workers != "native":
        command = [options.launcher, "run", "--", *command]
        environment["COIR_WORKERS"] = workers
    print(f"== {workers} workers, seed {seed}", flush=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
    last = ""
    try:
        for line in lines_in_time(process):
            if line is None:
                print(f"-- no round ended for {ROUND_SECONDS_MAX} s", flush=True)
                take_apart(process.pid, board)
                break
            last = line
            print(line, flush=True)
        else:
            try:
                status = process.wait(ROUND_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                print("-- it does not end", flush=True)
                take_apart(process.pid, board)
                return False
            if status == 0 and last == "all totals are exact":
                return True
            print(f"-- exit status {status}; what the threads were doing:")
            for line in board_lines(board):
                print(line)
        return False
    finally:
        for one in [*processes_of_group(process.pid)]:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        process.stdout.close()


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("launcher")
    parser.add_argument("program")
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--seconds", type=int, default=20, help="of each number of workers")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COIR_STRESS_SEED", "0")))
    options, options.rest = parser.parse_known_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 32)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="coir-stress-") as folder:
        for workers in options.workers.split(","):
            if not run(options, workers, seed, folder):
                print(f"FAILED with {workers} workers; to repeat it: --seed {seed} "
                      f"--workers {workers} --seconds {options.seconds}", flush=True)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
