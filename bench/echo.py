"""Server CPU per request of coir's echo server, beside raw epoll and raw io_uring servers.

bench/contest.py says how they are compared. That is done several times with fresh processes, since
some figures depend on where memory happens to lie.
"""

import dataclasses
import sys

import contest
import measuring

EXIT_UNAVAILABLE = 77  # of the raw io_uring server


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


class Contestant(contest.Contestant):
    """An echo server and its load."""

    def server_for(self, cell, how):
        program, backend = SERVERS[self.name]
        command = [str(how.build / program), "--buffer", str(BUFFER_BYTES)]
        if self.name == "raw io_uring":
            command += ["--buffers", str(BUFFER_COUNT.get(cell.connections, 1024))]
        return contest.Server(command, {"COIR_BACKEND": backend} if backend else {})

    def load_for(self, cell):
        return ["load", "--bytes", str(cell.message), "--depth", str(cell.depth)]

    def refused(self, status):
        if status == EXIT_UNAVAILABLE or "io_uring" in self.name:
            return contest.Unavailable(f"exit status {status}")
        return super().refused(status)


class Echo(contest.Result):
    """The other way round: processor time of a request."""

    def cpu_us(self):
        return [r["server_cpu_ns"] / max(1, r["requests"]) / 1000 for r in self.rounds]

    def is_bound_by_load(self):
        """Whether the load was busy all the time while the server had to wait for it."""
        return self.load_use() > 0.93 and self.server_use() < 0.93


def check_rings(results):
    """A raw ring without coir's would mean that coir cannot use what is there."""
    if "raw io_uring" in results and "coir io_uring" not in results:
        raise RuntimeError("coir cannot use io_uring, though it can be had here")


def table_rows(cell, results):
    """The lines of a cell: one for each server, those of coir with what was to be reached."""
    results = {name: Echo(result.rounds) for name, result in results.items()}
    better = min((results[name].cpu_us() for name in RAW if name in results),
                 key=measuring.median)
    rows = []
    for name in SERVERS:
        result = results.get(name)
        if result is None:
            rows.append([cell.name(), name] + ["-"] * 9)
            continue
        us = measuring.median(result.cpu_us())
        pairs = zip(result.cpu_us(), better)
        ratio = measuring.median([ours / raw for ours, raw in pairs if raw > 0])
        is_ours = name in contest.OURS
        reached = "yes" if ratio is not None and ratio <= cell.target else "no"
        rows.append([
            cell.name(), name, measuring.number(us, 3),
            measuring.number(measuring.spread_percent(result.cpu_us()), 0),
            measuring.number(ratio, 2),
            measuring.number(cell.target, 2) if is_ours else "",
            reached if is_ours else "",
            f"{result.per_second():,.0f}", result.latencies(), result.uses(),
            "load" if result.is_bound_by_load() else "",
        ])
    return rows


HEAD = ["load", "server", "CPU us/req", "spread %", "to better raw", "target", "reached", "req/s",
        "p50/p99 us", "server/load use", "bound by"]


def main():
    arguments = contest.parser("echo", __doc__, SERVERS, starts=3, rounds=3).parse_args()
    how = contest.manner(arguments, SERVERS)
    contest.print_head("echo", "loopback TCP, every byte is compared", how)
    print(f"      one recv brings at most {BUFFER_BYTES // 1024} KiB on every server", flush=True)
    if how.priority == "fifo":
        print("      a p99 near 50 ms is the kernel's brake on real-time tasks "
              "(sched_rt_runtime_us)", flush=True)
    measuring.warn_of_other_work("echo")
    if not any(name in RAW for name in how.servers):
        raise RuntimeError("at least one of the raw servers must be among those compared")
    rows = []
    for cell, results in contest.run_cells("echo", Contestant,
                                           contest.chosen_cells(CELLS, arguments), how):
        if len(how.servers) == len(SERVERS):
            check_rings(results)
        rows += table_rows(cell, results)
    measuring.print_table(HEAD, rows)
    print("echo: ok")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as error:
        sys.exit(f"echo: {error}")
