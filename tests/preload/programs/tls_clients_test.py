#!/usr/bin/env python3
"""Clients over TLS, curl and Python in threads, of a web server that runs natively."""

import pathlib

import harness
from harness import PATIENCE, await_true, check
from web_server import Handler, page, with_server

AT_ONCE = 50
THREADS = 120


@with_server(is_secure=True)
def curl_parallel(run, port, certificate):
    """curl refuses a stranger, gives a slow server up, and fetches fifty pages at once by TLS."""
    harness.need("curl")
    distrusted = 60
    run.output("curl", "-sS", "--noproxy", "*", "-m", PATIENCE, "-o", "nothing",
               f"https://localhost:{port}/page/1", status=distrusted)
    too_slow = 28
    run.output("curl", "-sS", "--noproxy", "*", "-m", "0.5", "--cacert", certificate, "-o",
               "nothing", f"https://localhost:{port}/slow/1", status=too_slow)
    curl = run.start("curl", "-sS", "-f", "-Z", "--parallel-max", AT_ONCE, "--parallel-immediate",
                     "--noproxy", "*", "-m", PATIENCE, "--cacert", certificate, "-o", "page-#1",
                     f"https://localhost:{port}/gate/[1-{AT_ONCE}]")
    await_true(lambda: len(Handler.waiting) == AT_ONCE, "fifty requests at once")
    check(not run.launcher or run.is_hooked(curl), "the program runs without the hooks")
    run.show_threads(curl, 1)
    Handler.gate.set()
    curl.ends(0)
    check("curl:" not in curl.text(), "it complained")
    for number in range(1, AT_ONCE + 1):
        data = pathlib.Path(run.folder, f"page-{number}").read_bytes()
        check(data == page(number), "page", number, "has", len(data), "bytes")


@with_server(is_secure=True)
def urllib_in_threads(run, port, certificate):
    """120 threads of Python fetch by urllib at once, and then by ssl itself."""
    client = run.python("https_client.py", port, certificate, THREADS)
    client.line("^distrusted$")
    client.line("^too slow$")
    await_true(lambda: len(Handler.waiting) == THREADS, "as many requests at once as threads")
    check(not run.launcher or run.is_hooked(client), "the program runs without the hooks")
    run.show_threads(client, THREADS + 1)
    Handler.gate.set()
    client.line(f"^urllib {THREADS}$")
    client.line(f"^ssl {THREADS}$")
    client.ends(0)


if __name__ == "__main__":
    harness.main(curl_parallel, urllib_in_threads)
