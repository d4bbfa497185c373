"""What TLS costs a coir server, beside nginx with the same certificate, version and cipher.

Handshakes are connections of their own: handshake, question, short answer, orderly end. Bulk is a
file of 1 MB over connections that are kept. The load checks certificates, resumption and every
byte. bench/contest.py says how the servers are compared. The second table tells what idle
connections cost.
"""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile

import contest
import measuring

FILE_BYTES = 1_000_000
CONTENT_PERIOD = 251  # as in bench/tls/load.cpp
IDLE_CONNECTIONS = 2000
TARGET = 0.9  # of what nginx does in the same processor time
KEYS = {
    "ECDSA P-256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "RSA 2048": ["-newkey", "rsa:2048"],
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One shape of load."""

    what: str
    key: str = "ECDSA P-256"
    connections: int = 64
    is_resumed: bool = False
    file_bytes: int = 0  # 0: handshakes

    def name(self):
        return f"{self.what}, {self.key}" if not self.file_bytes else self.what


CELLS = (
    Cell("full handshakes"),
    Cell("full handshakes", "RSA 2048"),
    Cell("resumed handshakes", is_resumed=True),
    Cell("1 MB files", file_bytes=FILE_BYTES),
)

NGINX_SERVER = """
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {material}/{key}.pem;
    ssl_certificate_key {material}/{key}.key;
    ssl_protocols TLSv1.3;
    location /hello {{ return 200 "Hello, World!\\n"; }}
    location /files/ {{ root {material}; }}
"""

SERVERS = {"coir epoll": "epoll", "coir io_uring": "uring", "nginx": None}


def stem(key):
    return key.replace(" ", "-")


def make_material(folder):
    """Certificates with their keys, and a folder with the file to serve."""
    for key, options in KEYS.items():
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", *options, "-subj", "/CN=localhost", "-days", "2",
             "-keyout", folder / f"{stem(key)}.key", "-out", folder / f"{stem(key)}.pem"],
            check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    period = bytes(range(CONTENT_PERIOD))
    content = period * (FILE_BYTES // CONTENT_PERIOD + 1)
    (folder / "files").mkdir()
    (folder / "files/content").write_bytes(content[:FILE_BYTES])


class Contestant(contest.Contestant):
    """An HTTPS server and its load."""

    def __init__(self, name, cell, how, material):
        self._material = material
        super().__init__(name, cell, how)

    def server_for(self, cell, how):
        key = stem(cell.key)
        if self.name == "nginx":
            port = contest.free_port()
            lines = NGINX_SERVER.format(port=port, material=self._material, key=key)
            return contest.Server(contest.nginx(self.folder, lines), port=port)
        return contest.Server(
            [contest.program_in(how.build, "tls_coir_server"), str(self._material / f"{key}.pem"),
             str(self._material / f"{key}.key"), str(self._material / "files")],
            {"COIR_BACKEND": SERVERS[self.name]})

    def load_for(self, cell):
        options = ["tls_load", str(self._material / f"{stem(cell.key)}.pem")]
        if cell.is_resumed:
            options += ["--resume", "1"]
        if cell.file_bytes:
            options += ["--file", str(cell.file_bytes)]
        return options


HEAD = ["load", "server", "per CPU s", "spread %", "per s", "p50/p99 us", "server/load use",
        "to nginx", "reached"]


def table_rows(cell, results):
    """The lines of a cell, one for each server; those of coir with the ratio."""
    what, unit, scale = ("bytes", " MB", 1e6) if cell.file_bytes else ("requests", "", 1)
    rows = []
    for name, result in results.items():
        ratio = contest.ratio(result, results.get("nginx"), what)
        is_judged = name in contest.OURS and ratio is not None
        per_second = result.per_cpu_second(what)
        rows.append([
            cell.name(), name, f"{measuring.median(per_second) / scale:,.0f}{unit}",
            measuring.number(measuring.spread_percent(per_second), 0),
            f"{result.per_second(what) / scale:,.0f}{unit}", result.latencies(), result.uses(),
            measuring.number(ratio, 2) if is_judged else "",
            ("yes" if ratio >= TARGET else "no") if is_judged else "",
        ])
    return rows


def parse():
    parser = contest.parser("tls", __doc__, SERVERS)
    parser.add_argument("--idle", type=int, default=IDLE_CONNECTIONS, metavar="N",
                        help="idle connections of the second table; 0: no such table")
    return parser.parse_args()


def run(arguments, material):
    """Prints both tables."""
    def make(name, cell, how):
        return Contestant(name, cell, how, material)

    how = contest.manner(arguments, SERVERS)
    contest.print_head("tls", "TLS 1.3, X25519, AES-128-GCM, loopback TCP", how)
    print(f"      target: {TARGET} to nginx", flush=True)
    measuring.warn_of_other_work("tls")
    rows = []
    for cell, results in contest.run_cells("tls", make, contest.chosen_cells(CELLS, arguments),
                                           how):
        rows += table_rows(cell, results)
    measuring.print_table(HEAD, rows)
    if arguments.idle:
        idle = Cell("idle", connections=arguments.idle, file_bytes=FILE_BYTES)
        contest.print_idle_table(make, idle, how)
    print("tls: ok")


def main():
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="coir-tls-") as folder:
        make_material(pathlib.Path(folder))
        run(arguments, pathlib.Path(folder))


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"tls: {error}")
