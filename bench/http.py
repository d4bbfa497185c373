"""Requests that coir's HTTP server answers in a second of processor time, beside other servers.

Each server runs one worker and answers the same short text over connections that are kept; the load
checks every answer. bench/contest.py says how they are compared. The second table tells what idle
connections cost.
"""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import contest
import measuring

HERE = pathlib.Path(__file__).resolve().parent
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
# How many times as many requests a second of processor time is to answer.
TARGETS = {"go": 2.0, "gevent": 15.0, "nginx": 1.0}

NGINX_SERVER = """
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "Hello, World!\\n"; }}
"""


# --- servers --------------------------------------------------------------------------------------


def go(build):
    if shutil.which("go") is None:
        raise contest.Unavailable("go is not installed")
    program = build.resolve() / "bench/http_go_server"
    build_go(build, program)
    return contest.Server([str(program)], {"GOMAXPROCS": "1"})


def build_go(build, program):
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off",
                   "CGO_ENABLED": "0", "GOCACHE": str(build.resolve() / "bench/go-cache")}
    subprocess.run(["go", "build", "-o", program, HERE / "http/server.go"],
                   env=environment, check=True, timeout=BUILD_SECONDS)


def gevent(_build):
    probe = subprocess.run([PYTHON, "-c", "import gevent"], stderr=subprocess.DEVNULL, check=False)
    if probe.returncode != 0:
        raise contest.Unavailable("python3-gevent is not installed")
    return contest.Server([PYTHON, "-B", str(HERE / "http/gevent_server.py")])


def coir_on(backend):
    return lambda build: contest.Server([contest.program_in(build, "http_coir_server")],
                                        {"COIR_BACKEND": backend})


def raw(build):
    return contest.Server([contest.program_in(build, "http_raw_server")])


SERVERS = {
    "coir epoll": coir_on("epoll"),
    "coir io_uring": coir_on("uring"),
    "raw epoll": raw,
    "nginx": None,
    "go": go,
    "gevent": gevent,
}


class Contestant(contest.Contestant):
    """An HTTP server and its load."""

    def server_for(self, cell, how):
        if self.name != "nginx":
            return SERVERS[self.name](how.build)
        port = contest.free_port()
        command = contest.nginx(self.folder, NGINX_SERVER.format(port=port))
        return contest.Server(command, port=port)

    def load_for(self, cell):
        return ["http_load", "--depth", str(cell.depth)]


# --- tables ---------------------------------------------------------------------------------------


HEAD = ["load", "server", "req/CPU s", "spread %", "CPU us/req", "req/s", "p50/p99 us",
        "server/load use", "to go", "to gevent", "to nginx", "reached"]


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
        is_ours = name in contest.OURS
        ratios = {peer: contest.ratio(result, results.get(peer)) for peer in TARGETS}
        per_second = measuring.median(result.per_cpu_second())
        rows.append([
            cell.name(), name, f"{per_second:,.0f}",
            measuring.number(measuring.spread_percent(result.per_cpu_second()), 0),
            measuring.number(1e6 / per_second if per_second else None, 2),
            f"{result.per_second():,.0f}", result.latencies(), result.uses(),
            *(measuring.number(ratios[peer], 2) if is_ours else "" for peer in TARGETS),
            verdict(cell, ratios) if is_ours else "",
        ])
    return rows


def parse():
    parser = contest.parser("http", __doc__, SERVERS)
    parser.add_argument("--idle", type=int, default=IDLE_CONNECTIONS, metavar="N",
                        help="idle connections of the second table; 0: no such table")
    return parser.parse_args()


def main():
    arguments = parse()
    how = contest.manner(arguments, SERVERS)
    contest.print_head("http", "loopback TCP, every answer is checked", how)
    targets = ", ".join(f"{least} to {peer}" for peer, least in TARGETS.items())
    print(f"      targets for {CELLS[0].name()}: {targets}", flush=True)
    measuring.warn_of_other_work("http")
    rows = []
    for cell, results in contest.run_cells("http", Contestant,
                                           contest.chosen_cells(CELLS, arguments), how):
        rows += table_rows(cell, results)
    measuring.print_table(HEAD, rows)
    if arguments.idle:
        contest.print_idle_table(Contestant, Cell(arguments.idle, 1), how)
    print("http: ok")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"http: {error}")
