"""A server that speaks as much of MongoDB's wire protocol as a client needs to query slowly.

It answers the handshake in both forms (OP_QUERY and OP_MSG), ping, update, find with a filter
{"$where": "sleep(MS) || true"}, currentOp with {"command.comment": ...}, and killOp. An operation
whose client goes away ends, as it does in MongoDB. Two commands of its own are for tests.

    usage: mongo_server.py SOCKET
Prints "listening" once it does.
"""

import asyncio
import itertools
import re
import struct
import sys
import time

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
HEADER = struct.Struct("<iiii")
INTERRUPTED, NO_SUCH_COMMAND = 11601, 59
BACKLOG = 256


class Int64(int):
    """An integer that is sent with 64 bits."""


def encode(document):
    """A dict as BSON."""
    body = b"".join(element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def element(name, value):
    """One field of a document."""
    key = name.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + key + bytes([value])
    if isinstance(value, float):
        return b"\x01" + key + struct.pack("<d", value)
    if isinstance(value, Int64):
        return b"\x12" + key + struct.pack("<q", value)
    if isinstance(value, int):
        return b"\x10" + key + struct.pack("<i", value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + key + struct.pack("<i", len(text)) + text
    if isinstance(value, dict):
        return b"\x03" + key + encode(value)
    if isinstance(value, list):
        return b"\x04" + key + encode({str(i): each for i, each in enumerate(value)})
    raise TypeError(f"no BSON for {value!r}")


def decode(data, at=0):
    """The document at an offset, as a dict, and where it ends."""
    end = at + struct.unpack_from("<i", data, at)[0]
    at += 4
    document = {}
    while data[at]:
        kind = data[at]
        stop = data.index(0, at + 1)
        name = data[at + 1:stop].decode()
        document[name], at = decode_value(kind, data, stop + 1)
    return document, end


def decode_value(kind, data, at):
    """A value of a type, and where it ends."""
    fixed = {0x01: "<d", 0x08: "<?", 0x09: "<q", 0x10: "<i", 0x11: "<q", 0x12: "<q", 0x07: "<12s"}
    if kind in fixed:
        return struct.unpack_from(fixed[kind], data, at)[0], at + struct.calcsize(fixed[kind])
    if kind == 0x0A:
        return None, at
    if kind in (0x03, 0x04):
        return decode(data, at)
    size = struct.unpack_from("<i", data, at)[0]
    if kind in (0x02, 0x0D):
        return data[at + 4:at + 3 + size].decode(), at + 4 + size
    if kind == 0x05:
        return data[at + 5:at + 5 + size], at + 5 + size
    raise ValueError(f"BSON of type {kind}")


class CommandError(Exception):
    """Becomes an answer with ok 0."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class MongoServer:
    """What the connections share."""

    def __init__(self):
        self.numbers = itertools.count(1)
        self.operations = {}  # number: (command, future that killOp sets)

    async def serve(self, reader, writer):
        """One connection, a command at a time; ends with it. While a command runs the header of
        the next one is awaited, which also tells that the client has gone."""
        tasks = [asyncio.ensure_future(reader.readexactly(HEADER.size))]
        try:
            while True:
                size, request, _, kind = HEADER.unpack(await tasks[0])
                command = self.command_of(kind, await reader.readexactly(size - HEADER.size))
                tasks = [asyncio.ensure_future(reader.readexactly(HEADER.size)),
                         asyncio.ensure_future(self.answer(command))]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not tasks[1].done():
                    return
                writer.write(self.message(kind, request, tasks[1].result()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()

    @staticmethod
    def command_of(kind, body):
        """The command in a message."""
        if kind == OP_QUERY:
            return decode(body, body.index(0, 4) + 9)[0]
        if kind != OP_MSG:
            raise ConnectionError(f"a message of kind {kind}")
        command, at = decode(body, 5)
        while at < len(body) and body[at] == 1:  # sequences of documents
            end = at + 1 + struct.unpack_from("<i", body, at + 1)[0]
            stop = body.index(0, at + 5)
            name, at = body[at + 5:stop].decode(), stop + 1
            command[name] = []
            while at < end:
                document, at = decode(body, at)
                command[name].append(document)
        return command

    def message(self, kind, request, document):
        """An answer in the form of what was asked."""
        body = encode(document)
        if kind == OP_QUERY:
            body = struct.pack("<iqii", 0, 0, 0, 1) + body
            kind = OP_REPLY
        else:
            body = struct.pack("<IB", 0, 0) + body
        return HEADER.pack(HEADER.size + len(body), next(self.numbers), request, kind) + body

    async def answer(self, command):
        """What to answer to a command; ConnectionAbortedError when the connection is to end."""
        name = next(iter(command))
        method = getattr(self, f"do_{name.lower()}", None)
        try:
            if not method:
                raise CommandError(NO_SUCH_COMMAND, f"no such command: '{name}'")
            return {**await method(command), "ok": 1.0}
        except CommandError as error:
            return {"ok": 0.0, "errmsg": str(error), "code": error.code, "codeName": "Error"}

    async def do_hello(self, _):
        return {"helloOk": True, "ismaster": True, "isWritablePrimary": True,
                "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000,
                "maxWriteBatchSize": 100_000, "minWireVersion": 0, "maxWireVersion": 13,
                "logicalSessionTimeoutMinutes": 30, "readOnly": False,
                "connectionId": next(self.numbers)}

    do_ismaster = do_hello

    async def do_ping(self, _):
        return {}

    do_endsessions = do_ping

    async def do_update(self, command):
        return {"n": len(command["updates"]), "nModified": 0}

    async def do_find(self, command):
        if not (sleep := re.fullmatch(r"sleep\((\d+)\) \|\| true", command["filter"]["$where"])):
            raise CommandError(2, "not a filter that this server knows")
        number = next(self.numbers)
        killed = asyncio.get_running_loop().create_future()
        self.operations[number] = (command, killed)
        try:
            await asyncio.wait_for(asyncio.shield(killed), int(sleep[1]) / 1000)
        except asyncio.TimeoutError:
            return {"cursor": {"firstBatch": [{"_id": 1}], "id": Int64(0),
                               "ns": f"{command['$db']}.{command['find']}"}}
        finally:
            del self.operations[number]
        raise CommandError(INTERRUPTED, "operation was interrupted")

    async def do_currentop(self, command):
        comment = command["command.comment"]
        return {"inprog": [{"opid": number, "command": {"comment": comment}}
                           for number, (found, _) in self.operations.items()
                           if found.get("comment") == comment]}

    async def do_killop(self, command):
        if (found := self.operations.get(command["op"])) and not found[1].done():
            found[1].set_result(time.monotonic())
        return {"info": "attempting to kill op"}

    async def do_waiting(self, _):
        """Not MongoDB's: how many operations there are."""
        return {"count": len(self.operations)}

    async def do_cut(self, _):
        """Not MongoDB's: ends the connections whose operations are under way."""
        for _, killed in self.operations.values():
            if not killed.done():
                killed.set_exception(ConnectionAbortedError())
        return {}


def ask(connection, command):
    """Sends a command over a socket, as a client would, and returns the answer."""
    body = struct.pack("<IB", 0, 0) + encode({**command, "$db": "admin"})
    connection.sendall(HEADER.pack(HEADER.size + len(body), 1, 0, OP_MSG) + body)
    with connection.makefile("rb") as answers:
        size = HEADER.unpack(answers.read(HEADER.size))[0]
        return decode(answers.read(size - HEADER.size), 5)[0]


async def main(path):
    """Serves until the process is ended."""
    listening = await asyncio.start_unix_server(MongoServer().serve, path, backlog=BACKLOG)
    print("listening", flush=True)
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
