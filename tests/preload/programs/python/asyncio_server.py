"""An asyncio server that leaves its work to threads of an executor."""
import asyncio
import concurrent.futures
import hashlib
import signal
import threading
import time

from checks import peak, say

THREADS = 20


def slow_digest(line):
    time.sleep(0.005)
    return hashlib.sha256(line).hexdigest().encode() + b"\n"


async def main():
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    executor = concurrent.futures.ThreadPoolExecutor(THREADS)

    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(await loop.run_in_executor(executor, slow_digest, line.strip()))
            await writer.drain()
        writer.close()

    meeting = threading.Barrier(THREADS + 1)
    visitors = [loop.run_in_executor(executor, meeting.wait, 60) for _ in range(THREADS)]
    while meeting.n_waiting < THREADS:
        await asyncio.sleep(0.01)
    peak()
    meeting.wait(60)
    await asyncio.wait_for(asyncio.gather(*visitors), 60)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
    async with server:
        say(f"port {server.sockets[0].getsockname()[1]}")
        await stop.wait()
    executor.shutdown()
    say(f"alive {threading.active_count() - 1}")


asyncio.run(main())
