"""A Rust program that uses all that the standard library has for threads."""

import shutil

import harness
from harness import check

PARTS = ("results and names", "panics come out of join", "channels", "locks", "conditions",
         "parking", "thread-locals", "scopes", "once", "tcp")
PARKED = 500


def every_part(at):
    if shutil.which("rustc") is None:
        harness.skip("rustc is not installed, so that the program was not built")
    program = at.start([at.program("preload_servers_rust")], has_input=True)
    program.await_line(f"{PARKED} threads wait for a line", 60)
    at.report_threads(PARKED + 1, program.pid)
    program.tell("go")
    program.await_end()
    lines = [f"ok: {part}" for part in PARTS]
    lines += [f"{PARKED} threads wait for a line", "went on after: go"]
    check(program.said().splitlines() == lines, "it said something else")


harness.main(__doc__, {"threads, channels, locks, parking and sockets do as natively": every_part})
