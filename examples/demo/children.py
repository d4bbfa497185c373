"""Processes under watch: their lines with deadlines, their threads, their end."""

import os
import queue
import signal
import subprocess
import threading
import time

STOP_PATIENCE_S = 10
WATCH_INTERVAL_S = 0.005


class Failure(Exception):
    """Something is not as it must be; the text says what."""


class Child:
    """A process whose stdout is read line by line. Leaving its `with` block ends it."""

    def __init__(self, command, backend=None):
        self.name = os.path.basename(command[0])
        environment = dict(os.environ)
        if backend:
            environment["COIR_BACKEND"] = backend
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._most_threads = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def _read(self):
        with self.process.stdout as stdout:
            for line in stdout:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _watch(self):
        while self.process.returncode is None:
            self._most_threads = max(self._most_threads, self.threads())
            time.sleep(WATCH_INTERVAL_S)

    @property
    def pid(self):
        """Its process id."""
        return self.process.pid

    def line(self, seconds):
        """Its next line; a Failure when none comes in time, or it has ended."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Failure(f"{self.name} says nothing for {seconds} s") from None
        if line is None:
            raise Failure(f"{self.name} ended, with status {self.wait(STOP_PATIENCE_S)}")
        return line

    def lines_to_end(self, seconds):
        """What it still prints, until it ends."""
        lines = []
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise Failure(f"{self.name} does not end within {seconds} s") from None
            if line is None:
                return lines
            lines.append(line)

    def write_line(self):
        """Gives it an empty line on stdin."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def threads(self):
        """How many threads the kernel says it has now; 0 when it has gone."""
        try:
            return len(os.listdir(f"/proc/{self.pid}/task"))
        except OSError:
            return 0

    def most_threads(self):
        """The most threads that it was seen with."""
        return self._most_threads

    def wait(self, seconds):
        """Its exit status, once it has ended; a Failure when that takes too long."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} does not end within {seconds} s") from None

    def stop(self, number=signal.SIGTERM):
        """Sends it a signal, and returns its exit status."""
        self.process.send_signal(number)
        return self.wait(STOP_PATIENCE_S)


def require(is_true, otherwise):
    """A Failure that says `otherwise`, unless `is_true`."""
    if not is_true:
        raise Failure(otherwise)
