"""Database servers for tests: on a socket in a temporary folder, and ended with the test."""

import atexit
import contextlib
import glob
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import mongo_server

PATIENCE_S = 40
POLL_S = 0.02
SKIPPED = 77  # what ctest takes as "skipped"


def need(*programs):
    """The paths of programs of Debian's; without one of them the whole test is skipped."""
    return [find(program) for program in programs]


def find(program):
    """The path of a program, looked for beyond PATH where Debian puts servers."""
    beyond = os.pathsep.join(
        ["/usr/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)])
    path = shutil.which(program) or shutil.which(program, path=beyond)
    if not path:
        print(f"skipped: {program} is not installed")
        sys.exit(SKIPPED)
    return path


def server_user(*names):
    """Whom a server that refuses to be root becomes: the first of these users that there is."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in (*names, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    print(f"skipped: there is none of the users {names}")
    sys.exit(SKIPPED)


class DatabaseServer:
    """A server process with a folder of its own. Leaving its `with` block ends it, and the end of
    the test does at the latest."""

    end_signal = signal.SIGTERM
    missing = "/nowhere/at/all.sock"  # how an example is told of a server that is not there

    def __init__(self, user=None):
        self.user = user
        self.folder = Path(tempfile.mkdtemp(prefix="coir-"))
        self.process = None
        atexit.register(self.__exit__)
        if user:
            shutil.chown(self.folder, user.pw_name)

    def run(self, *command):
        """Runs something to its end, as the server's user."""
        subprocess.run([str(word) for word in command], cwd=self.folder, check=True,
                       timeout=PATIENCE_S, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       **self._identity())

    def start(self, *command, env=None):
        """Starts the server; what it says goes to the file `log`."""
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, env=env, **self._identity())

    def _identity(self):
        if not self.user or os.geteuid() != 0:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def await_true(self, condition, what):
        """Until condition() holds; an AssertionError with the server's log when it never does."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{what} never came true; the server says:\n{self.log()}")
            time.sleep(POLL_S)

    def await_success(self, *command):
        """Until the command, which asks the server for something, succeeds."""
        words = [str(word) for word in command]
        self.await_true(
            lambda: subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, timeout=PATIENCE_S,
                                   check=False).returncode == 0, " ".join(words))

    def log(self):
        """What the server has said."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._end()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self):
        if not self.process or self.process.poll() is not None:
            return
        self.process.send_signal(self.end_signal)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Redis(DatabaseServer):
    """redis-server without files, with a password if one is given."""

    def __init__(self, password=""):
        program, client = need("redis-server", "redis-cli")
        super().__init__()
        self.address = str(self.folder / "redis.sock")
        self.client = [client, "-s", self.address]
        self.start(program, "--port", 0, "--unixsocket", self.address, "--dir", self.folder,
                   "--save", "", "--appendonly", "no", "--daemonize", "no",
                   *(["--requirepass", password] if password else []))
        self.await_success(*self.client, "ping")

    def ask(self, *words, password=""):
        """What redis-cli answers to a command."""
        environment = {**os.environ, **({"REDISCLI_AUTH": password} if password else {})}
        return subprocess.run([*self.client, *map(str, words)], text=True, capture_output=True,
                              timeout=PATIENCE_S, check=True, env=environment).stdout

    def waiting(self):
        """How many clients wait in commands."""
        return int(re.search(r"blocked_clients:(\d+)", self.ask("info", "clients"))[1])

    def cut(self):
        """Ends all connections but its own."""
        self.ask("client", "kill", "type", "normal")


class Postgres(DatabaseServer):
    """A cluster on a socket, without files kept safe: nothing is to outlive it."""

    end_signal = signal.SIGINT  # "fast": does not wait for clients
    missing = "host=/nowhere/at/all"

    def __init__(self):
        initdb, postgres, ready, client = need("initdb", "postgres", "pg_isready", "psql")
        super().__init__(server_user("postgres"))
        data = self.folder / "data"
        self.run(initdb, "--pgdata", data, "--username=coir", "--auth=trust", "--no-sync",
                 "--locale=C", "--encoding=UTF8", "--no-instructions")
        self.start(postgres, "-D", data, "-k", self.folder, "-c", "listen_addresses=",
                   "-c", "max_connections=150", "-c", "fsync=off", "-c", "autovacuum=off",
                   "-c", "shared_buffers=16MB", "-c", "dynamic_shared_memory_type=mmap")
        self.await_success(ready, "-q", "-h", self.folder)
        self.address = f"host={self.folder} user=coir dbname=postgres"
        self.client = [client, self.address, "--no-psqlrc", "--tuples-only", "--command"]

    def ask(self, query):
        """What psql prints for a query."""
        return subprocess.run([*self.client, query], text=True, capture_output=True,
                              timeout=PATIENCE_S, check=True).stdout

    def waiting(self):
        """How many queries sleep."""
        return int(self.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))

    def cut(self):
        """Ends the connections whose queries sleep."""
        self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE wait_event = 'PgSleep'")


class Mariadb(DatabaseServer):
    """A server on a socket, whose user root has no password."""

    def __init__(self):
        install, daemon, client = need("mariadb-install-db", "mariadbd", "mariadb")
        super().__init__(server_user("mysql"))
        data = self.folder / "data"
        plain = ["--skip-innodb", "--default-storage-engine=Aria"]  # takes half the time to make
        self.run(install, "--no-defaults", f"--datadir={data}", "--skip-test-db", *plain,
                 "--auth-root-authentication-method=normal")
        self.address = str(self.folder / "mariadb.sock")
        self.client = [client, "--no-defaults", f"--socket={self.address}", "--user=root",
                       "--batch", "--force", "--skip-column-names", "--execute"]
        self.start(daemon, "--no-defaults", f"--datadir={data}", f"--socket={self.address}",
                   "--skip-networking", "--max-connections=150", *plain)
        self.await_success(*self.client, "SELECT 1")

    def ask(self, query, check=True):
        """What MariaDB's client prints for a query."""
        return subprocess.run([*self.client, query], text=True, capture_output=True,
                              timeout=PATIENCE_S, check=check).stdout

    def _sleepers(self, what):
        return self.ask(f"SELECT {what} FROM information_schema.processlist"
                        " WHERE STATE = 'User sleep'")

    def waiting(self):
        """How many queries sleep."""
        return int(self._sleepers("COUNT(*)"))

    def cut(self):
        """Ends the connections whose queries sleep."""
        kills = "; ".join(f"KILL CONNECTION {one}" for one in self._sleepers("ID").split())
        self.ask(kills, check=False)  # some may have gone by themselves


class Mongo(DatabaseServer):
    """The small server of mongo_server.py, for Debian has none of MongoDB's. It is asked by its
    own protocol, as the example does it."""

    missing = "mongodb://%2Fnowhere%2Fat%2Fall.sock"

    def __init__(self):
        super().__init__()
        path = self.folder / "mongo.sock"
        self.start(sys.executable, "-B", Path(__file__).with_name("mongo_server.py"), path)
        self.await_true(lambda: "listening" in self.log(), "the server listens")
        self.address = "mongodb://" + urllib.parse.quote(str(path), safe="")
        self.path = str(path)

    def waiting(self):
        """How many queries sleep."""
        return self._admin({"waiting": 1})["count"]

    def cut(self):
        """Ends the connections whose queries sleep."""
        self._admin({"cut": 1})

    def _admin(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(self.path)
            return mongo_server.ask(connection, command)
