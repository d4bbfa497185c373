"""What both benchmarks share: where a measured process runs, and how figures become a table."""

import ctypes
import os
import signal
import statistics

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_FIFO_PRIORITY = 5
_NICE = -15


def probe_priority():
    """How measured processes can be kept from waiting for others: ("fifo" | "nice" | "none")."""
    pid = os.fork()
    if pid == 0:
        try:
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


def describe_priority(priority):
    """The same in words, for the head of a table."""
    return {
        "fifo": f"SCHED_FIFO {_FIFO_PRIORITY}",
        "nice": f"nice {_NICE}, SCHED_FIFO is not permitted: expect a wide spread",
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

    return place


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
