"""The whole app in memory, with the real client of models over a provider under control."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2

from shared.contracts import Usage
from shared.tenancy.context import Role
from tests.support.fakes import Call, StillClock
from tests.support.models import open_embedding_model, open_model
from tests.support.openai_answers import chunk_json, completion_json, usage_json
from tests.support.whole_app import SharedStart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tests.support.fakes import Answer, FakeClock, StreamReader
    from tests.support.whole_app import WholeApp

type Json = dict[str, Any]

USED = Usage(prompt_tokens=20, completion_tokens=5, total_tokens=25)
HELLO: Json = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
CREATE = "create_chat_completion"


def events(*chunks: object) -> bytes:
    """Write the events of a stream."""
    told = (chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks)
    return "".join(f"data: {one}\n\n" for one in told).encode()


def said(*words: str, **more: object) -> list[Json]:
    """Say words in parts, with the usage in the last one, as a provider does that is asked for it."""
    told: Json = {"usage": None} | more
    return [
        chunk_json({"role": "assistant", "content": ""}, **told),
        *(chunk_json({"content": word}, **told) for word in words),
        chunk_json({}, "stop", **told),
        chunk_json({}) | {"choices": [], "usage": usage_json(USED)},
    ]


def data_of(body: bytes) -> list[str]:
    """Read the data of a stream's events."""
    return [line.removeprefix("data: ") for line in body.decode().splitlines() if line.startswith("data: ")]


@dataclass
class Provider:
    """Provider that keeps what it is sent, and answers as it is told.

    Attributes:
        bodies: The bodies that it was sent.
        answer: Its whole answer.
        parts: Its answer in parts.
        respond: Answers otherwise; None leaves it to the two above.
    """

    bodies: list[Json] = field(default_factory=list)
    answer: Json = field(default_factory=lambda: completion_json("Hi.", USED, "gpt-4o-2024-08-06"))
    parts: Sequence[object] = field(default_factory=lambda: [*said("Hi", "."), "[DONE]"])
    respond: Callable[[Json], Awaitable[httpx2.Response]] | None = None

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        body = json.loads(request.content)
        self.bodies.append(body)
        if self.respond is not None:
            return await self.respond(body)
        if body.get("stream"):
            return httpx2.Response(200, content=events(*self.parts))
        return httpx2.Response(200, json=self.answer)


@dataclass
class Gateway:
    """The app, its provider, and the key of a tenant's server."""

    app: WholeApp
    provider: Provider
    key: dict[str, str]
    boss: dict[str, str]

    async def send(self, body: object, name: str = CREATE, **headers: str) -> Answer:
        """Send a request with the server's key."""
        call = Call.of(body, headers=self.key | {n.replace("_", "-"): v for n, v in headers.items()})
        return await self.app.client.call(name, call)

    async def complete(self, **changes: object) -> Json:
        """Complete a chat that has to be answered; returns the answer."""
        answer = await self.send(HELLO | changes)
        assert answer.status == 200, answer.body
        answered: Json = answer.json()
        return answered

    async def refuse(self, **changes: object) -> tuple[int, Json]:
        """Send what has to be refused; returns the status and the error."""
        answer = await self.send(HELLO | changes)
        assert answer.status >= 400, answer.body
        error: Json = answer.json()["error"]
        return answer.status, error

    async def stream(self, **changes: object) -> StreamReader:
        """Begin a stream."""
        return await self.app.client.stream(
            CREATE, Call.of(HELLO | {"stream": True} | changes, headers=self.key)
        )

    async def save_bot(self, bot_id: str, config: object) -> None:
        """Save a bot of the tenant's."""
        await self.app.must("save_bot", Call.of(config, headers=self.boss, bot_id=bot_id))

    async def used_tokens(self) -> tuple[int, int]:
        """Return the tokens that are used, and those that are locked."""
        call = Call(query="app_id=openai", headers=self.key)
        status = (await self.app.must("get_token_status", call)).json()
        return status["used_tokens"], status["locked_tokens"]


@cache
def _with_keys(tier: str) -> SharedStart[tuple[dict[str, str], dict[str, str]]]:
    """Give a tenant of a tier two keys: its server's and its administrator's."""

    async def prepare(app: WholeApp) -> tuple[dict[str, str], dict[str, str]]:
        await app.new_tenant("acme", tier)
        return await app.new_key("acme", Role.USER), await app.new_key("acme", Role.TENANT_ADMIN)

    return SharedStart(prepare)


@asynccontextmanager
async def gateway(clock: FakeClock | None = None, tier: str = "premium") -> AsyncIterator[Gateway]:
    """Open the app for one tenant."""
    async with _with_keys(tier).open(clock or StillClock()) as (app, (key, boss)):
        provider = Provider()
        app.runtime.__dict__["chat_model"] = open_model(provider.handle, app.clock)[0]
        app.runtime.__dict__["embedding_model"] = open_embedding_model(provider.handle, app.clock)
        await app.load_tokenizer()
        yield Gateway(app, provider, key, boss)
