"""MariaDB, a thread for each connection: queries, transactions, locks, KILL, load, restart."""

import os
import pwd
import re
import shutil
import signal
import time

import harness
from harness import check
from mysql_client import Connection, ServerError

MANY = 1000
TABLES = 4
TABLE_ROWS = 2000
LOAD_THREADS = 64
LOAD_SECONDS = 2
USER = "coir"
QUERY_INTERRUPTED = 1317
CONNECTION_KILLED = 1927
LOCK_WAIT_TIMEOUT = 1205
DEADLOCK = 1213

DAEMON, CLIENT, ADMIN, SYSBENCH, INSTALL = harness.need(
    "mariadbd", "mariadb", "mariadb-admin", "sysbench", "mariadb-install-db")


def server_user():
    """Whom the server becomes: it refuses to be root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    for name in ("mysql", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            pass
    return harness.skip("there is no user that the server could become")


class Database:
    """A server on data in the temporary folder, which the first one makes."""

    def __init__(self, at):
        self.at = at
        self.data = at.folder / "data"
        self.socket = at.folder / "mariadb.sock"
        self.port = harness.free_port()
        user = server_user()
        if not self.data.exists():
            shutil.chown(at.folder, user)
            at.run([INSTALL, "--no-defaults", f"--user={user}", f"--datadir={self.data}",
                    "--auth-root-authentication-method=normal", "--skip-test-db"], is_native=True)
        self.server = at.start([
            DAEMON, "--no-defaults", f"--user={user}", f"--datadir={self.data}",
            f"--socket={self.socket}", "--bind-address=127.0.0.1", f"--port={self.port}",
            f"--pid-file={at.folder}/mariadb.pid", "--skip-name-resolve",
            f"--max-connections={MANY + 100}", "--back-log=1000",
            "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M",
            "--innodb-use-native-aio=1", "--thread-handling=one-thread-per-connection",
        ], limits=harness.most_descriptors())
        self.server.await_ready(self.socket, 40)

    def client(self, *statements):
        """What MariaDB's own client prints; it runs under the launcher too."""
        return self.at.run([CLIENT, "--no-defaults", f"--socket={self.socket}", "--user=root",
                            "--batch", "--skip-column-names", "--execute", "; ".join(statements)])

    def connect(self):
        return Connection(self.port, USER)

    def sysbench(self, test, *more):
        return self.at.run([
            SYSBENCH, test, f"--mysql-socket={self.socket}", f"--mysql-user={USER}",
            "--mysql-db=bench", f"--tables={TABLES}", f"--table-size={TABLE_ROWS}",
            f"--threads={LOAD_THREADS}", f"--time={LOAD_SECONDS}", *more], is_native=True)

    def ended_cleanly(self):
        """Checks what the server wrote, to its end."""
        log = self.server.said()
        check(log.rstrip().endswith("Shutdown complete"), "no clean shutdown in the log")
        for word in ("got signal", "Assertion", "crash recovery", "[FATAL]"):
            check(word not in log, f"the server's log has: {word}")


def answers_locks_kills_and_bears_load(at):
    """One server for all of it: starting one for each question would take most of the time."""
    database = Database(at)
    create_users(database)
    for question in (queries_and_transactions, lock_waits, kills, load, many_connections):
        begun = time.monotonic()
        question(database)
        print(f"  {question.__name__}: {time.monotonic() - begun:.1f} s", flush=True)
    at.run([ADMIN, "--no-defaults", f"--socket={database.socket}", "--user=root", "shutdown"])
    database.server.await_end(seconds=40)
    database.ended_cleanly()


def create_users(database):
    database.client(f"CREATE USER {USER}@'%'", f"CREATE USER {USER}@localhost",
                    f"GRANT ALL ON *.* TO {USER}@'%'", f"GRANT ALL ON *.* TO {USER}@localhost",
                    "CREATE DATABASE bench", "CREATE DATABASE own")


def queries_and_transactions(database):
    database.client("CREATE TABLE own.accounts (id INT PRIMARY KEY, amount INT) ENGINE=InnoDB",
                    "INSERT INTO own.accounts SELECT seq, 100 FROM own.seq_1_to_100")
    check(database.client("SELECT SUM(amount), COUNT(*) FROM own.accounts") == "10000\t100\n",
          "the sum is wrong")
    database.client("START TRANSACTION", "UPDATE own.accounts SET amount = 0", "ROLLBACK")
    database.client("START TRANSACTION", "UPDATE own.accounts SET amount = amount - 7 WHERE id = 1",
                    "UPDATE own.accounts SET amount = amount + 7 WHERE id = 2", "COMMIT")
    check(database.client("SELECT amount FROM own.accounts WHERE id < 4 ORDER BY id")
          == "93\n107\n100\n", "the transactions did something else")
    big = database.client("SELECT REPEAT('coir', 1000000)")
    check(big == "coir" * 1000000 + "\n", "a long answer is damaged")


def expect_error(number, connection, text=None):
    """The query, or the one sent before, must bring this error."""
    try:
        rows = connection.query(text) if text else connection.answer()
    except ServerError as error:
        check(error.number in (number if isinstance(number, tuple) else (number,)),
              f"the wrong error came: {error}")
        return
    raise harness.Failure(f"no error came, but {rows}")


def lock_waits(database):
    holder, other = database.connect(), database.connect()
    holder.query("START TRANSACTION")
    holder.query("UPDATE own.accounts SET amount = amount + 1 WHERE id = 10")
    other.query("SET innodb_lock_wait_timeout = 1")
    expect_error(LOCK_WAIT_TIMEOUT, other, "UPDATE own.accounts SET amount = 0 WHERE id = 10")
    other.query("SET innodb_lock_wait_timeout = 30")
    other.send_query("UPDATE own.accounts SET amount = amount + 1 WHERE id = 10")
    harness.wait_until(lambda: "Updating" in str(holder.query("SHOW PROCESSLIST")),
                       "the other update waits for the lock")
    holder.query("COMMIT")
    other.answer()
    check(holder.query("SELECT amount FROM own.accounts WHERE id = 10") == [["102"]],
          "an update is lost")
    deadlock(holder, other)
    holder.query("SELECT GET_LOCK('coir', 5)")
    other.send_query("SELECT GET_LOCK('coir', 20)")
    holder.query("SELECT RELEASE_LOCK('coir')")
    check(other.answer() == [["1"]], "a named lock was not handed over")
    check(holder.query("SELECT GET_LOCK('coir', 0.2)") == [["0"]], "a lock was given twice")
    holder.close()
    other.close()


def deadlock(one, other):
    """Each holds what the other waits for: one of them must be told, at once."""
    for connection, row in ((one, 20), (other, 21)):
        connection.query("START TRANSACTION")
        connection.query(f"UPDATE own.accounts SET amount = 0 WHERE id = {row}")
    one.send_query("UPDATE own.accounts SET amount = 0 WHERE id = 21")
    other.send_query("UPDATE own.accounts SET amount = 0 WHERE id = 20")
    told = []
    for connection in (one, other):
        try:
            connection.answer()
        except ServerError as error:
            told.append(error.number)
        connection.query("ROLLBACK")
    check(told == [DEADLOCK], f"the deadlock was answered by {told}")


def kills(database):
    victim, killer = database.connect(), database.connect()
    begun = time.monotonic()
    victim.send_query("SELECT SLEEP(30), 1 FROM own.accounts")
    wait_for_sleep(killer, victim.number)
    killer.query(f"KILL QUERY {victim.number}")
    expect_error(QUERY_INTERRUPTED, victim)
    check(victim.query("SELECT 5") == [["5"]], "the connection is not usable after KILL QUERY")
    victim.send_query("SELECT SLEEP(30), 2 FROM own.accounts")
    wait_for_sleep(killer, victim.number)
    killer.query(f"KILL {victim.number}")
    try:
        expect_error((QUERY_INTERRUPTED, CONNECTION_KILLED), victim)
        victim.query("SELECT 1")
        raise harness.Failure("the connection outlived KILL")
    except (ServerError, ConnectionError):
        pass
    check(time.monotonic() - begun < 20, "the sleeps were not ended by KILL")
    idle = database.connect()
    killer.query(f"KILL {idle.number}")
    harness.wait_until(lambda: [str(idle.number)] not in killer.query(
        "SELECT id FROM information_schema.processlist"), "an idle connection is gone after KILL")
    for connection in (victim, killer, idle):
        connection.close()


def wait_for_sleep(connection, number):
    harness.wait_until(
        lambda: connection.query("SELECT id FROM information_schema.processlist "
                                 f"WHERE id = {number} AND state = 'User sleep'"),
        "the query sleeps")


def load(database):
    database.sysbench("oltp_read_write", "prepare")
    for test in ("oltp_point_select", "oltp_read_write"):
        output = database.sysbench(test, "--db-ps-mode=auto", "run")
        queries = int(re.search(r"queries: +(\d+)", output)[1])
        errors = int(re.search(r"ignored errors: +(\d+)", output)[1])
        print(f"  {test}, {LOAD_THREADS} connections: {queries / LOAD_SECONDS:,.0f} queries/s, "
              f"p95 {re.search(r'95th percentile: +([0-9.]+)', output)[1]} ms, "
              f"{errors} deadlocks")
        check(queries >= 10 * LOAD_THREADS, "hardly any query was answered")
    rows = database.client(*(f"SELECT COUNT(*) FROM bench.sbtest{i + 1}" for i in range(TABLES)))
    check(rows == f"{TABLE_ROWS}\n" * TABLES, f"the tables' rows are {rows!r}")
    check("status" in database.client("CHECK TABLE bench.sbtest1 EXTENDED"), "no check was made")


def many_connections(database):
    connections = [database.connect() for _ in range(MANY)]
    for number, connection in enumerate(connections):
        connection.send_query(f"SELECT {number}, CONNECTION_ID()")
    for number, connection in enumerate(connections):
        check(connection.answer() == [[str(number), str(connection.number)]],
              "an answer is that of another connection")
    running = int(connections[0].query("SHOW STATUS LIKE 'Threads_connected'")[0][1])
    check(running == MANY, f"{running} connections are known to the server")
    database.at.report_threads(running, database.server.pid)
    for connection in connections:
        connection.close()


def starts_again(at):
    """On the data that the case before has left; twice, since the first end is interrupted."""
    again = Database(at)
    check(again.client("SELECT SUM(amount), COUNT(*) FROM own.accounts") == "10002\t100\n",
          "the data is not what it was")
    waiting = again.connect()
    waiting.send_query("SELECT SLEEP(60)")
    again.server.stop(signal.SIGTERM, seconds=40)
    again.ended_cleanly()
    waiting.close()
    last = Database(at)
    check(last.client(f"SELECT COUNT(*) FROM bench.sbtest{TABLES}") == f"{TABLE_ROWS}\n",
          "a table is not what it was")
    last.server.stop(signal.SIGTERM, seconds=40)
    last.ended_cleanly()


harness.main(__doc__, {
    "the database answers, waits for locks, kills, bears load and is shut down by a command":
        answers_locks_kills_and_bears_load,
    "it starts again on the same data, and SIGTERM ends it cleanly": starts_again,
})
