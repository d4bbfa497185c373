"""The demo's third step: URLs whose host names take long to look up.

usage: names.py dns BUILD_DIR BACKEND SEED
       names.py preload BUILD_DIR BACKEND SEED

Prints one line of JSON: the figures of the step. `dns` is the real thing: to be run in network and
mount namespaces of its own (unshare -mn, or unshare -rmn for who is not root), it answers DNS
queries on 127.0.0.1:53 after a delay, and points /etc/resolv.conf to that. `preload` is for where
namespaces are forbidden: it puts a slow getaddrinfo in the place of libc's, behind coir's hooks.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from children import Failure, require
from fetching import (DELAY_S, URLS, curl_one_by_one, fetch_and_verify, read_description, say,
                      web_server)
from slow_dns import SlowDns

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
INTERFACE = struct.Struct("16sH14x")


def bring_loopback_up():
    """A new network namespace begins with its loopback interface down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = INTERFACE.pack(b"lo", 0)
        _, flags = INTERFACE.unpack(fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, INTERFACE.pack(b"lo", flags | IFF_UP))


def replace_file(path, content):
    """Puts another file in the place of `path`, in this mount namespace only."""
    if not os.path.exists(path):
        return
    with tempfile.NamedTemporaryFile("w") as replacement:
        replacement.write(content)
        replacement.flush()
        os.chmod(replacement.name, 0o644)
        subprocess.run(["mount", "--bind", replacement.name, path], check=True)


class SlowNameServer:
    """The slow DNS, as what this process and its children use from here on."""

    def __init__(self, _):
        bring_loopback_up()
        self.server = SlowDns(DELAY_S)
        require(os.path.exists("/etc/resolv.conf"), "there is no /etc/resolv.conf to replace")
        replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        replace_file("/etc/nsswitch.conf", "hosts: dns\n")

    def prepare_fetch(self):
        """Everything is in its place."""

    def prepare_curl(self):
        """Everything is in its place."""

    def names(self):
        """The names that were looked up."""
        return set(self.server.names)


class SlowFunction:
    """The slow getaddrinfo, as what children use from prepare_... on."""

    def __init__(self, build):
        self.hooks = build / "lib" / "libcoir_hooks.so"
        self.function = build / "examples" / "slow_names.so"
        self.log = tempfile.NamedTemporaryFile("r", encoding="ascii")
        os.environ["COIR_DEMO_NAMES"] = self.log.name
        os.environ["COIR_DEMO_DELAY_MS"] = str(round(DELAY_S * 1000))

    def prepare_fetch(self):
        """coir's hooks have to be the first to see a call, as they are without a preload."""
        os.environ["LD_PRELOAD"] = f"{self.hooks}:{self.function}"

    def prepare_curl(self):
        """curl knows nothing of coir."""
        os.environ["LD_PRELOAD"] = str(self.function)

    def names(self):
        """The names that were looked up."""
        return set(self.log.read().split())


def step(slow_names, program, backend, seed):
    """Runs the step and returns its figures."""
    with web_server(seed) as web:
        port, bodies = read_description(web)
        hosts = [f"host{i}.demo.test" for i in range(1, URLS + 1)]
        urls = [f"http://{host}:{port}{path}" for host, path in zip(hosts, bodies)]
        slow_names.prepare_fetch()
        figures = fetch_and_verify(program, backend, urls, list(bodies.values()))
        require(slow_names.names() == set(hosts), "it was not these names that were looked up")
        say("  the same with curl, one after the other")
        slow_names.prepare_curl()
        figures["curl_seconds"] = curl_one_by_one(urls)
    return figures


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kind, build, backend, seed = sys.argv[1:]
    build = Path(build)
    try:
        slow_names = SlowNameServer(build) if kind == "dns" else SlowFunction(build)
        figures = step(slow_names, str(build / "examples" / "fetch"), backend, int(seed))
        print(json.dumps(figures), flush=True)
    except (Failure, OSError, subprocess.SubprocessError) as error:
        print(json.dumps({"failure": str(error)}), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
