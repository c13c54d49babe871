#!/usr/bin/env python3
"""Stands between a client and a broker and keeps the first small frame of each API, version and direction.

    kafka.sh 19092 /tmp/kafka 29092 &                       # advertises the port of this proxy
    capture.py 29092 19092 --client kcat-2.0.2 --to ../../wire/tests/fixtures

With --longest it keeps the longest small frame instead, which overwrites what is there. A file holds one frame with the
four bytes of its length: <client>-<api>-v<version>-<request|response>.bin.
With --only the broker's ApiVersions answers name these API keys alone, which shows how a client gets on with a broker that
serves no more than that. Runs until it is killed; listens on loopback only.
"""

import argparse
import asyncio
import pathlib
import struct

NAMES = {
    0: "Produce",
    1: "Fetch",
    2: "ListOffsets",
    3: "Metadata",
    8: "OffsetCommit",
    9: "OffsetFetch",
    10: "FindCoordinator",
    11: "JoinGroup",
    12: "Heartbeat",
    13: "LeaveGroup",
    14: "SyncGroup",
    15: "DescribeGroups",
    16: "ListGroups",
    18: "ApiVersions",
    19: "CreateTopics",
    22: "InitProducerId",
    42: "DeleteGroups",
    47: "OffsetDelete",
}
FRAME_BYTES_MAX = 2048
API_VERSIONS = 18


async def frames(reader):
    while True:
        try:
            (length,) = struct.unpack(">i", await reader.readexactly(4))
            yield await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return


def only(response, version, keys):
    """The ApiVersions response without the entries whose key is not in `keys`; the tagged features go too."""
    correlation, body = response[:4], response[4:]
    error, rest = body[:2], body[2:]
    if version >= 3:
        count, shift, position = 0, 0, 0
        while True:
            byte = rest[position]
            count |= (byte & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if byte < 0x80:
                break
        size, count = 7, count - 1
    else:
        (count,), position, size = struct.unpack(">i", rest[:4]), 4, 6
    entries = [rest[position + size * i : position + size * (i + 1)] for i in range(count)]
    entries = [entry for entry in entries if struct.unpack(">h", entry[:2])[0] in keys]
    after = rest[position + size * count :]
    if version >= 3:
        assert len(entries) < 127, "one byte holds the count"
        return correlation + error + bytes([len(entries) + 1]) + b"".join(entries) + after[:4] + b"\0"
    return correlation + error + struct.pack(">i", len(entries)) + b"".join(entries) + after


class Proxy:
    def __init__(self, arguments):
        self.arguments = arguments

    def keep(self, key, version, direction, frame):
        name = NAMES.get(key)
        if self.arguments.to is None or name is None or len(frame) > FRAME_BYTES_MAX:
            return
        path = self.arguments.to / f"{self.arguments.client}-{name}-v{version}-{direction}.bin"
        if not path.exists() or (self.arguments.longest and path.stat().st_size < 4 + len(frame)):
            path.write_bytes(struct.pack(">i", len(frame)) + frame)

    async def requests(self, reader, writer, asked):
        async for frame in frames(reader):
            key, version, correlation = struct.unpack(">hhi", frame[:8])
            asked[correlation] = (key, version)
            self.keep(key, version, "request", frame)
            writer.write(struct.pack(">i", len(frame)) + frame)
            await writer.drain()
        writer.close()

    async def responses(self, reader, writer, asked):
        async for frame in frames(reader):
            (correlation,) = struct.unpack(">i", frame[:4])
            key, version = asked.pop(correlation)
            self.keep(key, version, "response", frame)
            if key == API_VERSIONS and self.arguments.only:
                # An unsupported version is answered as version 0.
                refused = struct.unpack(">h", frame[4:6])[0] == 35
                frame = only(frame, 0 if refused else version, self.arguments.only)
            writer.write(struct.pack(">i", len(frame)) + frame)
            await writer.drain()
        writer.close()

    async def connection(self, reader, writer):
        asked = {}
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.arguments.upstream)
        await asyncio.gather(
            self.requests(reader, to_writer, asked), self.responses(to_reader, writer, asked), return_exceptions=True
        )


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("upstream", type=int)
    parser.add_argument("--client", default="client", help="how the files begin")
    parser.add_argument("--to", type=pathlib.Path, help="the folder of the files")
    parser.add_argument("--longest", action="store_true", help="keep the longest small frame instead of the first")
    parser.add_argument("--only", type=lambda text: {int(key) for key in text.split(",")}, help="API keys to let through")
    server = await asyncio.start_server(Proxy(parser.parse_args()).connection, "127.0.0.1", parser.parse_args().port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
