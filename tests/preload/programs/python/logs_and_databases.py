"""Files that threads share: logs that rotate, and sqlite. usage: logs_and_databases.py FOLDER"""
import collections
import logging
import logging.handlers
import pathlib
import queue
import re
import sqlite3
import sys
import threading

from checks import check, peak, run, together

FOLDER = pathlib.Path(sys.argv[1])


def records_in(name):
    """How often each record stands in the files of a log."""
    seen = collections.Counter()
    for path in FOLDER.glob(f"{name}*"):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.fullmatch(r"INFO (thread \d+) record (\d+) x{40}", line)
            check(match, "a torn line:", line)
            seen[match.groups()] += 1
    return seen


def write_records(logger, threads, records):
    def work(me):
        threading.current_thread().name = f"thread {me}"
        for number in range(records):
            logger.info("record %d %s", number, "x" * 40)

    together(threads, work)


def handler_for(name):
    handler = logging.handlers.RotatingFileHandler(FOLDER / name, maxBytes=50_000, backupCount=100)
    handler.setFormatter(logging.Formatter("%(levelname)s %(threadName)s %(message)s"))
    return handler


def fifty_threads_lose_no_record_of_a_rotating_log():
    logger, handler = logging.getLogger("direct"), handler_for("direct.log")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    write_records(logger, 50, 100)
    logger.removeHandler(handler)
    handler.close()
    seen = records_in("direct.log")
    check(len(seen) == 5000 and set(seen.values()) == {1}, len(seen), "records")
    check(len(list(FOLDER.glob("direct.log*"))) > 3, "the log was not rotated")


def a_queue_listener_writes_what_fifty_threads_log():
    records, handler = queue.Queue(), handler_for("queued.log")
    logger = logging.getLogger("queued")
    logger.setLevel(logging.INFO)
    listener = logging.handlers.QueueListener(records, handler)
    queued = logging.handlers.QueueHandler(records)
    queued.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(queued)
    listener.start()
    write_records(logger, 50, 100)
    listener.stop()
    handler.close()
    seen = records_in("queued.log")
    check(len(seen) == 5000 and set(seen.values()) == {1}, len(seen), "records")


def threads_with_a_connection_each_write_one_database():
    for mode in ("delete", "wal"):
        path = FOLDER / f"{mode}.db"
        with sqlite3.connect(path, timeout=60) as database:
            database.execute(f"pragma journal_mode={mode}")
            database.execute("create table t (thread integer, number integer)")
            database.execute("create table counter (value integer)")
            database.execute("insert into counter values (0)")
        database.close()

        def write(me, path=path):
            connection = sqlite3.connect(path, timeout=60, isolation_level=None)
            try:
                for number in range(10):
                    connection.execute("begin immediate")
                    connection.execute("insert into t values (?, ?)", (me, number))
                    connection.execute("update counter set value = value + 1")
                    connection.execute("commit")
                    connection.execute("select sum(number) from t").fetchone()
            finally:
                connection.close()

        together(8, write)
        database = sqlite3.connect(path)
        check(database.execute("select count(distinct thread * 100 + number) from t").fetchone() ==
              database.execute("select value from counter").fetchone() == (80,), "writes are lost")
        check(database.execute("pragma integrity_check").fetchone() == ("ok",), "broken")
        database.close()


def threads_share_a_connection_under_a_lock():
    connection, lock = sqlite3.connect(":memory:", check_same_thread=False), threading.Lock()
    connection.execute("create table t (number integer)")

    def write(me):
        for number in range(50):
            with lock:
                connection.execute("insert into t values (?)", (me * 50 + number,))
        if meeting.wait(60) == 0:
            peak()
        meeting.wait(60)

    meeting = threading.Barrier(20)
    together(20, write)
    check(connection.execute("select count(*), sum(number) from t").fetchone() ==
          (1000, 999 * 500), "rows are lost")
    connection.close()


run(fifty_threads_lose_no_record_of_a_rotating_log, a_queue_listener_writes_what_fifty_threads_log,
    threads_with_a_connection_each_write_one_database, threads_share_a_connection_under_a_lock)
