"""Waits for ever in main, beside threads that do so too, until Ctrl-C ends it."""
import sys
import threading
import time

from checks import say


def main():
    ended = []
    threads = [threading.Thread(target=lambda: (stop.wait(), ended.append(1))) for _ in range(20)]
    stop = threading.Event()
    for thread in threads:
        thread.start()
    waits = {"sleep": lambda: time.sleep(1000), "join": threads[0].join, "event": stop.wait,
             "read": sys.stdin.read}
    try:
        say("waiting")
        waits[sys.argv[1]]()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        say(f"cleaned up {len(ended)}")


main()
