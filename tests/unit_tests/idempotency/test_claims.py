"""A claim: made once, answered from then on, freed or taken over, and never run twice at once."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import ItemExistsError
from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.http.idempotency import (
    LEASE_SECONDS,
    AnswerNotKeptError,
    Idempotency,
    IdempotencyKeyReusedError,
    RequestInWorkError,
)
from shared.http.responses import HttpResponse
from shared.resilience.deadlines import deadline
from shared.tenancy.context import Role
from tests.support.fakes import platform_context, user_context
from tests.unit_tests.idempotency.work import ACME, ASKED, DONE, GLOBEX, Held, Work, die_at_work
from tests.unit_tests.prompts.interrupted import Interrupted

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpRequest

    from shared.cosmos.container import Json, Key
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos


@pytest.fixture
def idempotency(cosmos: MemoryCosmos, clock: FakeClock) -> Idempotency:
    return Idempotency(cosmos.container("idempotency"), clock)


@pytest.fixture
def elsewhere(cosmos: MemoryCosmos, clock: FakeClock) -> Idempotency:
    """Another instance."""
    return Idempotency(cosmos.container("idempotency"), clock)


@pytest.mark.slow
async def test_a_repeated_request_is_answered_as_the_first_one_was(
    idempotency: Idempotency, elsewhere: Idempotency
) -> None:
    work = Work()

    answers = [await one.run_once(ACME, ASKED, work) for one in (idempotency, elsewhere, idempotency)]

    assert work.runs == 1
    assert answers == [DONE, DONE, DONE]


async def test_a_keyed_request_costs_two_requests_and_a_repeated_one_two(
    cosmos: MemoryCosmos, idempotency: Idempotency
) -> None:
    await idempotency.run_once(ACME, ASKED, Work())
    first = cosmos.transport.requests
    await idempotency.run_once(ACME, ASKED, Work())

    assert (first, cosmos.transport.requests - first) == (2, 2)


@pytest.mark.parametrize(
    "other", [replace(ASKED, content=(b"POST", b"other")), replace(ASKED, content=(b"POSTbody",))]
)
async def test_the_same_key_with_another_request_is_refused_by_name(
    idempotency: Idempotency, other: object
) -> None:
    assert isinstance(other, type(ASKED))
    work = Work()
    await idempotency.run_once(ACME, ASKED, work)

    with pytest.raises(IdempotencyKeyReusedError) as refused:
        await idempotency.run_once(ACME, other, work)

    assert (refused.value.status, work.runs) == (422, 1)
    assert "header.idempotency-key" in str(refused.value.detail)


async def test_a_key_belongs_to_one_owner_one_user_and_one_route(idempotency: Idempotency) -> None:
    work = Work()

    alice, bob = user_context("alice"), user_context("bob")
    for owner in (ACME, GLOBEX, alice, bob, platform_context()):
        for route in ("make", "mend"):
            await idempotency.run_once(
                owner, replace(ASKED, route=route, content=(owner.principal.encode(),)), work
            )

    assert work.runs == 10


async def test_while_the_first_runs_the_others_are_told_to_come_back(
    idempotency: Idempotency, elsewhere: Idempotency, clock: FakeClock
) -> None:
    held, other = Held(), Work()
    first = asyncio.create_task(idempotency.run_once(ACME, ASKED, held))
    await held.begun.wait()

    with pytest.raises(RequestInWorkError) as early:
        await elsewhere.run_once(ACME, ASKED, other)
    clock.advance(30)
    with pytest.raises(RequestInWorkError) as late:
        await elsewhere.run_once(ACME, ASKED, other)
    held.let_go.set()

    assert await first == await elsewhere.run_once(ACME, ASKED, other) == DONE
    assert (early.value.status, other.runs) == (409, 0)
    assert (early.value.retry_after, late.value.retry_after) == (1.0, 30.0)


@pytest.mark.parametrize(
    "outcome",
    [
        HttpResponse(503),
        HttpResponse(500),
        HttpResponse(429),
        HttpResponse(409, {"retry-after": "1"}),
        HttpResponse(200, {"retry-after": "9"}),
        RuntimeError("a defect"),
    ],
    ids=str,
)
async def test_what_is_not_final_frees_the_key(
    idempotency: Idempotency, elsewhere: Idempotency, outcome: HttpResponse | Exception
) -> None:
    work = Work([outcome])
    if isinstance(outcome, Exception):
        with pytest.raises(type(outcome)):
            await idempotency.run_once(ACME, ASKED, work)
    else:
        assert await idempotency.run_once(ACME, ASKED, work) == outcome

    assert await elsewhere.run_once(ACME, ASKED, work) == DONE
    assert work.runs == 2


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 422])
async def test_a_refusal_that_would_come_again_is_kept(idempotency: Idempotency, status: int) -> None:
    work = Work([HttpResponse(status, {}, b"{}")])

    answers = [await idempotency.run_once(ACME, ASKED, work) for _ in range(2)]

    assert [answer.status for answer in answers] == [status, status]
    assert work.runs == 1


async def test_a_cancelled_request_frees_its_key(idempotency: Idempotency, elsewhere: Idempotency) -> None:
    held, work = Held(), Work()
    cancelled = asyncio.create_task(idempotency.run_once(ACME, ASKED, held))
    await held.begun.wait()

    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled

    assert await elsewhere.run_once(ACME, ASKED, work) == DONE


async def test_an_answer_is_kept_even_if_its_caller_is_cancelled_meanwhile(
    cosmos: MemoryCosmos, idempotency: Idempotency
) -> None:
    work = Work()

    def cancel_when_it_is_kept(request: HttpRequest) -> None:
        if request.method == "PATCH":
            task.cancel()

    cosmos.transport.watch = cancel_when_it_is_kept
    task = asyncio.create_task(idempotency.run_once(ACME, ASKED, work))
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await idempotency.run_once(ACME, ASKED, work) == DONE
    assert work.runs == 1


async def test_a_dead_workers_claim_is_taken_over_when_its_lease_has_ended_and_not_before(
    cosmos: MemoryCosmos, idempotency: Idempotency, elsewhere: Idempotency, clock: FakeClock
) -> None:
    await die_at_work(cosmos, idempotency)
    died_at = clock.monotonic()
    work = Work()

    with pytest.raises(RequestInWorkError) as early:
        await elsewhere.run_once(ACME, ASKED, work)
    clock.advance(LEASE_SECONDS - 1 - (clock.monotonic() - died_at))
    with pytest.raises(RequestInWorkError) as late:
        await elsewhere.run_once(ACME, ASKED, work)
    clock.advance(2)

    assert await elsewhere.run_once(ACME, ASKED, work) == DONE
    assert await idempotency.run_once(ACME, ASKED, work) == DONE
    assert work.runs == 1
    assert early.value.retry_after is not None
    assert late.value.retry_after is not None
    assert late.value.retry_after <= 1 <= early.value.retry_after


async def test_a_dead_claim_is_taken_over_by_one_of_many(
    cosmos: MemoryCosmos, idempotency: Idempotency, clock: FakeClock
) -> None:
    await die_at_work(cosmos, idempotency)
    clock.advance(LEASE_SECONDS)
    held = Held()
    cosmos.transport.lets_others_run = True
    tasks = [asyncio.create_task(idempotency.run_once(ACME, ASKED, held)) for _ in range(10)]
    await held.begun.wait()
    held.let_go.set()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert held.runs == 1
    assert DONE in outcomes
    refused = [outcome for outcome in outcomes if outcome != DONE]
    assert {outcome.retry_after for outcome in refused if isinstance(outcome, RequestInWorkError)} <= {1.0}
    assert all(isinstance(outcome, RequestInWorkError) for outcome in refused)


async def test_a_key_that_is_freed_and_claimed_anew_between_two_requests_is_tried_again_after_a_second(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    class Raced(Interrupted):
        async def create(self, key: Key, body: Json) -> Json:  # noqa: ARG002  # the real one's
            raise ItemExistsError(str(body["id"]))

    raced = Idempotency(Raced(cosmos.container("idempotency")), clock)
    with pytest.raises(RequestInWorkError) as refused:
        await raced.run_once(ACME, ASKED, Work())

    assert refused.value.retry_after == 1.0


async def test_who_was_taken_over_keeps_nothing_and_frees_nothing(
    idempotency: Idempotency, elsewhere: Idempotency, clock: FakeClock
) -> None:
    slow, quick = Held(outcome=HttpResponse(200, {}, b"slow")), Held()
    paused = asyncio.create_task(idempotency.run_once(ACME, ASKED, slow))
    await slow.begun.wait()
    clock.advance(LEASE_SECONDS)
    taken_over = asyncio.create_task(elsewhere.run_once(ACME, ASKED, quick))
    await quick.begun.wait()

    slow.let_go.set()
    await paused
    with pytest.raises(RequestInWorkError):
        await idempotency.run_once(ACME, ASKED, Work())
    quick.let_go.set()

    assert await taken_over == DONE
    assert await idempotency.run_once(ACME, ASKED, Work()) == DONE


@pytest.mark.parametrize(
    "answer", [HttpResponse(503, {}, b"down"), HttpResponse(429, {"retry-after": "1"}, b"")]
)
async def test_who_was_taken_over_and_fails_frees_nothing_of_who_took_over(
    idempotency: Idempotency, elsewhere: Idempotency, clock: FakeClock, answer: HttpResponse
) -> None:
    slow, quick, third = Held(outcome=answer), Held(), Work()
    paused = asyncio.create_task(idempotency.run_once(ACME, ASKED, slow))
    await slow.begun.wait()
    clock.advance(LEASE_SECONDS)
    taken_over = asyncio.create_task(elsewhere.run_once(ACME, ASKED, quick))
    await quick.begun.wait()

    slow.let_go.set()
    assert await paused == answer
    with pytest.raises(RequestInWorkError):
        await idempotency.run_once(ACME, ASKED, third)
    quick.let_go.set()

    assert await taken_over == DONE
    assert await idempotency.run_once(ACME, ASKED, third) == DONE
    assert third.runs == 0


def test_a_derived_id_is_of_one_tenant_one_user_one_route_and_one_key() -> None:
    requests = [replace(ASKED, route=route, key=key) for route in ("make", "mend") for key in ("k1", "k2")]
    owners = (ACME, GLOBEX, user_context("alice"), user_context("bob"))
    ids = [request.derived_id(owner) for request in requests for owner in owners]
    assert len(set(ids)) == len(ids)
    assert ASKED.derived_id(ACME) == replace(ASKED, content=(b"other",)).derived_id(ACME)


def test_ids_stay_as_they_are_so_that_a_retry_over_a_deployment_finds_its_claim() -> None:
    digest = hashlib.sha256(b"user\n\nk1").hexdigest()
    derived = hashlib.sha256(b"acme\nmake\nuser\n\nk1").hexdigest()

    assert ASKED.claim_id(ACME) == f"make:{digest}"
    assert ASKED.derived_id(ACME) == derived[:32]


async def test_an_answer_is_forgotten_after_a_day(
    idempotency: Idempotency, elsewhere: Idempotency, clock: FakeClock
) -> None:
    work = Work()
    await idempotency.run_once(ACME, ASKED, work)

    clock.advance(86_398)
    await elsewhere.run_once(ACME, ASKED, work)
    assert work.runs == 1
    clock.advance(3)
    await elsewhere.run_once(ACME, replace(ASKED, content=(b"another",)), work)

    assert work.runs == 2


async def test_with_the_store_down_nothing_is_run(cosmos: MemoryCosmos, idempotency: Idempotency) -> None:
    work = Work()
    cosmos.transport.lose_requests = 3

    with pytest.raises((DependencyUnavailableError, DependencyTimeoutError)):
        await idempotency.run_once(ACME, ASKED, work)

    assert work.runs == 0
    assert await idempotency.run_once(ACME, ASKED, work) == DONE


async def test_a_claim_whose_confirmation_was_lost_is_ours_all_the_same(
    cosmos: MemoryCosmos, idempotency: Idempotency, clock: FakeClock
) -> None:
    work = Work()
    cosmos.transport.lose_answers = 1
    assert await idempotency.run_once(ACME, ASKED, work) == DONE

    taken = replace(ASKED, key="k2")
    await die_at_work(cosmos, idempotency, taken)
    clock.advance(LEASE_SECONDS)

    def lose_the_take_over(request: HttpRequest) -> None:
        if request.method == "PATCH":
            cosmos.transport.lose_answers = 1
            cosmos.transport.watch = lambda _: None

    cosmos.transport.watch = lose_the_take_over
    assert await idempotency.run_once(ACME, taken, work) == DONE
    assert work.runs == 2


async def test_an_answer_that_cannot_be_kept_reaches_its_caller_and_is_not_run_again_at_once(
    cosmos: MemoryCosmos, idempotency: Idempotency, clock: FakeClock
) -> None:
    async def done_and_cut_off() -> HttpResponse:
        cosmos.transport.lose_requests = 99
        return DONE

    assert await idempotency.run_once(ACME, ASKED, done_and_cut_off) == DONE
    cosmos.transport.lose_requests = 0
    clock.advance(10)

    with pytest.raises(RequestInWorkError):
        await idempotency.run_once(ACME, ASKED, Work())


async def test_an_answer_too_large_to_keep_is_known_to_have_been_given(idempotency: Idempotency) -> None:
    large = HttpResponse(200, {}, b"x" * 3_000_000)
    work = Work([large])

    assert await idempotency.run_once(ACME, ASKED, work) == large
    with pytest.raises(AnswerNotKeptError):
        await idempotency.run_once(ACME, ASKED, work)

    assert work.runs == 1


async def test_fifty_at_once_over_two_instances_are_one_effect(
    cosmos: MemoryCosmos, idempotency: Idempotency, elsewhere: Idempotency
) -> None:
    held = Held()
    cosmos.transport.lets_others_run = True
    tasks = [
        asyncio.create_task((idempotency, elsewhere)[turn % 2].run_once(ACME, ASKED, held))
        for turn in range(50)
    ]
    await held.begun.wait()
    held.let_go.set()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert held.runs == 1
    assert all(outcome == DONE or isinstance(outcome, RequestInWorkError) for outcome in outcomes)
    assert await elsewhere.run_once(ACME, ASKED, held) == DONE


async def test_a_claim_is_settled_even_when_the_requests_time_is_over(
    idempotency: Idempotency, elsewhere: Idempotency, clock: FakeClock
) -> None:
    async def takes_all_its_time() -> HttpResponse:
        clock.advance(5)
        return HttpResponse(504)

    with deadline(5, clock):
        assert (await idempotency.run_once(ACME, ASKED, takes_all_its_time)).status == 504

    assert await elsewhere.run_once(ACME, ASKED, Work()) == DONE


def test_ids_are_of_one_route_role_user_and_tenant() -> None:
    owners = [
        ACME,
        GLOBEX,
        replace(ACME, role=Role.TENANT_ADMIN),
        replace(ACME, role=Role.ADMIN),
        user_context("ann"),
        user_context("bob"),
    ]
    requests = [ASKED, replace(ASKED, route="other_route"), replace(ASKED, key="other-key")]

    derived = {asked.derived_id(owner) for asked in requests for owner in owners}
    claims = {asked.claim_id(owner) for asked in requests for owner in owners if owner is not GLOBEX}

    assert len(derived) == len(requests) * len(owners)
    assert len(claims) == len(requests) * (len(owners) - 1), "a tenant's claims are in its own partition"
    assert ASKED.derived_id(ACME) == replace(ASKED, content=(b"other",)).derived_id(ACME)
