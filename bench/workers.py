"""What fibers on several workers cost: coir beside Go and Boost.Fiber, two threads each.

A round runs each row once for each library, in a process of its own, and the libraries take turns;
the order turns round from round to round. A figure is the median of all rounds by the clock on the
wall, a ratio the median of the ratios of each round. Speed-ups compare one worker with two of the
same round. Every process checks the sums of what it did and fails when they are wrong.

"Go locked" is Go with each side of a row bound to a thread. Left alone it soon runs both sides in
turn on one thread, so its figures for rows that cross workers have no crossing in them.

The server's row has a load of its own, which shares the processors with it: many connections, each
with many requests under way, so that the load costs little; how little is told below the table.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

import measuring

HERE = pathlib.Path(__file__).resolve().parent
LIBRARIES = {"coir": "coir", "go": "Go", "locked": "Go locked", "boost": "Boost.Fiber"}
PEERS = ("go", "locked", "boost")
EXIT_UNAVAILABLE = 77  # of a program: coir has no backend, which is to be expected of uring alone
PROCESS_SECONDS = 300
CALIBRATIONS = 3
TASK_NS = 2_000  # what a task of parallel_spawn computes
HANDLER_NS = 20_000  # and the server for each request
CONNECTIONS, DEPTH = 64, 16


@dataclasses.dataclass(frozen=True)
class Row:
    """What a program is asked for: one row of its own, on some workers."""

    name: str
    workers: int = 2
    peers: tuple = ("go", "boost")

    def label(self):
        """How the table calls it; the unit stays last."""
        if self.name not in SCALING:
            return self.name
        what, _, unit = self.name.rpartition("_")
        return f"{what}_{self.workers}_worker{'s' if self.workers > 1 else ''}_{unit}"


SCALING = {"plain_threads_ns", "parallel_spawn_ns", "skynet_ms", "server_rps"}
# What the machine can do, without any library.
PLAIN = (*(Row("plain_threads_ns", workers, ()) for workers in (1, 2)),
         Row("plain_round_trip_ns", 2, ()))
ROWS = (
    Row("cross_channel_round_trip_ns", peers=PEERS),
    Row("unplaced_channel_round_trip_ns"),
    Row("cross_buffered_item_ns", peers=PEERS),
    Row("cross_condition_round_trip_ns", peers=PEERS),
    Row("contended_mutex_ns"),
    Row("spawn_from_outside_ns"),
    *(Row("parallel_spawn_ns", workers) for workers in (1, 2)),
    *(Row("skynet_ms", workers) for workers in (1, 2)),
    *(Row("server_rps", workers, ("go",)) for workers in (1, 2)),  # Boost.Fiber has no sockets
)
MORE_IS_BETTER = {"server_rps"}
# What is to be reached: at most so much of Go's figure, or at least such a speed-up.
RATIOS_TO_GO = {"cross_channel_round_trip_ns": 0.8, "contended_mutex_ns": 1.0,
                "spawn_from_outside_ns": 1.0}
SPEED_UPS = {"parallel_spawn_ns": 1.5, "skynet_ms": 1.5, "server_rps": 1.8}


@dataclasses.dataclass(frozen=True)
class How:
    """The manner of a run."""

    build: pathlib.Path
    rounds: int
    milliseconds: int  # that a row measures over, at least
    server_seconds: float
    priority: str
    libraries: tuple
    task_steps: int
    handler_steps: int

    def program(self, name):
        return program_in(self.build, name)

    def start(self, command):
        return measuring.start(command, None, self.priority, PROCESS_SECONDS)


def program_in(build, name):
    """The path of a built program."""
    path = build / name
    if not path.exists():
        raise RuntimeError(f"{path} has not been built")
    return str(path)


# --- before the run -------------------------------------------------------------------------------


def available_libraries(build):
    """Those that can be had; says which cannot. Go's program is built here."""
    if shutil.which("go") is None:
        print("workers: go is not installed: its figures are left out", flush=True)
        return tuple(name for name in LIBRARIES if name not in ("go", "locked"))
    build_go(build)
    return tuple(LIBRARIES)


def build_go(build):
    """Builds Go's program in the build directory."""
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off",
                   "CGO_ENABLED": "0", "GOCACHE": str(build.resolve() / "bench/go-cache")}
    subprocess.run(["go", "build", "-o", build / "bench/workers_go",
                    *sorted((HERE / "workers").glob("*.go"))],
                   env=environment, check=True, timeout=PROCESS_SECONDS)


def calibrated(build, nanoseconds, place):
    """The steps of a walk that takes so long."""
    steps = [int(measuring.output([program_in(build, "bench/workers_coir"), "calibrate",
                                   str(nanoseconds)], place, PROCESS_SECONDS))
             for _ in range(CALIBRATIONS)]
    return int(statistics.median(steps))


# --- one row of one library -----------------------------------------------------------------------


def run_row(row, library, how, servers):
    """The figure; raises when the work was not done. What the load of a server tells besides goes
    to `servers`."""
    if row.name == "server_rps":
        told = run_server(row.workers, library, how)
        servers.setdefault((library, row.workers), []).append(told)
        return told["requests"] * 1e9 / told["wall_ns"]
    program, *options = {"locked": ("go", "locked")}.get(library, (library,))
    command = [how.program(f"bench/workers_{program}"), row.name, str(row.workers),
               str(how.milliseconds), str(how.task_steps), *options]
    place = measuring.placed(None, how.priority, PROCESS_SECONDS)
    return float(measuring.output(command, place, PROCESS_SECONDS))


def run_server(workers, library, how):
    """What the load tells of one round of a new server."""
    if library == "coir":
        command = [how.program("examples/worker_server"), "--workers", str(workers)]
    else:
        command = [how.program("bench/workers_go"), "server", str(workers), "1", "1"]
    processes = []
    try:
        server = how.start(command)
        processes.append(server)
        first = measuring.read_line(server, "the server")
        port = re.search(r"listening on \S+:(\d+)", first)
        if port is None:
            raise RuntimeError(f"the server says {first.strip()}")
        load = how.start([how.program("bench/workers_load"), "--port", port[1],
                          "--connections", str(CONNECTIONS), "--depth", str(DEPTH),
                          "--steps", str(how.handler_steps), "--server-pid", str(server.pid)])
        processes.append(load)
        measuring.read_line(load, "the load")
        return json.loads(measuring.ask(load, how.server_seconds, "the load"))
    finally:
        measuring.stop(reversed(processes))


# --- the run and its table ------------------------------------------------------------------------


def measure(rows, how):
    """All rounds; ({row: {library: [figure, ...]}}, what the loads told)."""
    figures = {row: {library: [] for library in how.libraries} for row in rows}
    servers = {}
    begun = time.monotonic()
    for number in range(how.rounds):
        order = how.libraries if number % 2 == 0 else how.libraries[::-1]
        for row in rows:
            for library in order:
                if library == "coir" or library in row.peers:
                    figures[row][library].append(run_row(row, library, how, servers))
        print(f"         round {number + 1} of {how.rounds} done after "
              f"{time.monotonic() - begun:.0f} s", flush=True)
    return figures, servers


def ratios(upper, lower):
    """Those of each round."""
    return [a / b for a, b in zip(upper, lower)]


def speed_up(figures, name):
    """{library: [one worker against two, ...]}."""
    one, two = (next(values for row, values in figures.items()
                     if (row.name, row.workers) == (name, workers)) for workers in (1, 2))
    return {library: ratios(two[library], one[library]) if name in MORE_IS_BETTER
            else ratios(one[library], two[library]) for library in one}


def table_row(label, values, target, is_reached, digits):
    """One line of the table, as strings."""
    ours = values["coir"]
    line = [label]
    for library in LIBRARIES:
        line.append(measuring.number(measuring.median(values.get(library)), digits))
    line.append("/".join(measuring.number(measuring.spread_percent(values.get(library, ())), 0)
                         for library in LIBRARIES))
    for peer in PEERS:
        line.append(measuring.number(measuring.median(ratios(ours, values.get(peer, ()))), 2))
    return [*line, target, "" if is_reached is None else "yes" if is_reached else "no"]


def figure_row(row, values):
    target = RATIOS_TO_GO.get(row.name)
    of_go = measuring.median(ratios(values["coir"], values.get("go", ())))
    return table_row(row.label(), values, "" if target is None else f"<= {target} Go",
                     None if target is None or of_go is None else of_go <= target,
                     0 if row.name in MORE_IS_BETTER else 1)


def speed_up_row(name, values):
    label = f"{name.rpartition('_')[0]}_speed_up"
    target = SPEED_UPS[name]
    return table_row(label, values, f">= {target}", measuring.median(values["coir"]) >= target, 2)


def table(figures):
    """The lines: a speed-up follows the figures that it is made of."""
    lines = []
    for row, values in figures.items():
        if row in PLAIN:
            continue
        lines.append(figure_row(row, values))
        if row.name in SPEED_UPS and row.workers == 2:
            lines.append(speed_up_row(row.name, speed_up(figures, row.name)))
    return lines


HEAD = ["row", *LIBRARIES.values(), "spread %", "to Go", "to locked", "to Boost", "target",
        "reached"]


def describe_machine(figures):
    plain = speed_up(figures, "plain_threads_ns")["coir"]
    trip = next(values for row, values in figures.items() if row.name == "plain_round_trip_ns")
    print(f"machine: two plain threads compute {measuring.median(plain):.2f} times as fast as one, "
          f"spread {measuring.number(measuring.spread_percent(plain), 0)} %;")
    print(f"         a cache line goes to the other processor and back in "
          f"{measuring.median(trip['coir']):.0f} ns")


def describe_servers(servers):
    """What the loads took, and how they were spread."""
    for (library, workers), told in servers.items():
        share = measuring.median([100 * one["load_cpu_ns"] / one["wall_ns"] for one in told])
        cost = measuring.median([one["server_cpu_ns"] / one["requests"] / 1000 for one in told])
        print(f"server of {LIBRARIES[library]}, {workers} worker{'s' if workers > 1 else ''}: "
              f"{cost:.1f} us of processor time a request; the load took {share:.0f} % of one "
              "processor", end="")
        if library == "coir":
            balance = ["/".join(map(str, one["connections_by_worker"])) for one in told]
            answers = ["/".join(f"{100 * count / one['requests']:.0f}"
                                for count in one["answers_by_worker"]) for one in told]
            print(f"; connections {', '.join(balance)}; answers in % {', '.join(answers)}", end="")
        print()


def parse():
    parser = argparse.ArgumentParser(prog="workers.sh", description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, help="the build directory")
    names = sorted({row.name for row in ROWS})
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--milliseconds", type=int, default=300,
                        help="that a row measures over, at least")
    parser.add_argument("--quick", action="store_true", help="3 short rounds; figures are rough")
    parser.add_argument("--smoke", action="store_true",
                        help="1 tiny round: checks that every row does its work")
    arguments = parser.parse_intermixed_args()
    if unknown := set(arguments.rows) - set(names):
        parser.error(f"no row is called {', '.join(sorted(unknown))}")
    return arguments


def manner(arguments):
    """The manner that the arguments ask for."""
    priority = "none" if arguments.smoke else measuring.probe_priority(with_fifo=False)
    place = measuring.placed(None, priority, PROCESS_SECONDS)
    how = How(arguments.build, arguments.rounds, arguments.milliseconds, 1.0, priority,
              available_libraries(arguments.build),
              calibrated(arguments.build, TASK_NS, place),
              calibrated(arguments.build, HANDLER_NS, place))
    if arguments.quick:
        how = dataclasses.replace(how, rounds=3, milliseconds=100, server_seconds=0.5)
    if arguments.smoke:
        how = dataclasses.replace(how, rounds=1, milliseconds=1, server_seconds=0.05)
    return how


def skip_without_backend(how):
    """Ends this process when io_uring is asked for and cannot be had."""
    command = [how.program("bench/workers_coir"), "cross_buffered_item_ns", "2", "1", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_SECONDS,
                          check=False)
    if done.returncode == EXIT_UNAVAILABLE and os.environ.get("COIR_BACKEND") == "uring":
        print(f"workers: {done.stderr.strip()}", file=sys.stderr)
        sys.exit(EXIT_UNAVAILABLE)


def main():
    arguments = parse()
    how = manner(arguments)
    skip_without_backend(how)
    rows = PLAIN + tuple(row for row in ROWS if not arguments.rows or row.name in arguments.rows)
    print(f"workers: {how.rounds} rounds, {measuring.describe_priority(how.priority, False)}; "
          "medians of wall time; spread: of coir and its peers in order;")
    print(f"         a task of {TASK_NS / 1000:g} us is {how.task_steps} steps, a handler of "
          f"{HANDLER_NS / 1000:g} us {how.handler_steps};")
    print(f"         server: {CONNECTIONS} connections, {DEPTH} requests under way on each",
          flush=True)
    measuring.warn_of_other_work("workers")
    figures, servers = measure(rows, how)
    measuring.print_table(HEAD, table(figures))
    describe_machine(figures)
    describe_servers(servers)
    print("workers: ok")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"workers: {error}")
