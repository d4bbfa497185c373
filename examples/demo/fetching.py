"""Fetching from the slow web server, and checking each body against what the server says."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from children import Child, Failure, require

URLS = 20
DELAY_S = 0.2
WALL_LIMIT_S = 1.0  # one after the other they take URLS * DELAY_S = 4 s
START_PATIENCE_S = 20
FETCH_PATIENCE_S = 60
BACKEND_NAMES = {"uring": "io_uring", "epoll": "epoll"}

HERE = Path(__file__).resolve().parent


def say(text):
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def web_server(seed):
    """The slow web server as a process; use it with `with`."""
    return Child(
        [sys.executable, "-B", str(HERE / "slow_http.py"), "--delay", str(DELAY_S)]
        + ["--bodies", str(URLS), "--seed", str(seed)]
    )


def read_description(web):
    """The port of a web_server, and its bodies: size and hash by path."""
    described = json.loads(web.line(START_PATIENCE_S))
    return described["port"], described["bodies"]


def fetch_and_verify(program, backend, urls, bodies):
    """Fetches `urls` with the example program; `bodies` has what each must bring, in their order.

    Returns a row's figures: bytes verified, wall time with the start of the process, threads.
    """
    with tempfile.TemporaryDirectory() as directory:
        command = [program, "--timeout", "30", "--output-dir", directory] + urls
        begin = time.monotonic()
        with Child(command, backend) as fetch:
            lines = fetch.lines_to_end(FETCH_PATIENCE_S)
            seconds = time.monotonic() - begin
            status = fetch.wait(START_PATIENCE_S)
        for line in lines:
            say(f"    {line}")
        require(status == 0, f"fetch ended with status {status}")
        require(
            lines[-1].endswith(f"({BACKEND_NAMES[backend]})"), f"fetch did not use {backend}"
        )
        verified = sum(
            check_body(Path(directory, str(i)), body) for i, body in enumerate(bodies, 1)
        )
    require(
        seconds <= WALL_LIMIT_S,
        f"fetching {len(urls)} URLs on {backend} took {seconds:.2f} s, not about {DELAY_S} s",
    )
    return {"bytes": verified, "seconds": seconds, "threads": fetch.most_threads()}


def check_body(path, body):
    """Compares a file with the size and hash that the server gave; returns the size."""
    content = path.read_bytes()
    require(len(content) == body["bytes"], f"{path.name}: {len(content)} bytes came")
    is_same = hashlib.sha256(content).hexdigest() == body["sha256"]
    require(is_same, f"{path.name}: the content is not what the server sent")
    return len(content)


def curl_one_by_one(urls):
    """How long plain curl takes for the same URLs."""
    command = ["curl", "--silent", "--show-error", "--fail"]
    for url in urls:
        command += ["--output", os.devnull, url]
    begin = time.monotonic()
    try:
        subprocess.run(command, check=True, timeout=FETCH_PATIENCE_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failure(f"curl: {error}") from None
    return time.monotonic() - begin


def parse_count(text, pattern):
    """The number in the group of `pattern`, which must match `text`."""
    match = re.fullmatch(pattern, text)
    require(match, f"unexpected line: {text}")
    return int(match[1])
