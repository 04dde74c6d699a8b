"""What requests do in these tests: they answer, fail, are held, or die with their worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from shared.http.idempotency import Idempotency, KeyedRequest
from shared.http.responses import HttpResponse
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from tests.support.memory_cosmos import MemoryCosmos

ACME, GLOBEX = tenant_context("acme"), tenant_context("globex")
ASKED = KeyedRequest("make", "k1", (b"POST", b"body"))
DONE = HttpResponse(201, {"etag": '"1"', "location": "/made/1"}, '{"name":"é"}'.encode())


class KilledError(BaseException):
    """The worker's end, which nothing in the app may catch."""


@dataclass
class Work:
    """A request's effect, counted; `outcomes` are what comes of it run by run, and then DONE."""

    outcomes: list[HttpResponse | BaseException] = field(default_factory=list)
    runs: int = 0

    async def __call__(self) -> HttpResponse:
        self.runs += 1
        outcome = self.outcomes.pop(0) if self.outcomes else DONE
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@dataclass
class Held:
    """Work that goes on until it is let go, then ends with its outcome."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: HttpResponse = DONE
    runs: int = 0

    async def __call__(self) -> HttpResponse:
        self.runs += 1
        self.begun.set()
        await self.let_go.wait()
        return self.outcome


async def die_at_work(cosmos: MemoryCosmos, idempotency: Idempotency, request: KeyedRequest = ASKED) -> None:
    """Leave a claim as a killed worker does: neither completed nor freed."""

    async def killed() -> HttpResponse:
        cosmos.transport.lose_requests = 99
        raise KilledError

    with pytest.raises(KilledError):
        await idempotency.run_once(ACME, request, killed)
    cosmos.transport.lose_requests = 0
