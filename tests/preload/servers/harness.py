"""What the tests of this folder share: a program under the launcher or without it, and its end.

A test is a script with a table of cases: names that are sentences, and functions that take a
`Harness`. `main` runs them one after the other in one temporary folder and prints a line for each.

    --coir PATH       the launcher; without it the program runs natively, as a test of the test
    --workers N       tokens: how many kernel threads may run the program's threads at a time
    --programs PATH   where the test's own programs have been built
    --fibers          checks as well that the program's threads cost few kernel threads
    --case WORD       only the cases whose name contains the word; may be given several times

Every wait has a deadline, and the whole script has one: when it passes, the script prints where it
stands and what the programs have said, ends them and fails. Programs are ended by their own process
number or by that of the process group that they lead.
"""

import argparse
import contextlib
import ctypes
import faulthandler
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SKIPPED = 77  # what CTest is told to take for "skipped"
PATIENCE_SECONDS = 20
LIFE_SECONDS = 90  # of a whole script; CTest gives it 120
# What kernel threads cost too much: a token each, those that wait in the kernel for a disk or in
# code that no hook sees, the monitor. A program that is watched here has many times as many.
FEW_KERNEL_THREADS = 40
LOG_LINES = 60
THREADS_DESCRIBED = 20

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """What a test found wrong."""


class OutOfTime(Exception):
    """The whole script took too long."""


def check(condition, what):
    """Raises a Failure that says `what` unless the condition holds."""
    if not condition:
        raise Failure(what)


def skip(why):
    """Ends the script as skipped."""
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def need(*programs):
    """The paths of the programs; skips the test when one of them is not installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = [shutil.which(program, path=path) for program in programs]
    for program, where in zip(programs, found):
        if where is None:
            skip(f"{program} is not installed")
    return found[0] if len(found) == 1 else found


def wait_until(ready, what, seconds=PATIENCE_SECONDS):
    """Calls `ready` until it returns something true, which it returns; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = ready()
        if result:
            return result
        check(time.monotonic() < end, f"after {seconds} s still not: {what}")
        time.sleep(0.02)


def accepts(address):
    """Whether somebody listens on a unix socket (a path) or on a loopback port (a number)."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as probe:
        probe.settimeout(5)
        to = ("127.0.0.1", address) if isinstance(address, int) else str(address)
        with contextlib.suppress(OSError):
            probe.connect(to)
            return True
    return False


def free_port():
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kernel_threads(*pids):
    """How many kernel threads the processes have together."""
    return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)


def describe_threads(pid):
    """Where the first kernel threads of a process stand: state, system call and its arguments."""
    lines = []
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int)[:THREADS_DESCRIBED]:
        with contextlib.suppress(OSError):
            folder = pathlib.Path(f"/proc/{pid}/task/{task}")
            name, _, rest = (folder / "stat").read_text(errors="replace").rpartition(")")
            call = (folder / "syscall").read_text(encoding="ascii").split()
            lines.append(f"  {name}) {rest.split()[0]}, system call {' '.join(call[:5])}")
    return "\n".join(lines)


def children(pid):
    """The process numbers of the living children of a process."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii")
            found += [int(child) for child in text.split()]
    return found


def mark_for_end(limits):
    """A preexec_fn: the process ends with this one, and has the given soft resource limits."""

    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for what, value in limits.items():
            resource.setrlimit(what, (value, resource.getrlimit(what)[1]))

    return prepare


def most_descriptors():
    """The limits that let a process open as many files as it may."""
    return {resource.RLIMIT_NOFILE: resource.getrlimit(resource.RLIMIT_NOFILE)[1]}


class Program:
    """A running program that leads a process group; its output goes into a log."""

    def __init__(self, command, log, environment, limits, has_input):
        self.name = os.path.basename(command[0])
        self.log = log
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE if has_input else subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=environment, start_new_session=True,
                preexec_fn=mark_for_end(limits))
        self.pid = self._process.pid

    def said(self):
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def is_running(self):
        return self._process.poll() is None

    def await_line(self, word, seconds=PATIENCE_SECONDS):
        """The first line of its output that contains the word, once there is one."""

        def line():
            for text in self.said().splitlines():
                if word in text:
                    return text
            check(self.is_running(), f"{self.name} ended with {self._process.returncode} "
                                     f"before it said {word!r}")
            return None

        return wait_until(line, f"{self.name} says {word!r}", seconds)

    def await_ready(self, address, seconds=PATIENCE_SECONDS):
        """Waits until it listens on a unix socket (a path) or on a loopback port (a number)."""

        def ready():
            check(self.is_running(), f"{self.name} ended with {self._process.returncode} "
                                     "before it listened")
            return accepts(address)

        wait_until(ready, f"{self.name} listens on {address}", seconds)

    def tell(self, line):
        """Writes a line to its stdin."""
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def close_input(self):
        self._process.stdin.close()

    def send_signal(self, number):
        self._process.send_signal(number)

    def await_end(self, status=0, seconds=PATIENCE_SECONDS):
        """Waits for its end, which must come with the given exit status."""
        try:
            ended = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} has not ended after {seconds} s") from None
        check(ended == status, f"{self.name} ended with {ended}, not with {status}")

    def stop(self, number=signal.SIGTERM, status=0, seconds=PATIENCE_SECONDS):
        """Sends a signal that asks it to end; it must then end with the given exit status."""
        check(self.is_running(), f"{self.name} ended by itself with {self._process.returncode}")
        self.send_signal(number)
        self.await_end(status, seconds)

    def kill(self):
        """Ends it and its process group, whatever state they are in."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.is_running():
            self._process.kill()
        self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


class Harness:
    """Where a case runs: the launcher, a temporary folder, and the programs that it started."""

    def __init__(self, arguments, folder):
        self.coir = arguments.coir
        self.workers = arguments.workers
        self.programs = pathlib.Path(arguments.programs)
        self.must_be_few = arguments.fibers
        self.folder = folder
        self._started = []
        self._logs = 0
        self._launch = launch_command(self.coir, self.workers) if self.coir else []

    def program(self, name):
        """The path of one of the test's own programs."""
        path = self.programs / name
        check(path.exists(), f"{path} has not been built")
        return str(path)

    def environment(self, **more):
        """The environment of a program, with the number of tokens in it."""
        result = {**os.environ, **more}
        if self.coir:
            result["COIR_WORKERS"] = str(self.workers)
        return result

    def under_launcher(self, command):
        """The command as it is run: under the launcher, if there is one."""
        return [*self._launch, *map(str, command)]

    def start(self, command, limits=None, has_input=False, is_native=False, **environment):
        """Starts a program, under the launcher unless it is to run natively."""
        self._logs += 1
        log = self.folder / f"{self._logs}-{os.path.basename(str(command[0]))}.log"
        program = Program(
            list(map(str, command)) if is_native else self.under_launcher(command), log,
            self.environment(**environment), limits or {}, has_input)
        program.name = os.path.basename(str(command[0]))
        self._started.append(program)
        return program

    def run(self, command, seconds=60, status=0, is_native=False, text_input=None, **environment):
        """Runs a program to its end and returns what it wrote; its exit status is checked."""
        line = list(map(str, command)) if is_native else self.under_launcher(command)
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self.environment(**environment), text=True, errors="replace",
            start_new_session=True, preexec_fn=mark_for_end({}))
        try:
            output, _ = process.communicate(text_input, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise Failure(f"{line} has not ended after {seconds} s:\n{output}") from None
        check(process.returncode == status,
              f"{line} ended with {process.returncode}, not with {status}:\n{output}")
        return output

    def report_threads(self, threads, *pids):
        """Prints how many kernel threads stand behind `threads` threads of the program, and checks
        with --fibers that they are few."""
        count = kernel_threads(*pids)
        print(f"  kernel threads: {count} (threads of the program: {threads})", flush=True)
        if self.must_be_few:
            check(threads > FEW_KERNEL_THREADS, "the program has too few threads to tell")
            few = FEW_KERNEL_THREADS * len(pids)
            check(count <= few, f"{count} kernel threads are more than {few}")

    def print_logs(self):
        """What the programs of the case have said last."""
        for program in self._started:
            state = "running" if program.is_running() else "ended"
            print(f"--- {program.name} (process {program.pid}, {state}) said:", file=sys.stderr)
            print("\n".join(program.said().splitlines()[-LOG_LINES:]), file=sys.stderr)
            if program.is_running():
                print(describe_threads(program.pid), file=sys.stderr)

    def end_all(self):
        for program in reversed(self._started):
            program.kill()
        self._started.clear()


def launch_command(coir, workers):
    """The beginning of a command line under the launcher."""
    help_text = subprocess.run([coir, "run", "--help"], capture_output=True, text=True, timeout=20,
                               check=True).stdout
    # A launcher that does not know the option takes COIR_WORKERS alone.
    option = [f"--workers={workers}"] if "--workers" in help_text else []
    return [coir, "run", *option, "--"]


def parse(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--coir", help="the launcher; without it the program runs natively")
    parser.add_argument("--workers", type=int, default=1, help="tokens")
    parser.add_argument("--programs", default=".", help="where the test's programs were built")
    parser.add_argument("--fibers", action="store_true", help="kernel threads must be few")
    parser.add_argument("--case", action="append", default=[], help="a word of a case's name")
    return parser.parse_args()


def open_folder():
    """A temporary folder in which a server may work as another user."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coir-servers-"))
    folder.chmod(0o755)
    return folder


def main(description, cases):
    """Runs the cases of a script: {sentence: function of a Harness}. Does not return."""
    arguments = parse(description)
    folder = open_folder()
    harness = Harness(arguments, folder)

    def give_up(*_):
        faulthandler.dump_traceback(sys.stderr)
        raise OutOfTime(f"the script was to end after {LIFE_SECONDS} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGTERM, give_up)
    signal.alarm(LIFE_SECONDS)
    chosen = [name for name in cases if all(word in name for word in arguments.case)]
    try:
        passed = sum(run_case(harness, name, cases[name]) for name in chosen)
    finally:
        signal.alarm(0)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} of {len(chosen)} passed", flush=True)
    sys.exit(0 if chosen and passed == len(chosen) else 1)


def run_case(harness, name, function):
    """One case; prints what came of it and returns whether it passed."""
    begun = time.monotonic()
    try:
        function(harness)
        print(f"ok: {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        return True
    except Exception as why:  # whatever it is, the logs tell more
        print(f"FAILED: {name}: {type(why).__name__}: {why}", file=sys.stderr, flush=True)
        if not isinstance(why, Failure):
            traceback.print_exc()
        harness.print_logs()
        if isinstance(why, OutOfTime):
            sys.exit(1)
        return False
    finally:
        harness.end_all()
