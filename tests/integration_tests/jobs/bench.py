"""Bench on which poison is tried: how long other messages take without it, and beside it."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from functions.reasoning.messages import session_of
from tests.integration_tests.jobs.model import heal_model
from tests.integration_tests.jobs.work import collected_results, senders_of
from tests.integration_tests.platform import wait_for
from tests.support.soak import SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.jobs.work import Results, Senders, Work
    from tests.integration_tests.platform import Caller, Platform

PROBES: Final = 20 if SOAK else 3
MOST_SECONDS: Final = 2.0 if SOAK else 15.0
"""How much later than undisturbed another message may be answered: the claim in a soak. Else what is less, on
whatever machine, than the minutes for which a failing message is tried."""

POISON: Final = "poison"
"""The id of a job that is one; it comes back in the session that belongs to its id."""


@dataclass
class Bench:
    """A tenant beside whose messages the poison is sent, and everything that comes out.

    Attributes:
        platform: Where the app runs.
        caller: The tenant's administrator.
        senders: Senders to both in queues.
        results: What came out of both out queues.
    """

    platform: Platform
    tenant_id: str
    caller: Caller
    senders: Senders
    results: Results

    @property
    def session(self) -> str:
        """Return the session that all of these messages share, where the queue has them."""
        return session_of(self.tenant_id, POISON)

    def send(self, work: Work, body: bytes) -> str:
        """Send a message, and return its id."""
        message_id = uuid.uuid4().hex
        self.senders.send(work, body, message_id, self.session)
        return message_id

    def request(self, work: Work, job_id: str, text: str) -> bytes:
        """Return the body of a message that asks for a job of the tenant."""
        return json.dumps({"tenant_id": self.tenant_id, **work.request(job_id, text)}).encode()

    def probe(self, work: Work) -> float:
        """Send a job behind the poison; return how many seconds later the broker had its result."""
        job_id = f"probe-{uuid.uuid4().hex}"
        sent_at = datetime.now(UTC)
        self.send(work, self.request(work, job_id, "What time is it?"))
        told_at = wait_for(lambda: self.results.first_at.get((self.tenant_id, job_id)), bool, 90)
        assert told_at is not None
        return (told_at - sent_at).total_seconds()

    def probe_often(self, work: Work) -> float:
        """Return how long the slowest of some jobs took, sent one after the other."""
        return max(self.probe(work) for _ in range(PROBES))

    def quarantined(self, owner: Caller, message_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for a message in the quarantine of a tenant, or of the platform."""

        def ask() -> list[dict[str, Any]]:
            found = owner.must("GET", "/api/v1/dead-letters?limit=100")["items"]
            return [letter for letter in found if letter["message_id"] == message_id]

        return wait_for(ask, bool, seconds)[0]

    def drained(self, owner: Caller, message_id: str) -> dict[str, Any]:
        """Wait for a message in the quarantine that the app takes off the dead-letter queue once a minute."""
        ran = self.platform.client.post("/admin/functions/drain_dead_letters", json={"input": ""})
        assert ran.is_success
        return self.quarantined(owner, message_id, 90)


@contextmanager
def bench_on(platform: Platform) -> Iterator[Bench]:
    """Open a bench with a tenant of its own; the model is healed before, of what a test left, and at the end.

    Of the model's faults the first one that fits decides: one that was left would stand before the poison's.
    """
    heal_model(platform)
    tenant_id = platform.new_tenant("premium")
    with collected_results(platform) as results, senders_of(platform) as senders:
        yield Bench(platform, tenant_id, platform.caller(tenant_id), senders, results)
    heal_model(platform)


@contextmanager
def undelayed(bench: Bench, work: Work, what: str) -> Iterator[None]:
    """Measure other messages before the poison is sent, and with it in flight: at the end of the block."""
    alone = bench.probe_often(work)
    yield
    beside = bench.probe_often(work)
    tell(what, work, alone, beside)


def tell(what: str, work: Work, alone: float, beside: float) -> None:
    """Print how long other messages took without the poison and with it, and hold that to the claim."""
    print(f"\n{what} on {work.in_queue}: others took {alone:.2f} s at most, then {beside:.2f} s")  # noqa: T201  # the figures are the point of it
    assert beside - alone < MOST_SECONDS
