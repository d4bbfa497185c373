"""How long does a sleep of 10 ms take while another thread computes? Prints the mean in ms."""

import sys
import threading
import time

COUNT = int(sys.argv[1])
is_done = False


def compute():
    number = 1
    while not is_done:
        number = number * 1103515245 + 12345 & 0x7FFFFFFF


computing = threading.Thread(target=compute)
computing.start()
begun = time.monotonic()
for _ in range(COUNT):
    time.sleep(0.01)
print((time.monotonic() - begun) * 1000 / COUNT)
is_done = True
computing.join()
