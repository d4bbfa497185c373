#!/usr/bin/env python3
"""curl that fetches many pages at once from a web server that runs natively."""

import os
import pathlib
import time

import harness
from harness import PATIENCE, await_true, check, free_port
from web_server import Handler, page, with_server

AT_ONCE = 50


def check_files(run, names):
    for number, name in names.items():
        data = pathlib.Path(run.folder, name).read_bytes()
        check(data == page(number), name, "has", len(data), "bytes and not", len(page(number)))
        os.unlink(pathlib.Path(run.folder, name))


@with_server()
def curl_parallel(run, port):
    """curl -Z fetches a hundred pages, fifty at once, and each comes as it is."""
    harness.need("curl")
    curl = run.start("curl", "-sS", "-f", "-Z", "--parallel-max", AT_ONCE, "--parallel-immediate",
                     "--noproxy", "*", "-m", PATIENCE, "-o", "gate-#1",
                     f"http://127.0.0.1:{port}/gate/[1-{AT_ONCE}]", "-o", "page-#1",
                     f"http://127.0.0.1:{port}/page/[1-{AT_ONCE}]")
    await_true(lambda: len(Handler.waiting) == AT_ONCE, "fifty requests at once")
    check(not run.launcher or run.is_hooked(curl), "the program runs without the hooks")
    run.show_threads(curl, 1)
    Handler.gate.set()
    curl.ends(0)
    check("curl:" not in curl.text(), "it complained")
    for kind in ("gate", "page"):
        check_files(run, {number: f"{kind}-{number}" for number in range(1, AT_ONCE + 1)})


@with_server()
def curl_resolver(run, port):
    """curl resolves a name in a thread for each of a hundred transfers at once."""
    harness.need("curl")
    def fetch(host, *words):
        run.output("curl", "-sS", "-f", "-Z", "--parallel-max", 100, "--parallel-immediate", "-4",
                   "--noproxy", "*", "-m", PATIENCE, "-o", "page-#1", *words,
                   f"http://{host}:{port}/page/[1-100]")
        check_files(run, {number: f"page-{number}" for number in range(1, 101)})

    # curl knows localhost by itself and starts no thread. 127.1 is for libc to resolve, and every
    # transfer does it anew, as none has come to its end when the others begin.
    fetch("localhost")
    fetch("name", "--connect-to", f"name:{port}:127.1:{port}")


@with_server()
def curl_failures(run, port):
    """curl's exit status says what went wrong: a refusal, a timeout, a missing page or name."""
    harness.need("curl")
    def status(expected, *words):
        return run.output("curl", "-sS", "--noproxy", "*", "-o", "nothing", *words, status=expected)

    status(7, "-m", PATIENCE, f"http://127.0.0.1:{free_port()}/")
    began = time.monotonic()
    status(28, "-m", "0.5", f"http://127.0.0.1:{port}/slow/1")
    took = time.monotonic() - began
    check(0.5 <= took < 10, "the timeout of 0.5 s took", took)
    status(22, "-f", f"http://127.0.0.1:{port}/missing/1")
    pathlib.Path(run.folder, "upload").write_bytes(os.urandom(3_000_000))
    check(status(0, "-m", PATIENCE, "-T", "upload", "-w", "%{http_code} %{size_upload}",
                 f"http://127.0.0.1:{port}/upload") == "204 3000000", "an upload")


if __name__ == "__main__":
    harness.main(curl_parallel, curl_resolver, curl_failures)
