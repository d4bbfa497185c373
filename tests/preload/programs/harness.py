"""Runs real programs under `coir run`, for the tests and benchmarks of this folder.

A test starts a program as its operator would, talks to it through real clients, checks every
answer, stops it, and looks at what is left. Everything that a test starts is given a session of
its own, an empty folder to work in and deadlines; what it printed is kept, and shown on failure
with the kernel threads of the process that was waited for.

    usage: SOME_test.py [LAUNCHER] [--tokens N,N] [--fibers] [--native] [NAME...]

Programs run under LAUNCHER, with each number of tokens; with --native, or where the environment
variable COIR_TEST_NATIVE is set, they run without it. With --fibers the threads of a program have
to be fibers: then a program of many threads must get by with few kernel threads. NAMEs choose
among the tests of the file.
"""

import argparse
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

PATIENCE = 40.0  # seconds that anything may take before it counts as hung
SKIPPED = 77  # CTest's code
# Kernel threads that a program of MANY_THREADS may keep: one for each token, the monitor, and
# spares for those that were stuck in foreign code.
MANY_THREADS = 100
MANY_KERNEL_THREADS = 24
PYTHON = shutil.which("python3") or sys.executable
PYTHON_PROGRAMS = pathlib.Path(__file__).resolve().parent / "python"


class Failure(Exception):
    """Something is not as it has to be."""


class Skip(Exception):
    """Something that the test needs is not installed."""


def check(fact, *what):
    if not fact:
        raise Failure(" ".join(str(word) for word in what))


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def await_true(condition, what, patience=PATIENCE):
    """Until condition() is true, or the test fails; returns what it returned."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        check(time.monotonic() < deadline, "never came true:", what)
        time.sleep(0.01)
    return result


def free_port():
    """A port of 127.0.0.1 that nobody used a moment ago, for servers that cannot choose one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def together(count, work, patience=PATIENCE):
    """Runs work(0) to work(count - 1) in a native thread each and returns what they returned."""
    results = [None] * count
    errors = []

    def one(index):
        try:
            results[index] = work(index)
        except BaseException:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(count)]
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    check(not errors, len(errors), "of", count, "clients failed; the first:", *errors[:1])
    check(not any(thread.is_alive() for thread in threads), "clients did not come to their end")
    return results


def connect(port, timeout=PATIENCE):
    return socket.create_connection(("127.0.0.1", port), timeout)


def receive(connection, size):
    """Exactly `size` bytes."""
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(min(size - len(data), 1 << 20))
        check(piece, "the connection ended after", len(data), "of", size, "bytes")
        data += piece
    return bytes(data)


def echoed(connection, data):
    """Sends, receives as much, and holds one against the other. Takes more than buffers hold."""
    sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
    if len(data) > 16384:
        sender.start()
    else:
        connection.sendall(data)
    check(receive(connection, len(data)) == data, "what came back is not what was sent")
    if len(data) > 16384:
        sender.join(PATIENCE)


# --- processes ------------------------------------------------------------------------------------


class Program:
    """A process in a session of its own. What it prints is kept, line by line."""

    def __init__(self, argv, folder, environment):
        self.argv = [str(word) for word in argv]
        self.log = []
        self.seen = 0  # lines that line() has passed
        self.news = threading.Condition()
        # It is a child with a handle of its own, not a context: the run ends it.
        self.process = subprocess.Popen(
            self.argv, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.news:
                self.log.append(line.decode(errors="replace").rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def text(self):
        with self.news:
            return "\n".join(self.log)

    def line(self, pattern, patience=PATIENCE):
        """Waits for the next line of the output that matches, and returns the match."""
        deadline = time.monotonic() + patience
        with self.news:
            while True:
                while self.seen < len(self.log):
                    self.seen += 1
                    if match := re.search(pattern, self.log[self.seen - 1]):
                        return match
                check(self.reader.is_alive(), "the program ended before it printed:", pattern)
                left = deadline - time.monotonic()
                check(left > 0, "never printed:", pattern)
                self.news.wait(min(left, 0.5))

    def port(self):
        return int(self.line(r"^port (\d+)")[1])

    def say(self, text):
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def ends(self, status=0, patience=PATIENCE):
        """Waits for the end, which must have this status and leave no process behind."""
        try:
            got = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failure("the program did not come to its end") from None
        self.reader.join(PATIENCE)
        check(got == status, "exit status", got, "and not", status)
        await_true(lambda: not self.session(), "no process of the program is left")

    def session(self):
        """The processes of the session that are alive."""
        alive = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                fields = stat_fields(f"/proc/{entry.name}/stat")
                if fields and int(fields[3]) == self.pid and fields[0] != "Z":
                    alive.append(int(entry.name))
        return alive

    def kernel_threads(self, pid=None):
        return len(os.listdir(f"/proc/{pid or self.pid}/task"))

    def kill(self):
        """Ends all of the session."""
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        for pid in self.session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def describe(self, out=sys.stdout):
        """The end of the log, and where its kernel threads are."""
        print(f"--- {' '.join(self.argv)} (status {self.process.poll()}) printed:", file=out)
        print("\n".join(self.text().splitlines()[-80:]), file=out)
        for pid in self.session():
            print(f"--- kernel threads of {pid}:", file=out)
            for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int)[:40]:
                print(" ", task, *(word_of(f"/proc/{pid}/task/{task}/{name}")
                                   for name in ("comm", "wchan", "syscall")), file=out)
        if self.process.poll() is None and shutil.which("gdb"):
            print(stacks(self.pid), file=out)
        out.flush()


def stat_fields(path):
    """The fields of a stat file of /proc from the state on, or nothing if the process is gone."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def word_of(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return "?"


def stacks(pid):
    try:
        return subprocess.run(
            ["gdb", "-p", str(pid), "-batch", "-nx", "-ex", "thread apply all bt 14"],
            capture_output=True, text=True, timeout=60, check=False).stdout[-20000:]
    except subprocess.TimeoutExpired:
        return "(gdb took too long)"


# --- one run of a test ----------------------------------------------------------------------------


class Run:
    """How programs are started in this run: the launcher, the tokens, the folder to work in."""

    def __init__(self, options, tokens):
        self.launcher = options.launcher
        self.takes_workers = options.takes_workers
        self.fibers = options.fibers
        self.tokens = tokens
        self.folder = None
        self.programs = []

    def command(self, argv):
        """argv under the launcher, if there is one."""
        if not self.launcher:
            return list(argv)
        workers = [f"--workers={self.tokens}"] if self.takes_workers else []
        return [self.launcher, "run", *workers, "--", *argv]

    def environment(self, **more):
        environment = {name: value for name, value in os.environ.items()
                       if not name.lower().endswith("_proxy") and name != "COIR_WORKERS"}
        if self.launcher and not self.takes_workers:
            environment["COIR_WORKERS"] = str(self.tokens)
        environment.update(LC_ALL="C.UTF-8", TMPDIR=self.folder, **more)
        return environment

    def start(self, *argv, native=False, **environment):
        """Starts a program in the folder of the run."""
        words = [str(word) for word in argv]
        program = Program(words if native else self.command(words), self.folder,
                          self.environment(**environment))
        self.programs.append(program)
        return program

    def python(self, script, *argv, **settings):
        """Starts a program of the folder python/."""
        return self.start(PYTHON, "-B", "-u", PYTHON_PROGRAMS / script, *argv, **settings)

    def output(self, *argv, text="", status=0, patience=PATIENCE, native=False):
        """Runs a client to its end and returns what it printed to its standard output."""
        words = [str(word) for word in argv]
        process = subprocess.Popen(
            words if native else self.command(words), cwd=self.folder, env=self.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        try:
            out, err = process.communicate(text, patience)
        except subprocess.TimeoutExpired:
            where = stacks(process.pid) if shutil.which("gdb") else ""
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise Failure("did not come to its end:", *words, out[-2000:], err[-2000:],
                          where) from None
        check(process.returncode == status, *words, "ended with status", process.returncode, "and",
              out[-2000:], err[-2000:])
        return out

    def show_threads(self, program, threads, pid=None):
        """Prints how many kernel threads the program has while it has `threads` threads."""
        kernel = program.kernel_threads(pid)
        print(f"kernel threads: {kernel} (threads of the program: {threads})", flush=True)
        if not self.launcher:
            check(kernel >= threads, "the number of kernel threads was not found out")
        elif self.fibers and threads >= MANY_THREADS:
            check(kernel <= MANY_KERNEL_THREADS, kernel, "kernel threads for", threads, "threads")
        return kernel

    def is_hooked(self, program):
        """Whether the process that runs is the program itself, with the hooks in it."""
        maps = word_of(f"/proc/{program.pid}/maps")
        return "libcoir_preload" in maps

    def follow(self, program):
        """Lets a program of python/checks.py run to its end, and counts when it asks for it. It
        hangs if it prints nothing for too long: it has a line for each of its checks."""
        while (line := program.line("^.*$")[0]) != "done":
            if match := re.match(r"threads (\d+)(?: in process (\d+))?$", line):
                self.show_threads(program, int(match[1]), match[2] and int(match[2]))
                program.say("go")
        program.ends(0)


def run_one(test, options, tokens):
    """Whether the test passed; nothing if it was skipped."""
    run = Run(options, tokens)
    how = f"{tokens} token{'s' if tokens > 1 else ''}" if options.launcher else "native"
    title = f"{test.__doc__.strip().splitlines()[0]} ({test.__name__}, {how})"
    print(f"== {title}", flush=True)
    began = time.monotonic()
    # A server that gives up root's rights has to get into the folder, too.
    with tempfile.TemporaryDirectory(prefix="coir-program-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        run.folder = folder
        try:
            test(run)
            for program in run.programs:
                check(program.process.poll() is not None, "still runs:", *program.argv)
        except Skip as reason:
            print(f"skipped: {reason}", flush=True)
            return None
        except Exception:
            traceback.print_exc(file=sys.stdout)
            for program in run.programs:
                program.describe()
            print(f"FAILED: {title}", flush=True)
            return False
        finally:
            for program in run.programs:
                program.kill()
    print(f"ok: {time.monotonic() - began:.1f} s", flush=True)
    return True


def read_options(tests):
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", default="1,2")
    parser.add_argument("--fibers", action="store_true")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args()
    words = options.words
    options.native = options.native or bool(os.environ.get("COIR_TEST_NATIVE"))
    options.launcher = None
    options.takes_workers = False
    names = [test.__name__ for test in tests]
    if words and words[0] not in names:
        options.launcher = str(pathlib.Path(words.pop(0)).absolute())
    if options.native:
        options.launcher = None
    elif not options.launcher:
        parser.error("a launcher is needed, or --native")
    else:
        usage = subprocess.run([options.launcher, "run", "--help"], capture_output=True, text=True,
                               timeout=PATIENCE, check=True).stdout
        options.takes_workers = "--workers" in usage
    unknown = [word for word in words if word not in names]
    if unknown:
        parser.error(f"no test is called {unknown[0]}: {' '.join(names)}")
    options.tests = [test for test in tests if not words or test.__name__ in words]
    options.token_counts = [0] if not options.launcher else [
        int(number) for number in options.tokens.split(",")]
    return options


def main(*tests):
    """Runs the tests of a file, as the command line says."""
    options = read_options(tests)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    passed = [run_one(test, options, tokens)
              for tokens in options.token_counts for test in options.tests]
    sys.exit(1 if False in passed else SKIPPED if None in passed else 0)
