"""Poisonous messages: each ends in the right place with its reason, and keeps no other message waiting."""

from __future__ import annotations

import json
import os
import signal
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
from azure.cosmos import CosmosClient
from azure.servicebus.exceptions import MessageSizeExceededError

from functions.reasoning.messages import session_of
from local.supervisor.addresses import COSMOS_KEY
from shared.clock import SystemClock
from tests.integration_tests.jobs.work import (
    BOTH,
    FEEDBACK,
    REASONING,
    Results,
    Work,
    collected_results,
    senders_of,
)
from tests.integration_tests.platform import wait_for
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from azure.cosmos import ContainerProxy

    from tests.integration_tests.jobs.instances import Instances
    from tests.integration_tests.jobs.work import Senders
    from tests.integration_tests.platform import Caller

pytestmark = [sized(900 if SOAK else 90), pytest.mark.local_endpoints]

PROBES: Final = 20 if SOAK else 3
MOST_SECONDS: Final = 2.0 if SOAK else 15.0
"""How much later than undisturbed another message may be answered: the claim in a soak. Else what is less, on
whatever machine, than the minutes for which a failing message is tried."""

DEATHS: Final = 5 if SOAK else 1
BEAT_SECONDS: Final = 2.0
"""How often a worker says that it lives: a third of its lease (conftest.py)."""

POISON: Final = "poison"
"""The id of a job that is one; it comes back in the session that belongs to its id."""

LARGEST: Final = 250_000
"""Characters that the broker takes, and more than the app ever sends."""


@dataclass
class Bench:
    """A tenant beside whose messages the poison is sent, and everything that comes out.

    Attributes:
        instances: The instances of the app.
        caller: The tenant's administrator.
        senders: Senders to both in queues.
        results: What came out of both out queues.
    """

    instances: Instances
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
            found = owner.must("GET", "/api/v1/dead-letters?limit=200")["items"]
            return [letter for letter in found if letter["message_id"] == message_id]

        return wait_for(ask, bool, seconds)[0]


@pytest.fixture
def bench(instances: Instances) -> Iterator[Bench]:
    instances.await_all()
    tenant_id = instances.platform.new_tenant("premium")
    caller = instances.platform.caller(tenant_id)
    with collected_results(instances.platform) as results, senders_of(instances.platform) as senders:
        yield Bench(instances, tenant_id, caller, senders, results)
    instances.heal_model()


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


@dataclass(frozen=True)
class Poison:
    """A message that can never be handled.

    Attributes:
        make: Makes its body, for a queue and the tenant whose session it is sent into.
        reasons: Why it is refused, by queue.
        is_tenants: Whether its tenant has it; the platform has what names no active one.
    """

    make: Callable[[Bench, Work], bytes]
    reasons: tuple[str, str]
    is_tenants: bool


def suspend_another(bench: Bench) -> str:
    """Return a tenant that is suspended."""
    other = bench.instances.platform.new_tenant()
    bench.instances.platform.admin.must("PATCH", f"/api/v1/tenants/{other}", {"status": "suspended"})
    return other


def of_tenant(tenant_id: str, work: Work) -> bytes:
    return json.dumps({"tenant_id": tenant_id, **work.request("j1", "Why?")}).encode()


POISONS = {
    "not JSON": Poison(lambda *_: b"{nope", ("MalformedRequestError",) * 2, is_tenants=False),
    "spaces": Poison(lambda *_: b" " * LARGEST, ("MalformedRequestError",) * 2, is_tenants=False),
    "wrong model": Poison(
        lambda bench, _: json.dumps({"tenant_id": bench.tenant_id, "id": "j1", "text": 7}).encode(),
        ("ValidationError",) * 2,
        is_tenants=True,
    ),
    "unknown tenant": Poison(
        lambda _, work: of_tenant("nobody-has-this", work), ("TenantNotFoundError",) * 2, is_tenants=False
    ),
    "suspended tenant": Poison(
        lambda bench, work: of_tenant(suspend_another(bench), work),
        ("TenantNotFoundError",) * 2,
        is_tenants=False,
    ),
    "long text": Poison(
        lambda bench, work: bench.request(work, "long", "x" * LARGEST),
        ("PayloadTooLargeError", "ValidationError"),
        is_tenants=True,
    ),
    "text of spaces": Poison(
        lambda bench, work: bench.request(work, "blank", " " * LARGEST),
        ("ValidationError",) * 2,
        is_tenants=True,
    ),
}


@pytest.mark.parametrize("work", BOTH, ids=lambda work: work.in_queue)
def test_what_can_never_be_handled_is_kept_with_its_reason_and_delays_no_other_message(
    bench: Bench, work: Work
) -> None:
    bodies = {name: poison.make(bench, work) for name, poison in POISONS.items()}
    with undelayed(bench, work, f"{len(bodies)} messages that are refused"):
        sent = {name: bench.send(work, body) for name, body in bodies.items()}

    for name, poison in POISONS.items():
        owner = bench.caller if poison.is_tenants else bench.instances.platform.admin
        kept = bench.quarantined(owner, sent[name])
        assert (name, kept["queue"], kept["reason"]) == (
            name,
            work.in_queue,
            poison.reasons[BOTH.index(work)],
        )


@pytest.mark.parametrize("text", ["x" * 1_000_000, " " * 1_000_000], ids=["letters", "spaces"])
def test_a_million_characters_are_refused_by_the_broker_and_over_http_delay_no_other_message(
    bench: Bench, text: str
) -> None:
    with pytest.raises(MessageSizeExceededError):
        bench.send(REASONING, bench.request(REASONING, "million", text))
    with undelayed(bench, REASONING, "a million characters"):
        answer = bench.caller.send(
            "POST", REASONING.path, {"id": "million", "text": text, "model": "gpt-4.1"}
        )

    if answer.is_success:
        job = REASONING.wait_until_over(bench.caller, "million")
        assert job["status"] == "succeeded" or job["error"]
    else:
        assert (answer.status_code, text[0]) == (422, " ")


@pytest.mark.parametrize("work", BOTH, ids=lambda work: work.in_queue)
def test_a_job_whose_model_always_fails_gives_its_session_back_and_ends_with_the_reason(
    bench: Bench, work: Work
) -> None:
    word = uuid.uuid4().hex
    bench.instances.tell_model("faults", contains=word, status=500, count=None)
    with undelayed(bench, work, "a model that always fails"):
        bench.send(work, bench.request(work, POISON, f"Why {word}?"))

    job = wait_for(
        lambda: work.show(bench.caller, POISON), lambda job: bool(job.get("waiting_for") or job.get("error"))
    )
    assert job["status"] in {"queued", "running"}
    if not SOAK:
        return  # it would be tried for a minute; tests/unit_tests has its end
    job = work.wait_until_over(bench.caller, POISON)
    assert (job["status"], job["error"][:20]) == ("failed", "No delivery is left.")
    assert len(bench.results.bodies[bench.tenant_id, POISON]) == 1
    letters = bench.caller.must("GET", "/api/v1/dead-letters?reason=DeliveriesExhaustedError")["items"]
    assert [letter["job_id"] for letter in letters] == [POISON]


class Worker:
    """The worker that has a job, found by its silence.

    Args:
        bench: Where it works.
        work: The capability of the job.
        job_id: The job's id.
        container: Where it is stored.
    """

    def __init__(self, bench: Bench, work: Work, job_id: str, container: ContainerProxy) -> None:
        self._bench, self._work, self._job_id = bench, work, job_id
        self._container = container

    def kill(self) -> None:
        """Kill -9 the instance that has the job, once one has: without it the lease stays as it is."""
        wait_for(lambda: self._work.show(self._bench.caller, self._job_id).get("status"), "running".__eq__)
        suspect, other = self._bench.instances.await_all()
        os.kill(suspect, signal.SIGSTOP)
        lease, clock = self._read_lease(), SystemClock()
        until = clock.monotonic() + BEAT_SECONDS * 1.5
        wait_for(lambda: clock.monotonic() > until or self._read_lease() > lease, bool)
        is_free = self._read_lease() > lease
        os.kill(suspect, signal.SIGCONT if is_free else signal.SIGKILL)
        self._bench.instances.kill(other if is_free else suspect)

    def _read_lease(self) -> float:
        found: list[Any] = list(
            self._container.query_items(
                "SELECT VALUE c.lease_until FROM c WHERE c.id = @id AND c.tenant_id = @tenant",
                parameters=[
                    {"name": "@id", "value": self._job_id},
                    {"name": "@tenant", "value": self._bench.tenant_id},
                ],
                enable_cross_partition_query=True,
            )
        )
        return float(found[0])


@pytest.mark.parametrize(
    ("work", "container"),
    [(REASONING, "jobs"), (FEEDBACK, "feedback")][: 2 if SOAK else 1],
    ids=lambda one: getattr(one, "in_queue", ""),
)
def test_a_job_whose_workers_die_gives_its_session_back_and_ends_with_the_reason(
    bench: Bench, work: Work, container: str
) -> None:
    word = uuid.uuid4().hex
    bench.instances.tell_model("faults", contains=word, delay_ms=600_000, count=None)
    with CosmosClient(bench.instances.platform.addresses["cosmos"], COSMOS_KEY) as cosmos:
        stored = cosmos.get_database_client("tenantry").get_container_client(container)
        worker, alone, beside = Worker(bench, work, POISON, stored), bench.probe_often(work), []
        bench.send(work, bench.request(work, POISON, f"Why {word}?"))
        for _ in range(DEATHS):
            worker.kill()
            beside.append(bench.probe(work))
    tell(f"a worker that died {DEATHS} times", work, alone, max(beside))
    if not SOAK:
        bench.instances.heal_model()
        assert work.wait_until_over(bench.caller, POISON)["status"] == "succeeded"
        return
    job = work.wait_until_over(bench.caller, POISON)
    assert (job["status"], job["error"]) == ("failed", "No delivery is left. At the last: Its worker died")
    letters = bench.caller.must("GET", "/api/v1/dead-letters?reason=DeliveriesExhaustedError")["items"]
    assert [letter["job_id"] for letter in letters] == [POISON]
