"""Claims against a plain model: in whatever order requests come, workers die and time goes by."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from shared.http.idempotency import (
    KEPT_SECONDS,
    LEASE_SECONDS,
    Idempotency,
    IdempotencyKeyReusedError,
    KeyedRequest,
    RequestInWorkError,
)
from shared.http.responses import HttpResponse
from tests.support.fakes import FakeClock
from tests.support.memory_cosmos import MemoryCosmos
from tests.unit_tests.idempotency.work import ACME, Held, Work, die_at_work

KEYS, CONTENTS = st.sampled_from("ab"), st.sampled_from([b"1", b"2"])
STATUSES = st.sampled_from([201, 404, 429, 503])
_FINAL = {201, 404}

type Seen = int | Literal["reused", "in work"]


@dataclass
class Modelled:
    """What is known of a key: who asked what, and until when that holds; None is in work."""

    content: bytes
    answer: bytes | None
    leased_until: float
    kept_until: float


class ClaimMachine(RuleBasedStateMachine):
    """Two instances over one store, asked in every order, with deaths and with time going by."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.clock = FakeClock()
        self.cosmos = MemoryCosmos(self.clock)
        self.instances = [Idempotency(self.cosmos.container("idempotency"), self.clock) for _ in range(2)]
        self.known: dict[str, Modelled] = {}
        self.running: dict[str, tuple[asyncio.Task[HttpResponse], Held]] = {}
        self.answers = 0

    def teardown(self) -> None:
        for task, _ in self.running.values():
            task.cancel()
        self.loop.run(asyncio.sleep(0))
        self.loop.run(self.cosmos.close())
        self.loop.close()

    @rule(instance=st.integers(0, 1), key=KEYS, content=CONTENTS, status=STATUSES)
    def ask(self, instance: int, key: str, content: bytes, status: int) -> None:
        self.answers += 1
        work = Work([HttpResponse(status, {}, str(self.answers).encode())])
        expected = self._expected(key, content)

        seen = self.loop.run(self._asked(instance, key, content, work))

        assert work.runs == (expected is None)
        if expected is not None:
            assert seen == expected
            return
        assert seen == str(self.answers).encode()
        if status in _FINAL:
            now = self.clock.monotonic()
            self.known[key] = Modelled(content, seen, now, now + KEPT_SECONDS)
        else:
            self.known.pop(key, None)

    @precondition(lambda self: len(self.running) < 2)
    @rule(instance=st.integers(0, 1), key=KEYS, content=CONTENTS)
    def begin(self, instance: int, key: str, content: bytes) -> None:
        if key in self.running or self._expected(key, content) is not None:
            return
        self.loop.run(self._begin(instance, key, content))
        now = self.clock.monotonic()
        self.known[key] = Modelled(content, None, now + LEASE_SECONDS, now + KEPT_SECONDS)

    @precondition(lambda self: self.running)
    @rule(status=STATUSES)
    def end(self, status: int) -> None:
        key, (task, held) = self.running.popitem()
        self.answers += 1
        held.outcome = HttpResponse(status, {}, str(self.answers).encode())
        held.let_go.set()
        assert self.loop.run(_result(task)).body == held.outcome.body
        if status in _FINAL:
            kept_until = self.clock.monotonic() + KEPT_SECONDS
            known = self.known[key]
            self.known[key] = Modelled(known.content, held.outcome.body, 0, kept_until)
        else:
            self.known.pop(key)

    @rule(instance=st.integers(0, 1), key=KEYS, content=CONTENTS)
    def die(self, instance: int, key: str, content: bytes) -> None:
        if key in self.running or self._expected(key, content) is not None:
            return
        now = self.clock.monotonic()
        self.loop.run(die_at_work(self.cosmos, self.instances[instance], _request(key, content)))
        self.cosmos.dependency.breaker.record_success()
        self.known[key] = Modelled(content, None, now + LEASE_SECONDS, now + KEPT_SECONDS)

    @precondition(lambda self: not self.running)
    @rule(seconds=st.sampled_from([10, LEASE_SECONDS, KEPT_SECONDS + 1]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _expected(self, key: str, content: bytes) -> bytes | type[Exception] | None:
        """Return what a repeated request gets, or None where it is run."""
        known, now = self.known.get(key), self.clock.monotonic()
        if known is None or known.kept_until <= now:
            return None
        if known.content != content:
            return IdempotencyKeyReusedError
        if known.answer is not None:
            return known.answer
        return RequestInWorkError if known.leased_until > now else None

    async def _asked(self, instance: int, key: str, content: bytes, work: Work) -> bytes | type[Exception]:
        try:
            return (await self.instances[instance].run_once(ACME, _request(key, content), work)).body
        except (IdempotencyKeyReusedError, RequestInWorkError) as refused:
            return type(refused)

    async def _begin(self, instance: int, key: str, content: bytes) -> None:
        held = Held()
        task = asyncio.create_task(self.instances[instance].run_once(ACME, _request(key, content), held))
        await held.begun.wait()
        self.running[key] = (task, held)


def _request(key: str, content: bytes) -> KeyedRequest:
    return KeyedRequest("make", key, (content,))


async def _result(task: asyncio.Task[HttpResponse]) -> HttpResponse:
    return await task


TestClaims = pytest.mark.slow(ClaimMachine.TestCase)
TestClaims.settings = settings(max_examples=30, stateful_step_count=25, deadline=None, derandomize=True)
