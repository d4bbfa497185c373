"""A hundred threads that wait: for a lock, for data, for time. Says when all of them do."""

import socket
import threading
import time

LONG_SECONDS = 600
never = threading.Event()
waiting = threading.Barrier(101)
pairs = [socket.socketpair() for _ in range(25)]


def wait(how, *arguments):
    waiting.wait()
    how(*arguments)


WAYS = ([(never.wait,)] * 25 + [(never.wait, LONG_SECONDS)] * 25 + [(time.sleep, LONG_SECONDS)] * 25
        + [(pair[0].recv, 1) for pair in pairs])
for way in WAYS:
    threading.Thread(target=wait, args=way, daemon=True).start()
waiting.wait()
print("waiting", flush=True)
time.sleep(LONG_SECONDS)
