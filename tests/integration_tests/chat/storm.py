"""A storm of conversations: who says what on which instance, what goes wrong with it, and what came of it."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import httpx

from shared.llm.catalogue_model import hash_names
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

BOT = "b"
_CONFLICT = 409
_MOST_TRIES = 40
_LEAVES_AFTER_SECONDS = 0.1


class Trouble(StrEnum):
    """Something that goes wrong with one turn."""

    LIMITED = "limited"
    FAILS_ONCE = "fails once"
    IS_DOWN = "is down"
    SLOW = "slow"
    TRUNCATED = "truncated"
    CLIENT_LEAVES = "client leaves"


_FAULTS: dict[Trouble, dict[str, object]] = {
    Trouble.LIMITED: {"status": 429, "retry_after_ms": 50},
    Trouble.FAILS_ONCE: {"status": 500},
    Trouble.IS_DOWN: {"status": 500, "count": 3},
    Trouble.SLOW: {"delay_ms": 1_000},
}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of the storm.

    Attributes:
        instructions: Words of its bot's instructions: no other tenant's have so many.
    """

    tenant_id: str
    key: str
    instructions: int


@dataclass(slots=True)
class Turn:
    """One message of a conversation, and what its client saw.

    Attributes:
        user_id: A user of its own, so that what it used can be told from all else.
        trouble: What goes wrong with it.
        status: The answer's status; 0 where the client did not wait for one.
        received: The text that its client has received.
        reply: The whole reply, or the error in its place.
    """

    conversation: Conversation
    number: int
    trouble: Trouble | None
    status: int = 0
    received: str = ""
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def user_id(self) -> str:
        return f"{self.conversation.name}.{self.number}"

    @property
    def message(self) -> str:
        return f"{self.conversation.tenant.tenant_id}/{self.user_id} says something"

    @property
    def is_answered(self) -> bool:
        """Tell whether the client has the whole answer."""
        return "response" in self.reply

    @property
    def known_user(self) -> str:
        """Return its user as the model's provider knows them."""
        return hash_names("user", self.conversation.tenant.tenant_id, self.user_id)

    def fault(self) -> dict[str, object] | None:
        """Return what the model is told to do to its call."""
        match self.trouble:
            case None:
                return None
            case Trouble.TRUNCATED:
                fault: dict[str, object] = {
                    "truncate_after" if self.conversation.streams else "drop_after": 6
                }
            case Trouble.CLIENT_LEAVES:
                fault = {"piece_delay_ms": 100} if self.conversation.streams else {"delay_ms": 400}
            case known:
                fault = _FAULTS[known]
        return {"user": self.known_user} | fault


@dataclass(slots=True)
class Conversation:
    """One conversation of the storm: every second one is streamed, every turn goes to the other instance."""

    tenant: Tenant
    name: str
    streams: bool
    first_instance: int
    turns: list[Turn] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/api/v1/bots/{BOT}/conversations/{self.name}"


def plan(tenants: Sequence[Tenant], conversations: int, turns: int) -> list[Conversation]:
    """Plan the storm, the same each time: something goes wrong with a fifth of the turns."""
    several = len(tenants)  # each of whom has conversations of the same names
    planned = [
        Conversation(
            tenants[number % several], f"c{number // several}", number // several % 2 == 0, number % 2
        )
        for number in range(conversations)
    ]
    for one in planned:
        one.turns = [Turn(one, number + 1, None) for number in range(turns)]
    every = [turn for one in planned for turn in one.turns]
    chosen = random.Random(16).sample(every, len(every) // 5)  # noqa: S311  # no secret
    for place, turn in enumerate(chosen):
        turn.trouble = list(Trouble)[place % len(Trouble)]
    return planned


async def unleash(planned: Sequence[Conversation], instances: Sequence[str]) -> None:
    """Let all conversations take place at once."""
    limits = httpx.Limits(max_connections=len(planned))
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=120, limits=limits) as client:
        await asyncio.gather(*(_converse(client, one, instances) for one in planned))


async def _converse(client: httpx.AsyncClient, one: Conversation, instances: Sequence[str]) -> None:
    for turn in one.turns:
        address = instances[(one.first_instance + turn.number) % len(instances)]
        for _ in range(_MOST_TRIES):
            await _say(client, turn, address)
            if turn.status != _CONFLICT:  # else the turn of a client that left is not over yet
                break


async def _say(client: httpx.AsyncClient, turn: Turn, address: str) -> None:
    conversation = turn.conversation
    body = {
        "message": turn.message,
        "conversation_id": conversation.name,
        "user_id": turn.user_id,
        "stream": conversation.streams,
    }
    url = f"{address}/api/v1/bots/{BOT}/chat"
    headers = {"authorization": f"Bearer {conversation.tenant.key}"}
    leaves = turn.trouble is Trouble.CLIENT_LEAVES
    if leaves and not conversation.streams:
        try:
            async with asyncio.timeout(_LEAVES_AFTER_SECONDS):
                answer = await client.post(url, json=body, headers=headers)
        except TimeoutError:
            turn.status = 0
            return
        turn.status, turn.reply = answer.status_code, answer.json()
        return
    async with client.stream("POST", url, json=body, headers=headers) as response:
        turn.status = response.status_code
        if response.headers["content-type"] != "text/event-stream":
            turn.reply = json.loads(await response.aread())
            return
        async for name, data in _events(response):
            if name == "token":
                turn.received += data["text"]
            else:
                turn.reply = data
            if leaves:
                return


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


def every_turn(planned: Sequence[Conversation]) -> Iterator[Turn]:
    """Yield all turns."""
    return (turn for one in planned for turn in one.turns)
