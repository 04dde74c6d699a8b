"""Model upstream that costs next to nothing: chat completions, whole and in parts, and a count of them.

`python -m tests.benchmarks.gateways.stub {delay in ms} {pace in ms}` prints its port. An answer has 50 words;
its usage has `PROMPT_TOKENS` and as many tokens of an answer as `max_tokens` or `max_completion_tokens`
names, so that what passes a gateway is known. `GET /served` tells what passed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, override

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT_TOKENS = 80
PARTS = 50
_USUAL_TOKENS = 50
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')
_LIMIT = re.compile(rb'"max_(?:completion_)?tokens": ?(\d+)')
_END_OF_HEAD = b"\r\n\r\n"
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"
_ID = {"id": "chatcmpl-stub", "created": 1_700_000_000, "model": "gpt-4o"}
_WORDS = [f"word{number} " for number in range(PARTS)]


@dataclass(frozen=True, slots=True)
class Manners:
    """How long an answer takes.

    Attributes:
        delay_seconds: Before it begins.
        pace_seconds: Between two parts of a stream.
    """

    delay_seconds: float
    pace_seconds: float


@dataclass(slots=True)
class Served:
    """What was answered."""

    requests: int = 0
    tokens: int = 0


class Upstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, manners: Manners, served: Served) -> None:
        self._manners = manners
        self._served = served
        self._received = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0:
            return
        found = _LENGTH.search(self._received, 0, end)
        begins = end + len(_END_OF_HEAD)
        ends = begins + (int(found[1]) if found else 0)
        if len(self._received) < ends:
            return
        is_question = self._received.startswith(b"GET /served")
        body, self._received = self._received[begins:ends], self._received[ends:]
        if is_question:
            self._write(_whole({"requests": self._served.requests, "tokens": self._served.tokens}))
            return
        limit = _LIMIT.search(body)
        tokens = int(limit[1]) if limit else _USUAL_TOKENS
        self._served.requests += 1
        self._served.tokens += PROMPT_TOKENS + tokens
        pieces = _streamed(tokens) if _STREAM.search(body) else iter([_answered(tokens)])
        loop = asyncio.get_running_loop()
        if self._manners.delay_seconds:
            loop.call_later(self._manners.delay_seconds, self._send, loop, pieces)
        else:
            self._send(loop, pieces)

    def _send(self, loop: asyncio.AbstractEventLoop, pieces: Iterator[bytes]) -> None:
        piece = next(pieces, None)
        if piece is not None and self._transport is not None:
            self._write(piece)
            loop.call_later(self._manners.pace_seconds, self._send, loop, pieces)

    def _write(self, content: bytes) -> None:
        if self._transport is not None:
            self._transport.write(content)


def _usage(tokens: int) -> dict[str, int]:
    total = PROMPT_TOKENS + tokens
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": total}


def _whole(answer: object) -> bytes:
    content = json.dumps(answer)
    return (
        _HEAD.format(kind="application/json", length=f"Content-Length: {len(content)}") + content
    ).encode()


def _answered(tokens: int) -> bytes:
    message = {"role": "assistant", "content": "".join(_WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _whole({**_ID, "object": "chat.completion", "choices": [choice], "usage": _usage(tokens)})


def _streamed(tokens: int) -> Iterator[bytes]:
    yield _HEAD.format(kind="text/event-stream", length="Transfer-Encoding: chunked").encode()
    chunk = {**_ID, "object": "chat.completion.chunk"}
    for word in _WORDS:
        delta = {"role": "assistant", "content": word}
        yield _chunk(chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _chunk(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _chunk(chunk | {"choices": [], "usage": _usage(tokens)})
    yield b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def _chunk(event: object) -> bytes:
    content = f"data: {json.dumps(event)}\n\n"
    return f"{len(content):x}\r\n{content}\r\n".encode()


async def _serve(manners: Manners) -> None:
    served = Served()
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(manners, served), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Manners(float(sys.argv[1]) / 1000, float(sys.argv[2]) / 1000)))
