"""Server CPU per request of coir's echo server, beside raw epoll and raw io_uring servers.

For each cell all servers are started, each with a load of its own, and the rounds are run in turn:
a round of one server, a round of the next, and so on, so that what disturbs the machine disturbs
all of them. That is done several times with fresh processes, since some figures depend on where
memory happens to lie. The processor time is that of the whole server process over the window of the
round. A figure is the median of all rounds, a ratio the median of the ratios of each round.
"""

import argparse
import dataclasses
import json
import os
import re
import sys
import time

import measuring

EXIT_UNAVAILABLE = 77  # of the raw io_uring server
LIFE_SECONDS = 280


@dataclasses.dataclass(frozen=True)
class Cell:
    """One shape of load, and the ratio to the better raw server that is to be reached."""

    connections: int
    message: int
    depth: int
    target: float

    def name(self):
        size = f"{self.message // 1024} KiB" if self.message >= 1024 else f"{self.message} B"
        pipelined = f" x{self.depth}" if self.depth > 1 else ""
        return f"{self.connections:,} conn x {size}{pipelined}"


CELLS = (
    Cell(64, 64, 1, 1.05),
    Cell(64, 64, 16, 1.08),
    Cell(64, 16384, 16, 1.10),
    Cell(1000, 1024, 1, 1.20),
    Cell(10000, 64, 1, 1.20),
)

# One recv may bring as much on every server. Smaller buffers make bulk 1.5 times dearer.
BUFFER_BYTES = 65536
# Of the raw io_uring server. Fewer make receives of many connections fail for want of a buffer;
# more leave the cache in bulk.
BUFFER_COUNT = {64: 256, 1000: 1024, 10000: 4096}

SERVERS = {
    "raw epoll": ("bench/raw_epoll_server", None),
    "raw io_uring": ("bench/raw_uring_server", None),
    "coir epoll": ("examples/echo_server", "epoll"),
    "coir io_uring": ("examples/echo_server", "uring"),
}
RAW = ("raw epoll", "raw io_uring")
OURS = ("coir epoll", "coir io_uring")


class Unavailable(Exception):
    """The kernel or the container does not offer what a server needs."""


class Contestant:
    """A server and its load, both running."""

    def __init__(self, build, name, cell, how):
        self.name = name
        program, backend = SERVERS[name]
        self._processes = []
        self.server = self._start(
            [os.path.join(build, program), "--buffer", str(BUFFER_BYTES), *self._extra(cell)],
            how.server_cpu, how.priority, {"COIR_BACKEND": backend} if backend else {})
        try:
            port = self._port()
            self.load = self._start(
                [os.path.join(build, "bench/load"), "--port", port,
                 "--server-pid", str(self.server.pid), "--connections", str(cell.connections),
                 "--bytes", str(cell.message), "--depth", str(cell.depth),
                 *(["--spin", "1"] if how.server_cpu != how.load_cpu else [])],
                how.load_cpu, how.priority, {})
            measuring.read_line(self.load, f"the load of {name}")
        except BaseException:
            self.stop()
            raise

    def _extra(self, cell):
        if self.name != "raw io_uring":
            return []
        return ["--buffers", str(BUFFER_COUNT.get(cell.connections, 1024))]

    def _start(self, command, cpu, priority, environment):
        process = measuring.start(command, cpu, priority, LIFE_SECONDS, environment)
        self._processes.append(process)
        return process

    def _port(self):
        line = self.server.stdout.readline()
        found = re.search(r"listening on .*:(\d+)(?: \((.*)\))?", line)
        if found:
            wanted = {"coir epoll": "epoll", "coir io_uring": "io_uring"}.get(self.name)
            if wanted and found[2] != wanted:
                raise Unavailable(f"{self.name}: the server chose {found[2]}")
            return found[1]
        status = self.server.wait(10)
        if status == EXIT_UNAVAILABLE or "io_uring" in self.name:
            raise Unavailable(f"{self.name}: exit status {status}")
        raise RuntimeError(f"{self.name} did not start: exit status {status}")

    def round(self, seconds):
        """One round; the figures of the load as a dictionary."""
        return json.loads(measuring.ask(self.load, seconds, f"the load of {self.name}"))

    def stop(self):
        """Ends both, and waits until they have gone."""
        measuring.stop(reversed(self._processes))


@dataclasses.dataclass
class Result:
    """The rounds of one server in one cell."""

    rounds: list

    def cpu_us(self):
        return [r["server_cpu_ns"] / r["requests"] / 1000 for r in self.rounds]

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

    def is_bound_by_load(self):
        """Whether the load was busy all the time while the server had to wait for it."""
        return self.load_use() > 0.93 and self.server_use() < 0.93


def start_all(build, cell, how):
    """The contestants of a cell that can be had here."""
    contestants = []
    try:
        for name in SERVERS:
            try:
                contestants.append(Contestant(build, name, cell, how))
            except Unavailable as why:
                if any(c.name == "raw io_uring" for c in contestants):
                    raise RuntimeError(f"{why}, though io_uring can be had here") from why
                print(f"echo: left out: {why}", file=sys.stderr)
    except BaseException:
        stop_all(contestants)
        raise
    return contestants


def stop_all(contestants):
    for contestant in contestants:
        contestant.stop()


def run_rounds(build, cell, how, results):
    """The rounds of one set of fresh processes, appended to the results."""
    contestants = start_all(build, cell, how)
    try:
        for contestant in contestants:
            contestant.round(how.seconds)  # warms caches and memory; not counted
        for _ in range(how.rounds):
            for contestant in contestants:
                results[contestant.name].rounds.append(contestant.round(how.seconds))
    finally:
        stop_all(contestants)


def run_cell(build, cell, how):
    """All rounds of a cell; {name: Result} of the servers that could be had."""
    results = {name: Result([]) for name in SERVERS}
    for _ in range(how.starts):
        run_rounds(build, cell, how, results)
    return {name: result for name, result in results.items() if result.rounds}


def table_rows(cell, results):
    """The lines of a cell: one for each server, those of coir with what was to be reached."""
    better = min((results[name].cpu_us() for name in RAW if name in results),
                 key=measuring.median)
    rows = []
    for name in SERVERS:
        result = results.get(name)
        if result is None:
            rows.append([cell.name(), name] + ["-"] * 9)
            continue
        us = measuring.median(result.cpu_us())
        ratio = measuring.median([ours / raw for ours, raw in zip(result.cpu_us(), better)])
        is_ours = name in OURS
        reached = "yes" if ratio <= cell.target else "no"
        rows.append([
            cell.name(), name, measuring.number(us, 3),
            measuring.number(measuring.spread_percent(result.cpu_us()), 0),
            measuring.number(ratio, 2),
            measuring.number(cell.target, 2) if is_ours else "",
            reached if is_ours else "",
            f"{result.requests_per_second():,.0f}",
            f"{result.of(lambda r: r['p50_ns']) / 1000:,.0f}/"
            f"{result.of(lambda r: r['p99_ns']) / 1000:,.0f}",
            f"{result.server_use():.2f}/{result.load_use():.2f}",
            "load" if result.is_bound_by_load() else "",
        ])
    return rows


HEAD = ["load", "server", "CPU us/req", "spread %", "to better raw", "target", "reached", "req/s",
        "p50/p99 us", "server/load use", "bound by"]


@dataclasses.dataclass
class How:
    """The manner of a run."""

    starts: int
    rounds: int
    seconds: float
    server_cpu: int | None
    load_cpu: int | None
    priority: str


def parse():
    parser = argparse.ArgumentParser(prog="echo.sh", description=__doc__.splitlines()[0])
    parser.add_argument("build", help="the build directory")
    parser.add_argument("--starts", type=int, default=3, help="sets of fresh processes")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each server in each set")
    parser.add_argument("--seconds", type=float, default=0.5, help="the window of a round")
    parser.add_argument("--cell", type=int, action="append", metavar="N",
                        help="only the N-th load, from 1; may be given several times")
    parser.add_argument("--quick", action="store_true", help="3 short rounds; figures are rough")
    parser.add_argument("--smoke", action="store_true",
                        help="1 tiny round of few connections: checks that all of it works")
    return parser.parse_args()


def main():
    arguments = parse()
    server_cpu, load_cpu = measuring.cpus()
    how = How(arguments.starts, arguments.rounds, arguments.seconds, server_cpu, load_cpu,
              measuring.probe_priority())
    cells = CELLS if not arguments.cell else [CELLS[i - 1] for i in arguments.cell]
    if arguments.quick:
        how = dataclasses.replace(how, starts=1, rounds=3, seconds=0.2)
    if arguments.smoke:
        how = How(1, 1, 0.05, None, None, "none")
        cells = [dataclasses.replace(c, connections=min(c.connections, 200)) for c in cells]
    print(f"echo: {how.starts} x {how.rounds} rounds of {how.seconds} s, loopback TCP, every byte "
          "is compared;")
    print(f"      server on CPU {how.server_cpu}, load on CPU {how.load_cpu}, "
          f"{measuring.describe_priority(how.priority)};")
    print(f"      one recv brings at most {BUFFER_BYTES // 1024} KiB on every server", flush=True)
    if how.priority == "fifo":
        print("      a p99 near 50 ms is the kernel's brake on real-time tasks "
              "(sched_rt_runtime_us)", flush=True)
    measuring.warn_of_other_work("echo")
    rows = []
    start = time.monotonic()
    for cell in cells:
        results = run_cell(arguments.build, cell, how)
        rows += table_rows(cell, results)
        print(f"      {cell.name()}: done after {time.monotonic() - start:.0f} s", flush=True)
    measuring.print_table(HEAD, rows)
    print("echo: ok")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as error:
        sys.exit(f"echo: {error}")
