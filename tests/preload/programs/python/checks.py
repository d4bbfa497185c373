"""What the programs of this folder share: checks with a sentence each, and a stop at the peak."""
import sys
import threading
import time
import traceback


def say(text):
    print(text, flush=True)


def check(fact, *what):
    if not fact:
        raise AssertionError(" ".join(str(word) for word in what))


def peak(threads=None, process=None):
    """Says how many threads there are just now and stays so until the other side has looked."""
    where = f" in process {process}" if process else ""
    say(f"threads {threads or threading.active_count()}{where}")
    check(sys.stdin.readline() == "go\n", "nobody answered")


class Took:
    """The time that a block takes: with Took(0.2): what has to wait so long, and not ten times.
    Where an exception is given, the block has to end with it."""

    def __init__(self, seconds, raises=None):
        self.seconds = seconds
        self.raises = raises

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, kind, value, trace):
        took = time.monotonic() - self.began
        if kind and not (self.raises and issubclass(kind, self.raises)):
            return False
        check(bool(kind) == bool(self.raises), "there was no", self.raises, "after", took)
        check(took >= self.seconds - 0.001, f"early: {took:.4f} s and not {self.seconds} s")
        check(took < 10 * self.seconds, f"late: {took:.4f} s and not {self.seconds} s")
        return True


def together(count, work, timeout=60.0):
    """Runs work(0) to work(count - 1) in a thread each and returns what they returned."""
    results = [None] * count
    errors = []

    def one(index):
        try:
            results[index] = work(index)
        except BaseException:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(count)]
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    check(not errors, len(errors), "threads failed; the first:", *errors[:1])
    check(not any(thread.is_alive() for thread in threads), "threads did not come to their end")
    return results


def run(*tests):
    """Runs functions whose names are sentences, and says that all is done."""
    for test in tests:
        began = time.monotonic()
        test()
        say(f"ok: {test.__name__.replace('_', ' ')} ({time.monotonic() - began:.2f} s)")
    say("done")
