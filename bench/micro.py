"""What fibers cost: coir beside Boost.Fiber and the bare context switch.

A round runs the benchmark program once for each library, in a process of its own, and the rounds of
the libraries take turns. A figure is the median of all rounds.
"""

import argparse
import json
import os
import subprocess
import sys

import measuring

# Row, what is to be reached at least, and where a minimal runtime without I/O stands; in ns.
ROWS = (
    ("yield_2_fibers_ns", 20, 8),
    ("yield_2_places_ns", None, None),  # the same where the processor guesses wrongly
    ("yield_100000_fibers_ns", 60, 24),
    ("spawn_join_ns", 120, 20),
    ("batch_10000_per_fiber_ns", 150, 45),
    ("hand_over_round_trip_ns", 60, 21),
    ("buffered_item_ns", 10, 2.3),
    ("lifo_item_ns", None, None),
    ("priority_item_ns", None, None),
    ("channel_round_trip_ns", None, None),
    ("channel_item_ns", None, None),
    ("select_wait_ns", None, None),
    ("select_ready_ns", None, None),
    ("condition_round_trip_ns", 60, 32),
    ("timeout_set_and_cancelled_ns", 60, 27),
    ("wait_without_timeout_ns", None, None),  # tells what the limit adds to the row above
    ("uncontended_lock_ns", None, None),
    ("contended_lock_ns", None, None),
    ("recursive_lock_twice_ns", None, None),
    ("shared_lock_ns", None, None),
    ("barrier_round_ns", None, None),
    ("latch_round_ns", None, None),
    ("wait_group_round_ns", None, None),
    ("future_set_and_get_ns", None, None),
    ("event_round_ns", None, None),
    ("wait_any_ns", None, None),  # the same beside a second event
    ("once_done_ns", None, None),
    ("kill_waiting_ns", None, None),
    ("scope_of_one_ns", None, None),  # tells what a scope adds to spawn_join_ns
    ("imap_item_ns", None, None),
    ("context_round_ns", None, None),
    ("generator_next_ns", None, None),
    ("generator_life_ns", None, None),
    ("fiber_local_get_ns", None, None),
    ("pool_spawn_join_ns", None, None),  # tells what a pool adds to spawn_join_ns
    ("offload_round_trip_ns", None, None),
    ("thread_pool_round_trip_ns", None, None),
    ("fiber_offload_round_trip_ns", None, None),
)
EXIT_UNAVAILABLE = 77  # of the program: the backend that COIR_BACKEND asks for cannot be had
LIBRARIES = ("coir", "boost", "bare")
# Whose rows run in one process. With a second thread in it coir's locks cost atomic instructions.
PROCESSES = (("coir", "coir"), ("coir", "coir_with_threads"), ("boost", "boost"), ("bare", "bare"))
# Two threads take turns: what counts is the wall time.
WALL_TIME = {"offload_round_trip_ns", "thread_pool_round_trip_ns", "fiber_offload_round_trip_ns"}
# Rows that a library has not: for the bare switch, where there is none, or it serves many, or
# another row shows the same ones.
NO_BOOST = {"lifo_item_ns", "priority_item_ns", "select_wait_ns", "select_ready_ns",
            "shared_lock_ns", "latch_round_ns", "wait_group_round_ns", "pool_spawn_join_ns",
            "event_round_ns", "wait_any_ns", "once_done_ns", "kill_waiting_ns",
            "scope_of_one_ns", "imap_item_ns", "context_round_ns", *WALL_TIME}
ABSENT = {
    "coir": set(),
    "boost": NO_BOOST,
    "bare": NO_BOOST | {
        "buffered_item_ns", "channel_round_trip_ns", "channel_item_ns", "uncontended_lock_ns",
        "contended_lock_ns", "recursive_lock_twice_ns", "barrier_round_ns",
        "future_set_and_get_ns", "generator_life_ns", "fiber_local_get_ns"},
}
PROCESS_SECONDS = 120


def run(program, prefix, seconds, place):
    """One process; {row: ns}. Raises when a benchmark did not do its work."""
    command = [program, f"--benchmark_filter=^{prefix}:", f"--benchmark_min_time={seconds}",
               "--benchmark_format=json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=place, timeout=PROCESS_SECONDS)
    if done.returncode == EXIT_UNAVAILABLE:
        print(f"micro: {done.stderr.strip()}", file=sys.stderr)
        sys.exit(EXIT_UNAVAILABLE)
    if done.returncode != 0:
        raise RuntimeError(f"{prefix}: exit status {done.returncode}\n{done.stderr}")
    figures = {}
    for entry in json.loads(done.stdout)["benchmarks"]:
        if entry.get("error_occurred"):
            raise RuntimeError(f"{entry['name']}: {entry['error_message']}")
        row = entry["name"].split(":", 1)[1].split("/", 1)[0]
        figures[row] = entry["real_time" if row in WALL_TIME else "cpu_time"]
    return figures


def measure(program, rounds, seconds, place):
    """All rounds; {library: {row: [ns, ...]}}. Raises when a row is missing."""
    figures = {library: {} for library in LIBRARIES}
    for number in range(rounds):
        for library, prefix in PROCESSES:
            for row, ns in run(program, prefix, seconds, place).items():
                figures[library].setdefault(row, []).append(ns)
        print(f"       round {number + 1} of {rounds} done", flush=True)
    for library in LIBRARIES:
        missing = {row for row, _, _ in ROWS} - set(figures[library]) - ABSENT[library]
        if missing:
            raise RuntimeError(f"{library}: no figure for {', '.join(sorted(missing))}")
    return figures


def table_row(row, target, floor, figures):
    """One line of the table, as strings."""
    ns = {library: measuring.median(figures[library].get(row)) for library in LIBRARIES}
    reached = "" if target is None else "yes" if ns["coir"] <= target else "no"
    return [
        row, measuring.number(ns["coir"]),
        measuring.number(measuring.spread_percent(figures["coir"][row]), 0),
        "" if target is None else f"{target:g}", "" if floor is None else f"{floor:g}",
        measuring.number(ns["boost"]), measuring.number(ns["bare"]), reached,
    ]


def main():
    parser = argparse.ArgumentParser(prog="micro.sh", description=__doc__.splitlines()[0])
    parser.add_argument("build", help="the build directory")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="for each benchmark, at least")
    parser.add_argument("--quick", action="store_true", help="3 short rounds; figures are rough")
    parser.add_argument("--smoke", action="store_true",
                        help="1 tiny round: checks that every benchmark does its work")
    arguments = parser.parse_args()
    rounds, seconds = arguments.rounds, arguments.seconds
    cpu, _ = measuring.cpus()
    priority = measuring.probe_priority()
    if arguments.quick:
        rounds, seconds = 3, 0.02
    if arguments.smoke:
        rounds, seconds, cpu, priority = 1, 0.001, None, "none"
    place = measuring.placed(cpu, priority, PROCESS_SECONDS)
    print(f"micro: {rounds} rounds, CPU {cpu}, {measuring.describe_priority(priority)}; medians "
          "in ns of processor time, of wall time where threads take turns", flush=True)
    measuring.warn_of_other_work("micro")
    figures = measure(os.path.join(arguments.build, "bench/micro"), rounds, seconds, place)
    head = ["row", "coir", "spread %", "target", "floor", "Boost.Fiber", "bare switch", "reached"]
    measuring.print_table(head, [table_row(*row, figures) for row in ROWS])
    print("micro: ok")


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        sys.exit(f"micro: {error}")
