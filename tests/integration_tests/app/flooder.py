"""Twelve connections that send one request over and over, in a process of their own.

    python -m tests.integration_tests.app.flooder HOST PORT CONNECTIONS < request

Standard input is the whole request as it goes over the wire. Each line of standard output is one answer: its
status, and the seconds that it took. It ends when its standard input is closed by a kill.
"""

from __future__ import annotations

import asyncio
import sys
import time


async def main() -> None:
    """Flood until killed."""
    host, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    request = sys.stdin.buffer.read()
    await asyncio.gather(*(flood(host, port, request) for _ in range(connections)))


async def flood(host: str, port: int, request: bytes) -> None:
    """Send again as soon as the answer is there; connect again where the server hung up."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port, limit=2**24)
            while True:
                begun = time.monotonic()
                writer.write(request)
                status = await read_answer(reader)
                print(status, round(time.monotonic() - begun, 4), flush=True)  # noqa: T201  # its report
        except (OSError, EOFError):
            continue


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end and return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if b"content-length" in fields:
        await reader.readexactly(int(fields[b"content-length"]))
    elif fields.get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    if fields.get(b"connection") == b"close":
        raise EOFError
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    asyncio.run(main())
