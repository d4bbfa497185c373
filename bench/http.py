"""Requests that coir's HTTP server answers in a second of processor time, beside other servers.

Each server runs one worker and answers the same short text over connections that are kept; the load
checks every answer. For each shape of load all servers are started, each with a load of its own,
and the rounds are run in turn: a round of one server, a round of the next, and so on, so that what
disturbs the machine disturbs all of them. The processor time is that of the whole server process
over the window of the round. A figure is the median of the rounds, a ratio the median of the ratios
of each round. The second table tells what idle connections cost.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import measuring

HERE = pathlib.Path(__file__).resolve().parent
LIFE_SECONDS = 280
START_SECONDS = 20
BUILD_SECONDS = 300
PYTHON = "/usr/bin/python3"  # Debian's, whose gevent is meant


@dataclasses.dataclass(frozen=True)
class Cell:
    """One shape of load, and whether the targets hold for it."""

    connections: int
    depth: int
    is_judged: bool = False

    def name(self):
        pipelined = f", pipelined {self.depth}" if self.depth > 1 else ""
        return f"{self.connections:,} conn{pipelined}"


CELLS = (Cell(64, 1, True), Cell(64, 16), Cell(1000, 1))
IDLE_CONNECTIONS = 9000  # each takes a descriptor of the load too, and 20,000 is a common limit
OURS = ("coir epoll", "coir io_uring")
# How many times as many requests a second of processor time is to answer.
TARGETS = {"go": 2.0, "gevent": 15.0, "nginx": 1.0}

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
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "Hello, World!\\n"; }}
  }}
}}
"""


class Unavailable(Exception):
    """A server cannot be had here."""


# --- servers: each function returns the command and what is added to the environment --------------


def coir(build, _folder, backend):
    return [program_in(build, "http_coir_server")], {"COIR_BACKEND": backend}


def nginx(_build, folder, port):
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise Unavailable("nginx is not installed")
    configuration = pathlib.Path(folder, "nginx.conf")
    configuration.write_text(NGINX_CONFIGURATION.format(folder=folder, port=port),
                             encoding="ascii")
    return [program, "-p", folder, "-c", str(configuration)], {}


def go(build, _folder):
    if shutil.which("go") is None:
        raise Unavailable("go is not installed")
    program = build.resolve() / "bench/http_go_server"
    build_go(build, program)
    return [str(program)], {"GOMAXPROCS": "1"}


def gevent(_build, _folder):
    probe = subprocess.run([PYTHON, "-c", "import gevent"], stderr=subprocess.DEVNULL, check=False)
    if probe.returncode != 0:
        raise Unavailable("python3-gevent is not installed")
    return [PYTHON, "-B", str(HERE / "http/gevent_server.py")], {}


def raw(build, _folder):
    return [program_in(build, "http_raw_server")], {}


SERVERS = ("coir epoll", "coir io_uring", "raw epoll", "nginx", "go", "gevent")


def command_of(name, build, folder, port):
    """How a server is started; raises Unavailable."""
    if name == "nginx":
        return nginx(build, folder, port)
    if name in OURS:
        return coir(build, folder, "epoll" if name == "coir epoll" else "uring")
    return {"raw epoll": raw, "go": go, "gevent": gevent}[name](build, folder)


def program_in(build, name):
    """The path of a built program."""
    path = build / "bench" / name
    if not path.exists():
        raise RuntimeError(f"{path} has not been built")
    return str(path)


def build_go(build, program):
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off",
                   "CGO_ENABLED": "0", "GOCACHE": str(build.resolve() / "bench/go-cache")}
    subprocess.run(["go", "build", "-o", program, HERE / "http/server.go"],
                   env=environment, check=True, timeout=BUILD_SECONDS)


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


# --- rounds ---------------------------------------------------------------------------------------


class Contestant:
    """A server and its load, both running."""

    def __init__(self, name, cell, how):
        self.name = name
        self._processes = []
        self._folder = tempfile.mkdtemp(prefix="coir-http-")
        try:
            port = free_port()
            command, environment = command_of(name, how.build, self._folder, port)
            self.server = self._start(command, how.server_cpu, how.priority, environment)
            if name == "nginx":
                wait_for_port(port, self.server)
            else:
                port = self._port()
            self.idle_rss_kib = self.rss_kib()
            self.load = self._start(
                [program_in(how.build, "http_load"), "--port", str(port),
                 "--server-pid", str(self.server.pid), "--connections", str(cell.connections),
                 "--depth", str(cell.depth),
                 *(["--spin", "1"] if how.server_cpu != how.load_cpu else [])],
                how.load_cpu, how.priority, {})
            measuring.read_line(self.load, f"the load of {name}")
        except BaseException:
            self.stop()
            raise

    def _start(self, command, cpu, priority, environment):
        process = measuring.start(command, cpu, priority, LIFE_SECONDS, environment)
        self._processes.append(process)
        return process

    def _port(self):
        line = self.server.stdout.readline()
        found = re.search(r"listening on .*:(\d+)(?: \((.*)\))?", line)
        if not found:
            raise RuntimeError(f"{self.name} did not start: exit status {self.server.wait(10)}")
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
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclasses.dataclass
class Result:
    """The rounds of one server in one cell."""

    rounds: list

    def per_cpu_second(self):
        return [r["requests"] * 1e9 / r["server_cpu_ns"] for r in self.rounds]

    def of(self, compute):
        return measuring.median([compute(r) for r in self.rounds])

    def requests_per_second(self):
        return self.of(lambda r: r["requests"] * 1e9 / r["wall_ns"])

    def server_use(self):
        """The share of the time in which it could run that it did run."""
        return self.of(
            lambda r: r["server_cpu_ns"] / max(1, r["wall_ns"] - r["server_delay_ns"]))

    def load_use(self):
        return self.of(lambda r: 1 - r["idle_ns"] / r["wall_ns"])


def start_all(cell, how):
    """The contestants of a cell that can be had here."""
    contestants = []
    try:
        for name in how.servers:
            try:
                contestants.append(Contestant(name, cell, how))
            except Unavailable as why:
                print(f"http: {name} is left out: {why}", flush=True)
    except BaseException:
        stop_all(contestants)
        raise
    return contestants


def stop_all(contestants):
    for contestant in contestants:
        contestant.stop()


def run_cell(cell, how):
    """All rounds of a cell; {name: Result} of the servers that could be had."""
    contestants = start_all(cell, how)
    results = {contestant.name: Result([]) for contestant in contestants}
    try:
        for contestant in contestants:
            contestant.round(how.seconds)  # warms caches and memory; not counted
        for _ in range(how.rounds):
            for contestant in contestants:
                results[contestant.name].rounds.append(contestant.round(how.seconds))
    finally:
        stop_all(contestants)
    return results


def idle_bytes(name, connections, how):
    """What a server's memory grows by for each connection that has been served once and waits."""
    contestant = Contestant(name, Cell(connections, 1), how)
    try:
        return (contestant.rss_kib() - contestant.idle_rss_kib) * 1024 / connections
    finally:
        contestant.stop()


# --- tables ---------------------------------------------------------------------------------------


HEAD = ["load", "server", "req/CPU s", "spread %", "CPU us/req", "req/s", "p50/p99 us",
        "server/load use", "to go", "to gevent", "to nginx", "reached"]


def ratio(ours, theirs):
    """How many times as many requests ours answers in the same processor time."""
    if ours is None or theirs is None:
        return None
    pairs = zip(ours.per_cpu_second(), theirs.per_cpu_second())
    return measuring.median([a / b for a, b in pairs])


def verdict(cell, ratios):
    """Whether ours reaches the targets."""
    known = {peer: value for peer, value in ratios.items() if value is not None}
    if not cell.is_judged or not known:
        return ""
    missed = [peer for peer, value in known.items() if value < TARGETS[peer]]
    return "yes" if not missed else "not " + ", ".join(missed)


def table_rows(cell, results):
    """The lines of a cell, one for each server; those of coir with the ratios."""
    rows = []
    for name, result in results.items():
        is_ours = name in OURS
        ratios = {peer: ratio(result, results.get(peer)) for peer in TARGETS}
        per_second = measuring.median(result.per_cpu_second())
        rows.append([
            cell.name(), name, f"{per_second:,.0f}",
            measuring.number(measuring.spread_percent(result.per_cpu_second()), 0),
            measuring.number(1e6 / per_second, 2),
            f"{result.requests_per_second():,.0f}",
            f"{result.of(lambda r: r['p50_ns']) / 1000:,.0f}/"
            f"{result.of(lambda r: r['p99_ns']) / 1000:,.0f}",
            f"{result.server_use():.2f}/{result.load_use():.2f}",
            *(measuring.number(ratios[peer], 2) if is_ours else "" for peer in TARGETS),
            verdict(cell, ratios) if is_ours else "",
        ])
    return rows


@dataclasses.dataclass
class How:
    """The manner of a run."""

    build: pathlib.Path
    servers: list
    rounds: int
    seconds: float
    idle: int
    server_cpu: int | None
    load_cpu: int | None
    priority: str


def parse():
    parser = argparse.ArgumentParser(prog="http.sh", description=__doc__.splitlines()[0])
    parser.add_argument("build", help="the build directory", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server")
    parser.add_argument("--seconds", type=float, default=0.5, help="the window of a round")
    parser.add_argument("--cell", type=int, action="append", metavar="N",
                        help="only the N-th load, from 1; may be given several times")
    parser.add_argument("--server", choices=SERVERS, action="append",
                        help="only this server; may be given several times")
    parser.add_argument("--idle", type=int, default=IDLE_CONNECTIONS, metavar="N",
                        help="idle connections of the second table; 0: no such table")
    parser.add_argument("--quick", action="store_true", help="3 short rounds; figures are rough")
    parser.add_argument("--smoke", action="store_true",
                        help="1 tiny round of few connections: checks that all of it works")
    return parser.parse_args()


def main():
    arguments = parse()
    server_cpu, load_cpu = measuring.cpus()
    how = How(arguments.build, arguments.server or list(SERVERS), arguments.rounds,
              arguments.seconds, arguments.idle, server_cpu, load_cpu, measuring.probe_priority())
    cells = CELLS if not arguments.cell else [CELLS[i - 1] for i in arguments.cell]
    if arguments.quick:
        how = dataclasses.replace(how, rounds=3, seconds=0.2)
    if arguments.smoke:
        how = dataclasses.replace(how, rounds=1, seconds=0.05, idle=min(how.idle, 100),
                                  server_cpu=None, load_cpu=None, priority="none")
        cells = [dataclasses.replace(c, connections=min(c.connections, 100)) for c in cells]
    targets = ", ".join(f"{least} to {peer}" for peer, least in TARGETS.items())
    print(f"http: {how.rounds} rounds of {how.seconds} s, loopback TCP, every answer is checked;")
    print(f"      server on CPU {how.server_cpu}, load on CPU {how.load_cpu}, "
          f"{measuring.describe_priority(how.priority)};")
    print(f"      targets for {CELLS[0].name()}: {targets}", flush=True)
    measuring.warn_of_other_work("http")
    rows = []
    start = time.monotonic()
    for cell in cells:
        rows += table_rows(cell, run_cell(cell, how))
        print(f"      {cell.name()}: done after {time.monotonic() - start:.0f} s", flush=True)
    measuring.print_table(HEAD, rows)
    if how.idle:
        print(f"\n{how.idle:,} connections that have been served and wait")
        measuring.print_table(["server", "KiB each"], idle_rows(how))
    print("http: ok")


def idle_rows(how):
    rows = []
    for name in how.servers:
        try:
            rows.append([name, measuring.number(idle_bytes(name, how.idle, how) / 1024, 2)])
        except Unavailable:
            rows.append([name, "-"])
    return rows


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"http: {error}")
