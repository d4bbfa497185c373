"""Apache httpd with the worker and the event MPM, in one process and in several."""

import concurrent.futures
import hashlib
import http.client
import os
import random
import re
import signal
import socket

import harness
from harness import check

CONCURRENT = 100
# Over connections that are kept: fewer than threads, since the event MPM closes kept connections
# when all threads are busy, and the worker MPM has none left then.
KEPT = 80
REQUESTS = 4000
THREADS_PER_CHILD = 100
THREADS_OF_A_CHILD = THREADS_PER_CHILD + 2  # a listener, and main
BIG_BYTES = 24 << 20
SMALL_BYTES = 1500
MODULES = "/usr/lib/apache2/modules"

APACHE, AB = harness.need("apache2", "ab")

CONFIGURATION = """
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
LogLevel warn
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule status_module {modules}/mod_status.so
{user}
StartServers 1
ServerLimit 3
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {most}
MinSpareThreads 25
MaxSpareThreads {most}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 2
Timeout 60
GracefulShutdownTimeout 30
EnableSendfile On
EnableMMAP Off
ExtendedStatus On
DocumentRoot {site}
<Location /status>
  SetHandler server-status
</Location>
"""


class Site:
    """A running Apache and what it serves."""

    def __init__(self, at, mpm, *options):
        self.at = at
        self.mpm = mpm
        self.folder = at.folder / f"{mpm}{''.join(options)}"
        self.port = harness.free_port()
        self.sites = [self._make_site(number) for number in (1, 2)]
        self.small, self.big = ((self.sites[0] / name).read_bytes() for name in ("small", "big"))
        self.configure(self.sites[0])
        self.server = at.start([APACHE, "-f", self.folder / "apache.conf", *options])
        self.server.await_ready(self.port)

    def _make_site(self, number):
        site = self.folder / f"site{number}"
        site.mkdir(parents=True)
        bytes_of = random.Random(number).randbytes
        (site / "small").write_bytes(bytes_of(SMALL_BYTES))
        (site / "big").write_bytes(bytes_of(BIG_BYTES))
        (site / "number").write_text(str(number), encoding="ascii")
        return site

    def configure(self, site):
        """What it serves from its next start on."""
        user = "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""
        (self.folder / "apache.conf").write_text(CONFIGURATION.format(
            folder=self.folder, port=self.port, mpm=self.mpm, modules=MODULES, site=site,
            threads=THREADS_PER_CHILD, most=2 * THREADS_PER_CHILD, user=user), encoding="ascii")

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            check(answer.status == 200, f"{path} was answered by {answer.status}")
            return answer.read()
        finally:
            connection.close()

    def status(self, name):
        return re.search(rf"^{name}: (.*)$", self.get("/status?auto").decode(), re.M)[1]

    def processes(self):
        """Those that serve: the children, or the only one."""
        return harness.children(self.server.pid) or [self.server.pid]


class SlowDownload:
    """A big file of which only the beginning has been read so far."""

    def __init__(self, port, expected):
        self._expected = expected
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self._socket.settimeout(30)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self._beginning = self._socket.recv(1000)

    def finish(self):
        with self._socket.makefile("rb") as rest:
            whole = self._beginning + rest.read()
        self._socket.close()
        body = whole.partition(b"\r\n\r\n")[2]
        check(len(body) == BIG_BYTES, f"{len(body)} bytes of {BIG_BYTES} came")
        check(hashlib.sha256(body).digest() == hashlib.sha256(self._expected).digest(),
              "the bytes of the big file are not those that it has")


def keep_alive_client(site, count):
    """Requests over one connection; leaves it open and returns it."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    for _ in range(count):
        connection.request("GET", "/small")
        check(connection.getresponse().read() == site.small, "a small file came damaged")
    return connection


def serve(site):
    """What every way of running it has to do."""
    check(site.status("ServerMPM") == site.mpm, "it runs another MPM")
    with concurrent.futures.ThreadPoolExecutor(KEPT) as pool:
        clients = [pool.submit(keep_alive_client, site, 5) for _ in range(KEPT)]
        connections = [client.result() for client in clients]
    pids = site.processes()
    site.at.report_threads(THREADS_OF_A_CHILD * len(pids), *pids)
    for connection in connections:
        connection.close()
    for clients_at_once, more in ((CONCURRENT, ()), (KEPT, ("-k",))):
        output = site.at.run([AB, "-q", "-s", 30, *more, "-n", REQUESTS, "-c", clients_at_once,
                              f"http://127.0.0.1:{site.port}/small"], is_native=True)
        check(re.search(r"Complete requests: +(\d+)", output)[1] == str(REQUESTS), output)
        check(re.search(r"Failed requests: +(\d+)", output)[1] == "0", output)
        check("Non-2xx" not in output, output)
        check(f"Document Length:        {SMALL_BYTES} bytes" in output, output)
        rate = float(re.search(r"Requests per second: +([0-9.]+)", output)[1])
        print(f"  {rate:,.0f} requests/s{' with keep-alive' if more else ''}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for body in pool.map(site.get, ["/big"] * 8):
            check(hashlib.sha256(body).digest() == hashlib.sha256(site.big).digest(),
                  "the big file came damaged")
    return keep_alive_client(site, 1)  # ended by KeepAliveTimeout or with the server


def restart_gracefully(site):
    """A download under way ends well; who comes later gets the new configuration."""
    check(site.get("/number") == b"1", "it serves another site")
    slow = SlowDownload(site.port, site.big)
    site.configure(site.sites[1])
    site.server.send_signal(signal.SIGUSR1)

    def has_restarted():
        try:
            return site.get("/number") == b"2"
        except OSError:
            return False

    harness.wait_until(has_restarted, "the new configuration is used")
    check(site.status("ParentServerConfigGeneration") == "2", "the generation is another one")
    slow.finish()


def stop_gracefully(site):
    """No new connection, but the download under way ends well, and then the server."""
    slow = SlowDownload(site.port, (site.sites[1] / "big").read_bytes())
    site.server.send_signal(signal.SIGWINCH)
    harness.wait_until(lambda: not harness.accepts(site.port), "it accepts no more")
    slow.finish()
    site.server.await_end(seconds=30)


def normal(mpm):
    def case(at):
        site = Site(at, mpm, "-DFOREGROUND")
        idle = serve(site)
        restart_gracefully(site)
        stop_gracefully(site)
        idle.close()
        log = site.server.said()
        for word in ("segfault", "exit signal", "[emerg]", "[crit]", "AH00045"):
            check(word not in log, f"the log has: {word}")

    return case


def one_process(mpm):
    def case(at):
        site = Site(at, mpm, "-X")
        idle = serve(site)
        slow = SlowDownload(site.port, site.big)
        slow.finish()
        site.server.stop(signal.SIGTERM)
        idle.close()

    return case


harness.main(__doc__, {
    "the worker MPM serves, restarts gracefully and stops gracefully": normal("worker"),
    "the event MPM serves, restarts gracefully and stops gracefully": normal("event"),
    "the worker MPM serves from one process": one_process("worker"),
    "the event MPM serves from one process": one_process("event"),
})
