"""Servers beside each other, each with a load of its own (bench/round_load.hpp).

For each shape of load all servers are started, and the rounds are run in turn: a round of one
server, a round of the next, and so on, so that what disturbs the machine disturbs all of them. The
processor time is that of the whole server process over the window of the round. A figure is the
median of the rounds, a ratio the median of the ratios of each round.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import tempfile
import time

import measuring

LIFE_SECONDS = 280
START_SECONDS = 20
SMOKE_CONNECTIONS = 20
OURS = ("coir epoll", "coir io_uring")

# One process that does everything, and ends with the contest.
NGINX_CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
error_log stderr error;
pid {folder}/pid;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  default_type text/plain;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
{server}
  }}
}}
"""


class Unavailable(Exception):
    """A server cannot be had here."""


@dataclasses.dataclass
class How:
    """The manner of a run."""

    build: pathlib.Path
    servers: list
    starts: int  # sets of fresh processes
    rounds: int  # of each server in each set
    seconds: float
    server_cpu: int | None
    load_cpu: int | None
    priority: str
    is_smoke: bool = False


def parser(benchmark, doc, servers, starts=1, rounds=5):
    """The options that all have."""
    made = argparse.ArgumentParser(prog=f"{benchmark}.sh", description=doc.splitlines()[0])
    made.add_argument("build", help="the build directory", type=pathlib.Path)
    made.add_argument("--starts", type=int, default=starts, help="sets of fresh processes")
    made.add_argument("--rounds", type=int, default=rounds,
                      help="rounds of each server in each set")
    made.add_argument("--seconds", type=float, default=0.5, help="the window of a round")
    made.add_argument("--cell", type=int, action="append", metavar="N",
                      help="only the N-th load, from 1; may be given several times")
    made.add_argument("--server", choices=servers, action="append",
                      help="only this server; may be given several times")
    made.add_argument("--quick", action="store_true", help="3 short rounds; figures are rough")
    made.add_argument("--smoke", action="store_true",
                      help="1 tiny round of few connections: checks that all of it works")
    return made


def manner(arguments, servers):
    """What the options ask for."""
    server_cpu, load_cpu = measuring.cpus()
    how = How(arguments.build, arguments.server or list(servers), arguments.starts,
              arguments.rounds, arguments.seconds, server_cpu, load_cpu,
              measuring.probe_priority())
    if arguments.quick:
        how = dataclasses.replace(how, starts=1, rounds=3, seconds=0.2)
    if arguments.smoke:
        how = dataclasses.replace(how, starts=1, rounds=1, seconds=0.05, server_cpu=None,
                                  load_cpu=None, priority="none", is_smoke=True)
    return how


def chosen_cells(cells, arguments):
    """The cells that the options ask for."""
    return cells if not arguments.cell else [cells[i - 1] for i in arguments.cell]


def sized(cell, how):
    """The cell; a small one for a smoke test."""
    few = min(cell.connections, SMOKE_CONNECTIONS)
    return dataclasses.replace(cell, connections=few) if how.is_smoke else cell


def print_head(benchmark, what, how):
    """What is about to run, where, and how."""
    starts = f"{how.starts} x " if how.starts > 1 else ""
    print(f"{benchmark}: {starts}{how.rounds} rounds of {how.seconds} s, {what};")
    print(f"      server on CPU {how.server_cpu}, load on CPU {how.load_cpu}, "
          f"{measuring.describe_priority(how.priority)};", flush=True)


def program_in(build, name):
    """The path of a built program of the benchmarks."""
    path = build / "bench" / name
    if not path.exists():
        raise RuntimeError(f"{path} has not been built")
    return str(path)


def nginx(folder, server):
    """The command of an nginx with these lines in its server block."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise Unavailable("nginx is not installed")
    configuration = pathlib.Path(folder, "nginx.conf")
    configuration.write_text(NGINX_CONFIGURATION.format(folder=folder, server=server),
                             encoding="ascii")
    return [program, "-p", folder, "-c", str(configuration)]


def free_port():
    """A port that was free a moment ago, for servers that do not choose one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    """Until somebody listens there."""
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


@dataclasses.dataclass
class Server:
    """How a server is started."""

    command: list
    environment: dict = dataclasses.field(default_factory=dict)
    port: int | None = None  # None: it tells the port that it has chosen


class Contestant:
    """A server and its load, both running. A benchmark's own class says which they are."""

    def __init__(self, name, cell, how):
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="coir-bench-")
        self._processes = []
        try:
            chosen = self.server_for(cell, how)
            self.server = self._start(chosen.command, how.server_cpu, how.priority,
                                      chosen.environment)
            if chosen.port is None:
                port = self._told_port()
            else:
                port = chosen.port
                wait_for_port(port, self.server)
            self.rss_kib_before = self.rss_kib()
            program, *options = self.load_for(cell)
            self.load = self._start(
                [program_in(how.build, program), *options, "--port", str(port),
                 "--server-pid", str(self.server.pid), "--connections", str(cell.connections),
                 *(["--spin", "1"] if how.server_cpu != how.load_cpu else [])],
                how.load_cpu, how.priority, {})
            measuring.read_line(self.load, f"the load of {name}")
        except BaseException:
            self.stop()
            raise

    def server_for(self, cell, how):
        """The Server to start; raises Unavailable."""
        raise NotImplementedError

    def load_for(self, cell):
        """The program that loads it, and the options that not all loads have."""
        raise NotImplementedError

    def refused(self, status):
        """What to raise when the server has ended instead of telling its port."""
        return RuntimeError(f"{self.name} did not start: exit status {status}")

    def _start(self, command, cpu, priority, environment):
        process = measuring.start(command, cpu, priority, LIFE_SECONDS, environment)
        self._processes.append(process)
        return process

    def _told_port(self):
        line = self.server.stdout.readline()
        found = re.search(r"listening on .*:(\d+)(?: \((.*)\))?", line)
        if not found:
            raise self.refused(self.server.wait(10))
        if self.name in OURS and f"coir {found[2]}" != self.name:
            raise Unavailable(f"the server chose {found[2]}")
        return int(found[1])

    def rss_kib(self):
        """What the server has in memory."""
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])

    def round(self, seconds):
        """One round; the figures of the load as a dictionary."""
        return json.loads(measuring.ask(self.load, seconds, f"the load of {self.name}"))

    def stop(self):
        """Ends both, and waits until they have gone."""
        measuring.stop(reversed(self._processes))
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclasses.dataclass
class Result:
    """The rounds of one server in one cell."""

    rounds: list

    def of(self, compute):
        """The median over the rounds."""
        return measuring.median([compute(r) for r in self.rounds])

    def per_cpu_second(self, what="requests"):
        """How much in a second of the server's processor time, round by round. In the tiny rounds
        of a smoke test a server may have had none."""
        return [r[what] * 1e9 / max(1, r["server_cpu_ns"]) for r in self.rounds]

    def per_second(self, what="requests"):
        return self.of(lambda r: r[what] * 1e9 / r["wall_ns"])

    def server_use(self):
        """The share of the time in which it could run that it did run."""
        return self.of(
            lambda r: r["server_cpu_ns"] / max(1, r["wall_ns"] - r["server_delay_ns"]))

    def load_use(self):
        return self.of(lambda r: 1 - r["idle_ns"] / r["wall_ns"])

    def latencies(self):
        """A column of the table: p50/p99 in microseconds."""
        return (f"{self.of(lambda r: r['p50_ns']) / 1000:,.0f}/"
                f"{self.of(lambda r: r['p99_ns']) / 1000:,.0f}")

    def uses(self):
        """A column of the table: server/load use."""
        return f"{self.server_use():.2f}/{self.load_use():.2f}"


def ratio(ours, theirs, what="requests"):
    """How many times as much ours does in the same processor time; None where that is unknown, as
    in rounds too short for a single request."""
    if ours is None or theirs is None:
        return None
    pairs = zip(ours.per_cpu_second(what), theirs.per_cpu_second(what))
    return measuring.median([a / b for a, b in pairs if b > 0])


def start_all(benchmark, make, cell, how):
    """The contestants of a cell that can be had here."""
    contestants = []
    try:
        for name in how.servers:
            try:
                contestants.append(make(name, cell, how))
            except Unavailable as why:
                print(f"{benchmark}: {name} is left out: {why}", flush=True)
    except BaseException:
        stop_all(contestants)
        raise
    return contestants


def stop_all(contestants):
    for contestant in contestants:
        contestant.stop()


def run_set(benchmark, make, cell, how, results):
    """The rounds of one set of fresh processes, appended to the results."""
    contestants = start_all(benchmark, make, cell, how)
    try:
        for contestant in contestants:
            contestant.round(how.seconds)  # warms caches and memory; not counted
        for _ in range(how.rounds):
            for contestant in contestants:
                results[contestant.name].rounds.append(contestant.round(how.seconds))
    finally:
        stop_all(contestants)


def run_cell(benchmark, make, cell, how):
    """All rounds of a cell; {name: Result} of the servers that could be had."""
    results = {name: Result([]) for name in how.servers}
    for _ in range(how.starts):
        run_set(benchmark, make, cell, how, results)
    return {name: result for name, result in results.items() if result.rounds}


def run_cells(benchmark, make, cells, how):
    """Yields each cell with the results of its servers."""
    begun = time.monotonic()
    for cell in (sized(each, how) for each in cells):
        yield cell, run_cell(benchmark, make, cell, how)
        print(f"      {cell.name()}: done after {time.monotonic() - begun:.0f} s", flush=True)


def idle_bytes(contestant, connections):
    """What a server's memory has grown by for each connection, which were all served once and
    wait. Ends it."""
    try:
        return (contestant.rss_kib() - contestant.rss_kib_before) * 1024 / connections
    finally:
        contestant.stop()


def print_idle_table(make, cell, how):
    """What the connections of a cell cost that have been served and wait."""
    cell = sized(cell, how)
    print(f"\n{cell.connections:,} connections that have been served and wait")
    rows = []
    for name in how.servers:
        try:
            each = idle_bytes(make(name, cell, how), cell.connections) / 1024
        except Unavailable:
            each = None
        rows.append([name, measuring.number(each, 2)])
    measuring.print_table(["server", "KiB each"], rows)
