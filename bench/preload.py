"""Unmodified programs, their threads as the kernel's and as fibers on one and on two tokens.

Each round measures every row natively, with one token and with two, in turn and with fresh
processes, so that what disturbs the machine disturbs all of them; the order turns round from round
to round. A figure is the median of all rounds, a ratio the median of the ratios to the native
figure of the same round. Nothing is pinned: the load of a server shares the processors with it, so
figures per second of the server's own processor time tell more than those per second of the clock.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import pwd
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import measuring

HERE = pathlib.Path(__file__).resolve().parent
LIFE_SECONDS = 240  # of each process
ANSWER_SECONDS = 60
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
CPU_CLOCK_OF_PROCESS = 2  # in the number of a clock that belongs to a process


class Unavailable(Exception):
    """What a row needs is not installed or not built."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table: what is measured, and which way is better."""

    name: str
    unit: str
    more_is_better: bool
    digits: int = 0


@dataclasses.dataclass(frozen=True)
class Way:
    """One way of running a program: natively, or under the launcher with some tokens."""

    name: str
    command: tuple
    workers: int | None

    def environment(self):
        return {} if self.workers is None else {"COIR_WORKERS": str(self.workers)}


@dataclasses.dataclass
class How:
    """The manner of a run."""

    build: pathlib.Path
    folder: pathlib.Path
    rounds: int
    is_smoke: bool

    def seconds(self, usual):
        return 0.3 if self.is_smoke else usual

    def count(self, usual):
        return max(1, usual // 50) if self.is_smoke else usual

    def built(self, name):
        """A program of the build."""
        path = self.build / name
        if not path.exists():
            raise Unavailable(f"{path} has not been built")
        return path


def installed(name):
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        raise Unavailable(f"{name} is not installed")
    return path


# --- processes ------------------------------------------------------------------------------------


class Process:
    """A running program; ends with the `with` block that it is used in."""

    def __init__(self, how, command, way=None):
        self.log = how.folder / f"{os.path.basename(command[0])}.log"
        full = [*(way.command if way else ()), *map(str, command)]
        with open(self.log, "wb") as errors:
            self._process = subprocess.Popen(
                full, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env={**os.environ, **(way.environment() if way else {})}, text=True, bufsize=1,
                preexec_fn=measuring.placed(None, "none", LIFE_SECONDS))
        self.pid = self._process.pid
        self.name = os.path.basename(str(command[0]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _fail(self, why):
        said = self.log.read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"{self.name} {why}; it said:\n{said[-2000:]}")

    def read_line(self):
        """The next line of its stdout."""
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._fail("gave no answer")
        return line.strip()

    def tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def await_ready(self, address):
        """Waits until it listens on a unix socket (a path) or on a loopback port (a number)."""
        end = time.monotonic() + ANSWER_SECONDS
        family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        to = ("127.0.0.1", address) if isinstance(address, int) else str(address)
        while time.monotonic() < end:
            if self._process.poll() is not None:
                self._fail(f"ended with {self._process.returncode}")
            with socket.socket(family) as probe, contextlib.suppress(OSError):
                probe.connect(to)
                return
            time.sleep(0.02)
        self._fail("does not listen")

    def await_end(self):
        """Waits for its end, which must be a good one."""
        try:
            status = self._process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._fail("does not end")
        if status != 0:
            self._fail(f"ended with {status}")


def run(command, way=None, seconds=ANSWER_SECONDS):
    """Runs a program to its end; what it wrote to stdout."""
    full = [*(way.command if way else ()), *map(str, command)]
    done = subprocess.run(full, env={**os.environ, **(way.environment() if way else {})},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=seconds, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{full} ended with {done.returncode}:\n{done.stdout[-1000:]}"
                           f"{done.stderr[-1000:]}")
    return done.stdout


def cpu_seconds(*pids):
    """The processor time of processes: utime and stime of /proc/PID/stat, unrounded."""
    return sum(time.clock_gettime((~pid << 3) | CPU_CLOCK_OF_PROCESS) for pid in pids)


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- rows -----------------------------------------------------------------------------------------
# A row is a class: its figures, and `measure`, which returns their values for one way of running.


class EchoRow:
    """An echo server, by the load of the tests: `connections` open, `active` of them in use."""

    connections, active, seconds = 10_000, 200, 2.0

    def server(self, how):
        return [how.built("tests/preload_servers_echo_server")]

    def measure(self, how, way):
        program = how.built("tests/preload_servers_echo_load")
        with Process(how, self.server(how), way) as server:
            port = server.read_line().rpartition(":")[2]
            with Process(how, [program, "--port", port, "--connections",
                               how.count(self.connections), "--active", how.count(self.active),
                               "--bytes", 64]) as load:
                opened = json.loads(load.read_line())
                load.tell(how.seconds(self.seconds) / 4)  # warms caches; not counted
                load.read_line()
                before = cpu_seconds(server.pid)
                load.tell(how.seconds(self.seconds))
                result = json.loads(load.read_line())
                cpu = cpu_seconds(server.pid) - before
        return [result["requests"] / cpu, result["requests"] / result["seconds"],
                result["p99_us"], opened["seconds"] * 1000]


class Echo10k(EchoRow):
    name = "echo10k"
    title = "C++ echo, 10,000 connections, 200 active"
    figures = (Figure("", "req/CPU-s", True), Figure("", "req/s", True),
               Figure("", "p99 us", False), Figure("", "opening ms", False))


class PythonEcho(EchoRow):
    name = "python-echo"
    title = "Python echo, 4,000 active connections"
    figures = Echo10k.figures
    connections, active, seconds = 4000, 4000, 3.0

    def server(self, how):
        return [sys.executable, HERE / "preload/echo_threads.py"]


class MariaDB:
    """One server for all of its loads; the data are made once and copied for each way."""

    name = "mariadb"
    title = "MariaDB"
    loads = (("oltp_point_select", 8), ("oltp_point_select", 64), ("oltp_read_write", 64))
    figures = tuple(
        Figure(f"{test.removeprefix('oltp_')} x {threads}", unit, more, digits)
        for test, threads in loads
        for unit, more, digits in (("q/s", True, 0), ("q/CPU-s", True, 0), ("p95 ms", False, 2)))
    tables, rows, seconds = 4, 10_000, 2

    def measure(self, how, way):
        sysbench = installed("sysbench")
        data = how.folder / f"mariadb-{way.workers or 'native'}"
        if not data.exists():
            shutil.copytree(self._template(how, sysbench), data, symlinks=True)
            self._own(data)
        with self._serve(how, data, way) as server:
            values = []
            for test, threads in self.loads:
                values += self._load(how, sysbench, server, test, threads)
        return values

    def _load(self, how, sysbench, server, test, threads):
        before = cpu_seconds(server.pid)
        output = run(self._sysbench(how, sysbench, test, threads) + ["run"])
        cpu = cpu_seconds(server.pid) - before
        queries = int(re.search(r"queries: +(\d+)", output)[1])
        rate = float(re.search(r"queries: +\d+ +\(([0-9.]+) per sec", output)[1])
        p95 = float(re.search(r"95th percentile: +([0-9.]+)", output)[1])
        return [rate, queries / cpu, p95]

    def _sysbench(self, how, sysbench, test, threads):
        seconds = 1 if how.is_smoke else self.seconds
        return [sysbench, test, f"--mysql-socket={self._socket(how)}", "--mysql-user=root",
                "--mysql-db=bench", f"--tables={self.tables}",
                f"--table-size={how.count(self.rows)}", f"--threads={threads}",
                f"--time={seconds}"]

    @staticmethod
    def _socket(how):
        return how.folder / "mariadb.sock"

    @staticmethod
    def _user():
        """Whom the server becomes; it refuses to be root."""
        return "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def _own(self, data):
        if os.geteuid() == 0:
            for path in (data, *data.rglob("*")):
                shutil.chown(path, self._user(), self._user())

    def _serve(self, how, data, way):
        server = Process(how, [
            installed("mariadbd"), "--no-defaults", f"--user={self._user()}", f"--datadir={data}",
            f"--socket={self._socket(how)}", "--skip-networking", "--max-connections=300",
            f"--pid-file={data}/pid", "--innodb-buffer-pool-size=128M"], way)
        try:
            server.await_ready(self._socket(how))
        except BaseException:
            server.__exit__()
            raise
        return server

    def _template(self, how, sysbench):
        data = how.folder / "mariadb-template"
        if data.exists():
            return data
        installed("mariadbd")
        if os.geteuid() == 0:
            shutil.chown(how.folder, self._user())
        run([installed("mariadb-install-db"), "--no-defaults", f"--user={self._user()}",
             f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"])
        with self._serve(how, data, None):
            run([installed("mariadb"), "--no-defaults", f"--socket={self._socket(how)}",
                 "--user=root", "--execute", "CREATE DATABASE bench"])
            run(self._sysbench(how, sysbench, "oltp_read_write", 1) + ["prepare"])
        return data


class Apache:
    """The worker MPM with one child of 100 threads, which answers with a small file."""

    name = "apache"
    title = "Apache, worker MPM, 64 clients"
    loads = (("kept connections", ("-k",)), ("a connection each", ()))
    figures = tuple(
        Figure(load, unit, True) for load, _ in loads for unit in ("req/CPU-s", "req/s"))
    seconds = 2
    configuration = """
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
LogLevel warn
LoadModule mpm_worker_module {modules}/mod_mpm_worker.so
LoadModule authz_core_module {modules}/mod_authz_core.so
{user}
StartServers 1
ServerLimit 1
ThreadsPerChild 100
MaxRequestWorkers 100
MaxKeepAliveRequests 0
DocumentRoot {folder}/site
"""

    def measure(self, how, way):
        apache, bench = installed("apache2"), installed("ab")
        folder = how.folder / "apache"
        port = free_port()
        self._configure(folder, port)
        values = []
        with Process(how, [apache, "-DFOREGROUND", "-f", folder / "apache.conf"], way) as server:
            server.await_ready(port)
            for _, options in self.loads:
                url = f"http://127.0.0.1:{port}/small"
                self._load(how, bench, server, (*options, "-n", 500), url)  # warms it
                values += self._load(how, bench, server,
                                     (*options, "-t", 1 if how.is_smoke else self.seconds,
                                      "-n", 10_000_000), url)
        return values

    def _load(self, how, bench, server, options, url):
        pids = [server.pid, *children(server.pid)]
        before = cpu_seconds(*pids)
        output = run([bench, "-q", "-s", 30, "-c", 64, *options, url])
        cpu = cpu_seconds(*pids) - before
        if not re.search(r"Failed requests: +0\n", output) or "Non-2xx" in output:
            raise RuntimeError(f"requests failed:\n{output}")
        requests = int(re.search(r"Complete requests: +(\d+)", output)[1])
        rate = float(re.search(r"Requests per second: +([0-9.]+)", output)[1])
        return [requests / max(cpu, 1e-9), rate]

    def _configure(self, folder, port):
        (folder / "site").mkdir(parents=True, exist_ok=True)
        (folder / "site/small").write_bytes(b"x" * 1500)
        (folder / "apache.conf").write_text(self.configuration.format(
            folder=folder, port=port, modules="/usr/lib/apache2/modules",
            user="User nobody\nGroup nogroup" if os.geteuid() == 0 else ""), encoding="ascii")


class PythonSleep:
    """Whether a fiber that computes lets others come in time."""

    name = "python-sleep"
    title = "Python sleep of 10 ms beside a computing thread"
    figures = (Figure("", "ms", False, 2),)

    def measure(self, how, way):
        program = HERE / "preload/sleep_beside.py"
        return [float(run([sys.executable, program, 2 if how.is_smoke else 100], way))]


class StartUp:
    """What the launcher and the library cost a program that does nothing."""

    name = "startup"
    title = "start and end of /bin/true"
    figures = (Figure("", "ms", False, 2),)

    def measure(self, how, way):
        times = []
        environment = {**os.environ, **way.environment()}
        command = [*way.command, "/bin/true"]
        for _ in range(how.count(50)):
            begun = time.perf_counter()
            pid = os.posix_spawn(command[0], command, environment)
            status = os.waitpid(pid, 0)[1]
            times.append((time.perf_counter() - begun) * 1000)
            if status != 0:
                raise RuntimeError(f"{command} ended with status {status}")
        return [measuring.median(times)]


class Idle:
    """Whether a program whose threads all wait is left alone."""

    name = "idle"
    title = "Python with 100 waiting threads, 3 s"
    figures = (Figure("", "CPU ms", False, 2),)

    def measure(self, how, way):
        with Process(how, [sys.executable, HERE / "preload/idle_threads.py"], way) as program:
            if program.read_line() != "waiting":
                raise RuntimeError("the threads do not wait")
            time.sleep(how.seconds(0.5))  # the last thread goes to sleep
            before = cpu_seconds(program.pid)
            time.sleep(how.seconds(3))
            return [(cpu_seconds(program.pid) - before) * 1000]


class Create:
    """The price of a thread that does nothing."""

    name = "create"
    title = "create and join a std::thread"
    figures = (Figure("", "ns", False),)

    def measure(self, how, way):
        return [float(run([how.built("bench/preload_create"), how.count(100_000)], way))]


class Parked:
    """The memory of a thread that waits: resident pages and kernel stacks."""

    name = "parked"
    title = "a parked thread of 10,000"
    figures = (Figure("resident and kernel stack", "bytes", False),)

    def measure(self, how, way):
        count = how.count(10_000)
        with Process(how, [how.built("bench/preload_parked"), count], way) as program:
            program.read_line()
            before = self._memory(program.pid)
            program.tell("go")
            if program.read_line() != "parked":
                raise RuntimeError("the threads do not park")
            after = self._memory(program.pid)
            program.tell("end")
            program.await_end()
        return [(after - before) / count]

    @staticmethod
    def _memory(pid):
        """Bytes; kernel stacks are counted for the whole machine only."""
        resident = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        machine = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
        return 1024 * (int(re.search(r"VmRSS:\s+(\d+)", resident)[1])
                       + int(re.search(r"KernelStack:\s+(\d+)", machine)[1]))


ROWS = (Echo10k, MariaDB, Apache, PythonEcho, PythonSleep, StartUp, Idle, Create, Parked)


# --- the run and its table ------------------------------------------------------------------------


def ways(build):
    """Natively, with one token and with two."""
    coir = build / "bin/coir"
    if not coir.exists():
        raise RuntimeError(f"{coir} has not been built")
    # A launcher that does not know the option takes COIR_WORKERS alone.
    has_option = "--workers" in run([coir, "run", "--help"])
    result = [Way("native", (), None)]
    for workers in (1, 2):
        option = (f"--workers={workers}",) if has_option else ()
        result.append(Way(f"coir {workers}", (str(coir), "run", *option, "--"), workers))
    return result


def run_row(row, how, all_ways):
    """{name of a way: [values of a round, ...]}."""
    values = {way.name: [] for way in all_ways}
    for number in range(how.rounds):
        for way in all_ways if number % 2 == 0 else reversed(all_ways):
            values[way.name].append(row.measure(how, way))
    return values


def table_rows(row, values, all_ways):
    """The lines of a row of the benchmark, one for each figure."""
    lines = []
    for i, figure in enumerate(row.figures):
        columns = {way.name: [round_values[i] for round_values in values[way.name]]
                   for way in all_ways}
        native = columns["native"]
        line = [f"{row.title}, {figure.name}" if figure.name else row.title, figure.unit,
                "more" if figure.more_is_better else "less"]
        for way in all_ways:
            line.append(f"{measuring.median(columns[way.name]):,.{figure.digits}f}")
            if way.workers is not None:
                ratios = [ours / plain for ours, plain in zip(columns[way.name], native) if plain]
                line.append(measuring.number(measuring.median(ratios), 2))
        line.append("/".join(spread(columns[way.name]) for way in all_ways))
        lines.append(line)
    return lines


def spread(values):
    """In per cent; a dash where the median is nothing."""
    return measuring.number(measuring.spread_percent(values) if measuring.median(values) else None,
                            0)


HEAD = ["what", "unit", "better", "native", "coir 1", "ratio", "coir 2", "ratio", "spread %"]


def parse():
    parser = argparse.ArgumentParser(prog="preload.sh", description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, help="the build directory")
    parser.add_argument("rows", nargs="*", metavar="ROW",
                        help=f"only these: {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way of running")
    parser.add_argument("--quick", action="store_true", help="1 round; figures are rough")
    parser.add_argument("--smoke", action="store_true",
                        help="1 tiny round: checks that all of it works")
    arguments = parser.parse_intermixed_args()
    unknown = set(arguments.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}")
    return arguments


def raise_descriptor_limit():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def measure_all(how, chosen):
    all_ways = ways(how.build)
    lines = []
    begun = time.monotonic()
    for row in chosen:
        try:
            values = run_row(row(), how, all_ways)
        except Unavailable as why:
            print(f"         {row.name}: left out: {why}", flush=True)
            continue
        lines += table_rows(row, values, all_ways)
        print(f"         {row.name}: done after {time.monotonic() - begun:.0f} s", flush=True)
    measuring.print_table(HEAD, lines)


def main():
    arguments = parse()
    raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("preload: ended by a signal"))
    rounds = 1 if arguments.quick or arguments.smoke else arguments.rounds
    chosen = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    print(f"preload: {rounds} rounds, each natively, with 1 token and with 2, in turn; medians;")
    print("         spread: (highest - lowest) / median, natively / 1 token / 2 tokens", flush=True)
    measuring.warn_of_other_work("preload")
    with tempfile.TemporaryDirectory(prefix="coir-bench-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # servers work as other users in it
        measure_all(How(arguments.build.resolve(), pathlib.Path(folder), rounds, arguments.smoke),
                    chosen)
    print("preload: ok")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"preload: {error}")
