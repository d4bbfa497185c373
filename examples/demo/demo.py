"""The main job on real input, verified: usage: demo.py BUILD_DIR

On each backend:
  1. the echo server holds 10,000 connections at once on one thread, and every byte that comes
     back on each of them is checked;
  2. fetch gets 20 URLs, each answered after 200 ms, in about the time of one;
  3. the same by host names that take 200 ms each to look up.
And once, since threads wait in the same way on both:
  4. a Python server with a thread for each of 200 clients, as it is, under `coir run`: its threads
     share a few of the kernel's, and every answer is checked.
Ends with a table and the line "demo: ok", or says what failed and exits with status 1.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from children import Child, Failure, require
from fetching import (BACKEND_NAMES, DELAY_S, HERE, START_PATIENCE_S, URLS, curl_one_by_one,
                      fetch_and_verify, parse_count, read_description, say, web_server)
from ring import why_no_io_uring
from threads import CLIENTS, ROUNDS as THREADS_ROUNDS, threads_as_fibers

CONNECTIONS = 10_000
ROUNDS = 5
LOAD_PATIENCE_S = 60
NAMES_PATIENCE_S = 60
WHOLE_LIMIT_S = 175

TCP_ESTABLISHED = "01"


class Table:
    """What was done and what it took, a row per step and backend."""

    HEADS = ("step", "backend", "what was done", "bytes verified", "time", "threads")

    def __init__(self):
        self.rows = []

    def add(self, step, backend, what, figures, threads):
        """A step that went well."""
        self.rows.append((step, BACKEND_NAMES.get(backend, backend), what, f"{figures['bytes']:,}",
                          f"{figures['seconds']:.2f} s", threads))

    def add_missing(self, backend, why):
        """A backend that this machine does not have."""
        self.rows.append(("all", BACKEND_NAMES[backend], why, "-", "-", "-"))

    def show(self):
        """Prints it."""
        widths = [max(map(len, column)) for column in zip(self.HEADS, *self.rows)]
        for row in (self.HEADS, tuple("-" * width for width in widths), *self.rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


class Demo:
    """The four steps, with the programs of one build."""

    def __init__(self, build, table):
        self.build = Path(build).resolve()
        self.examples = self.build / "examples"
        self.table = table
        self.seed = random.SystemRandom().randrange(1 << 31)
        for name in ("echo_server", "echo_load", "fetch"):
            require((self.examples / name).exists(), f"{self.examples / name} is not built")

    def program(self, name):
        """The path of an example."""
        return str(self.examples / name)

    def echo(self, backend):
        """Step 1."""
        say(f"{backend}: echo server, {CONNECTIONS:,} connections at once")
        with Child([self.program("echo_server")], backend) as server:
            port = listening_port(server.line(START_PATIENCE_S), backend)
            figures = self.load(server, port, backend)
            require(server.stop() == 0, "echo_server did not end cleanly")
            served = server.lines_to_end(START_PATIENCE_S)[-1]
        expected = f"served {CONNECTIONS} connections, {figures['bytes']} bytes"
        require(served == expected, f"echo_server counts differently: {served}")
        what = f"{CONNECTIONS:,} connections open at once, {ROUNDS} rounds on all of them"
        self.table.add("1 echo", backend, what, figures, str(figures["threads"]))

    def load(self, server, port, backend):
        """Puts the load on the server; checks its threads and connections before and after."""
        command = [self.program("echo_load"), "--port", str(port), "--hold"]
        command += ["--connections", str(CONNECTIONS), "--rounds", str(ROUNDS)]
        begin = time.monotonic()
        with Child(command, backend) as load:
            expect(load, f"open {CONNECTIONS}")
            check_server(server, port)
            load.write_line()
            for _ in range(ROUNDS):
                say(f"    {load.line(LOAD_PATIENCE_S)}")
            check_server(server, port)
            load.write_line()
            pattern = rf"checked (\d+) bytes on {CONNECTIONS} connections in .*"
            checked = parse_count(load.line(LOAD_PATIENCE_S), pattern)
            require(load.wait(LOAD_PATIENCE_S) == 0, "echo_load failed")
        seconds = time.monotonic() - begin
        return {"bytes": checked, "seconds": seconds, "threads": server.most_threads()}

    def fetch(self, backend):
        """Step 2."""
        say(f"{backend}: fetch of {URLS} URLs, {DELAY_S * 1000:.0f} ms each")
        with web_server(self.seed) as web:
            port, bodies = read_description(web)
            urls = [f"http://127.0.0.1:{port}{path}" for path in bodies]
            figures = fetch_and_verify(
                self.program("fetch"), backend, urls, list(bodies.values()))
            say("  the same with curl, one after the other")
            curl_seconds = curl_one_by_one(urls)
        what = f"{URLS} URLs, answers after {DELAY_S} s (curl one by one: {curl_seconds:.2f} s)"
        self.table.add("2 fetch", backend, what, figures, str(figures["threads"]))

    def names(self, backend, namespaces):
        """Step 3; `namespaces` is the command that gives a process its own, or empty."""
        say(f"{backend}: fetch of {URLS} URLs by name, look-ups of {DELAY_S * 1000:.0f} ms each")
        kind = "dns" if namespaces else "preload"
        command = [*namespaces, sys.executable, "-B", str(HERE / "names.py"), kind]
        with Child([*command, str(self.build), backend, str(self.seed)]) as child:
            figures = json.loads(child.line(NAMES_PATIENCE_S))
            child.wait(START_PATIENCE_S)
        require("failure" not in figures, f"names: {figures.get('failure')}")
        how = "in a DNS" if namespaces else "by a preloaded getaddrinfo"
        what = (f"the same, names looked up in {DELAY_S} s {how} "
                f"(curl one by one: {figures['curl_seconds']:.2f} s)")
        threads = f"1 + {figures['threads'] - 1} look-ups of libcurl"
        self.table.add("3 fetch by name", backend, what, figures, threads)

    def threads(self):
        """Step 4."""
        figures = threads_as_fibers(str(self.build / "bin" / "coir"))
        what = (f"{CLIENTS} connections with a thread each, in Python, {THREADS_ROUNDS} rounds "
                "under coir run")
        threads = f"{figures['threads']} on {figures['kernel']} of the kernel"
        self.table.add("4 threads", "-", what, figures, threads)


def listening_port(line, backend):
    """The port in a server's first line, which also tells its backend."""
    name = BACKEND_NAMES[backend]
    return parse_count(line, rf"listening on \S+:(\d+) \({re.escape(name)}\)")


def expect(child, line):
    """The child's next line must be this."""
    got = child.line(LOAD_PATIENCE_S)
    require(got == line, f"{child.name} says: {got}")


def check_server(server, port):
    """The server must hold all connections, on one thread."""
    established = established_connections(port)
    threads = server.threads()
    say(f"    /proc: {established:,} connections established, {threads} thread(s) in the server")
    require(established == CONNECTIONS, f"{established} connections are established")
    require(threads == 1 and server.most_threads() <= 1, "echo_server has more than one thread")


def established_connections(port):
    """How many the kernel counts on a local IPv4 port."""
    count = 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        for row in table:
            fields = row.split()
            is_ours = int(fields[1].partition(":")[2], 16) == port
            count += is_ours and fields[3] == TCP_ESTABLISHED
    return count


def find_namespaces():
    """A command that gives a process its own mount and network namespaces; empty if forbidden."""
    for command in (["unshare", "-mn"], ["unshare", "-rmn"]):
        try:
            subprocess.run([*command, "true"], check=True, capture_output=True, timeout=10)
            return command
        except (OSError, subprocess.SubprocessError):
            pass
    say("private namespaces are forbidden here: step 3 uses a slow getaddrinfo, not a slow DNS")
    return []


def run(build, table):
    """All steps on all backends."""
    demo = Demo(build, table)
    say(f"seed {demo.seed}")
    namespaces = find_namespaces()
    for backend in BACKEND_NAMES:
        why = why_no_io_uring() if backend == "uring" else ""
        if why:
            table.add_missing(backend, f"not shown: this machine allows no io_uring ({why})")
            continue
        demo.echo(backend)
        demo.fetch(backend)
        demo.names(backend, namespaces)
    demo.threads()


def stop_for_signal(number, _):
    """Makes the `with` blocks end the children."""
    raise Failure("took too long" if number == signal.SIGALRM else f"ended by signal {number}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: run.sh BUILD_DIR")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, stop_for_signal)
    signal.alarm(WHOLE_LIMIT_S)
    os.environ["no_proxy"] = "*"  # everything here is on this machine
    table = Table()
    failure = None
    try:
        run(sys.argv[1], table)
    except (Failure, OSError, ValueError) as error:
        failure = error
    if table.rows:
        table.show()
        sys.stdout.flush()
    if failure:
        print(f"demo: failed: {failure}", file=sys.stderr)
        sys.exit(1)
    print("demo: ok")


if __name__ == "__main__":
    main()
