"""What the benchmarks share: where measured processes run, and how figures become a table."""

import ctypes
import os
import select
import signal
import statistics
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_FIFO_PRIORITY = 5
_NICE = -15
_ANSWER_SECONDS = 60
_END_SECONDS = 10


def probe_priority(with_fifo=True):
    """How measured processes can be kept from waiting for others: ("fifo" | "nice" | "none").
    SCHED_FIFO is not for processes that have more busy threads than there are processors."""
    pid = os.fork()
    if pid == 0:
        try:
            if with_fifo:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY))
                os._exit(0)
        except OSError:
            pass
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
            os._exit(1)
        except OSError:
            os._exit(2)
    return ("fifo", "nice", "none")[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]


def describe_priority(priority, with_fifo=True):
    """The same in words, for the head of a table."""
    refusal = ", SCHED_FIFO is not permitted: expect a wide spread" if with_fifo else ""
    return {
        "fifo": f"SCHED_FIFO {_FIFO_PRIORITY}",
        "nice": f"nice {_NICE}{refusal}",
        "none": "at normal priority: expect a wide spread",
    }[priority]


def warn_of_other_work(benchmark):
    """Says so when the machine is busy: memory and caches are shared, whatever the priority."""
    load = os.getloadavg()[0]
    if load > 0.7:
        print(f"{benchmark}: other work is running here (load average {load:.1f}); rows that "
              "depend on memory come out up to 3 times too high", flush=True)


def cpus():
    """The processors to use: (for the measured process, for its load); nowhere in particular,
    (None, None), where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


def placed(cpu, priority, seconds_max):
    """A preexec_fn: pins the new process to `cpu` (None: nowhere) with `priority`, and sees to it
    that it ends with this process and after `seconds_max` at the latest."""

    def place():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.alarm(seconds_max)  # survives exec
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if priority == "fifo":
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY))
        elif priority == "nice":
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
            _raise_autogroup()

    return place


def _raise_autogroup():
    """Where the kernel shares processors out by sessions, a nice value counts in its session only:
    gives the process one of its own, of the same nice value."""
    os.setsid()
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write(str(_NICE))
    except OSError:
        pass  # there are no such groups, or they are not told


def start(command, cpu, priority, seconds_max, environment=None):
    """Starts a program with pipes to its stdin and stdout; placed() says how it runs."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, **(environment or {})},
                            preexec_fn=placed(cpu, priority, seconds_max))


def read_line(process, what):
    """A line of the process's stdout; raises when none comes in time."""
    ready, _, _ = select.select([process.stdout], [], [], _ANSWER_SECONDS)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise RuntimeError(f"{what} gave no answer")
    return line


def ask(process, line, what):
    """Writes a line to the process's stdin; the line of its stdout that answers."""
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return read_line(process, what)


def stop(processes):
    """Ends them, one after the other, and waits until they have gone."""
    for process in processes:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()


def output(command, place, seconds_max):
    """What a program prints to stdout until it ends; raises when it does not end well in time."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          preexec_fn=place, timeout=seconds_max, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n"
                           f"{done.stderr}")
    return done.stdout


def median(values):
    """The median; None of nothing."""
    return statistics.median(values) if values else None


def spread_percent(values):
    """How far the values lie apart, (highest - lowest) / median in per cent; None below two."""
    if len(values) < 2:
        return None
    return 100 * (max(values) - min(values)) / statistics.median(values)


def number(value, digits=1):
    """A figure in a table; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def print_table(head, rows):
    """Prints rows of strings under `head`, the first column to the left, the others right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        first = row[0].ljust(widths[0])
        print("  ".join([first] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]))
