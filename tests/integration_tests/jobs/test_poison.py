"""Poisonous messages: each ends in the right place with its reason, and keeps no other message waiting."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from azure.servicebus.exceptions import MessageSizeExceededError

from tests.integration_tests.jobs.bench import POISON, bench_on, undelayed
from tests.integration_tests.jobs.model import tell_model
from tests.integration_tests.jobs.work import BOTH, REASONING
from tests.integration_tests.platform import wait_for
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration_tests.jobs.bench import Bench
    from tests.integration_tests.jobs.work import Work
    from tests.integration_tests.platform import Platform

pytestmark = sized(300 if SOAK else 120)

LARGEST: Final = 250_000
"""Characters that the broker takes, and more than the app ever sends."""


@pytest.fixture
def bench(platform: Platform) -> Iterator[Bench]:
    with bench_on(platform) as opened:
        yield opened


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
    other = bench.platform.new_tenant()
    bench.platform.admin.must("PATCH", f"/api/v1/tenants/{other}", {"status": "suspended"})
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
        ("PayloadTooLargeError", "ValidationError"),
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
        owner = bench.caller if poison.is_tenants else bench.platform.admin
        kept = bench.quarantined(owner, sent[name])
        assert (name, kept["queue"], kept["reason"]) == (
            name,
            work.in_queue,
            poison.reasons[BOTH.index(work)],
        )


@pytest.mark.parametrize("work", BOTH, ids=lambda work: work.in_queue)
def test_a_body_that_no_function_is_given_is_kept_with_its_reason_and_delays_no_other_message(
    bench: Bench, work: Work
) -> None:
    asked = {"tenant_id": bench.tenant_id, **work.request("map", "Why?")}
    bodies: dict[str, dict[str, object]] = {
        "a map": {"value_body": asked},
        "a UUID": {"value_body": uuid.uuid4()},
        "a time": {"value_body": datetime(2026, 1, 31, tzinfo=UTC)},
        "a number": {"value_body": 7},
        "a sequence": {"sequence_body": [[1, "two", None], [uuid.uuid4()]]},
    }
    sent = {name: uuid.uuid4().hex for name in bodies}
    with undelayed(bench, work, f"{len(bodies)} messages that no function is given"):
        for name, body in bodies.items():
            bench.senders.send_amqp(work, sent[name], bench.session, **body)

    for name, message_id in sent.items():
        owner = bench.caller if name == "a map" else bench.platform.admin
        kept = bench.drained(owner, message_id)
        assert (name, kept["queue"], kept["reason"]) == (name, work.in_queue, "UnboundBodyError")


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
    tell_model(bench.platform, "faults", contains=word, status=500, count=None)
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
    bodies = bench.results.bodies
    wait_for(lambda: len(bodies[bench.tenant_id, POISON]), lambda count: count == 1)  # stored, then told
    letters = bench.caller.must("GET", "/api/v1/dead-letters?reason=DeliveriesExhaustedError")["items"]
    assert [letter["job_id"] for letter in letters] == [POISON]
