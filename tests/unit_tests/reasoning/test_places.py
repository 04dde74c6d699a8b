"""Places on the queue: a tenant's requests take a few at a time, in their order, and none is forgotten."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from shared.errors import BudgetExceededError
from shared.jobs.places import MOST_PLACED, PLACES
from shared.jobs.repository import LOST_AFTER_SECONDS, MOST_SENT_AGAIN, SWEEP_AFTER_SECONDS
from tests.support.fakes import Call
from tests.unit_tests.reasoning.app import KilledError, message

if TYPE_CHECKING:
    from shared.messaging.sender import OutgoingMessage
    from tests.unit_tests.reasoning.app import App

MANY = 3 * PLACES
ACCEPTING = 3
"""The requests to the store for a job that finds a place: to store it, to count, to note that it was sent."""

WORKING = 6
"""Those for a job of two steps, whoever sent it: to look for it, to claim or to store it, for each step, for
its end, and to note that this was sent."""


class ReasonerQueue:
    """The broker's view of `reasoner-in`: which of the messages that were sent are still there."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._done: list[OutgoingMessage] = []
        self.order: list[str] = []
        self.most = 0
        app.sender.after_sending = self._look

    def waiting(self) -> list[OutgoingMessage]:
        """Return what is there, as it is delivered: what was put off comes at its time, after all others."""
        sent = [message for queue, message in self._app.sender.sent if queue == "reasoner-in"]
        left = [message for message in sent if not any(message is done for done in self._done)]
        return sorted(left, key=_due)

    async def deliver_next(self) -> None:
        """Deliver the first message, and complete it."""
        request, *_ = self.waiting()
        self.order.append(json.loads(request.body)["id"])
        if request.not_before is not None:
            seconds = (request.not_before - self._app.clock.now()).total_seconds()
            self._app.clock.advance(max(seconds, 0))
        await self._app.deliver(request.body)
        self._done.append(request)

    async def deliver_all(self) -> None:
        """Deliver what there is and what comes, until there is nothing."""
        while self.waiting():
            await self.deliver_next()

    def _look(self) -> None:
        self.most = max(self.most, len(self.waiting()))


@pytest.fixture
def queue(app: App) -> ReasonerQueue:
    return ReasonerQueue(app)


def _due(message: OutgoingMessage) -> float:
    return 0.0 if message.not_before is None else message.not_before.timestamp()


async def accept_many(app: App, count: int = MANY) -> list[str]:
    ids = [f"j{number:02}" for number in range(count)]
    for job_id in ids:
        assert (await app.accept(id=job_id, text="Why?")).status == 202
        app.clock.advance(0.001)
    return ids


async def statuses(app: App, ids: list[str]) -> list[str]:
    return [(await app.show(job_id)).json()["status"] for job_id in ids]


async def sweep_later(app: App) -> None:
    app.clock.advance(SWEEP_AFTER_SECONDS + 1)
    await app.sweep()


@pytest.mark.slow
async def test_a_flood_has_a_few_messages_on_the_queue_and_goes_through_it_in_its_order(
    app: App, queue: ReasonerQueue
) -> None:
    ids = await accept_many(app)
    at_once = len(queue.waiting())

    await queue.deliver_all()

    assert at_once == PLACES
    assert queue.order == ids
    assert queue.most <= PLACES + 1  # the message that is in work is not completed yet
    assert [told["id"] for told in app.sender.results()] == ids
    assert set(await statuses(app, ids)) == {"succeeded"}


async def test_a_tenant_that_has_places_left_pays_one_request_more_for_each_job(
    app: App, queue: ReasonerQueue
) -> None:
    await app.accept(id="warm", text="Why?")
    await queue.deliver_all()
    start = app.cosmos.transport.requests
    await app.accept(id="j1", text="Why?")
    accepting = app.cosmos.transport.requests - start

    await queue.deliver_all()
    working = app.cosmos.transport.requests - start - accepting
    await app.deliver(message(id="direct"))
    direct = app.cosmos.transport.requests - start - accepting - working

    assert accepting == ACCEPTING
    assert (working, direct) == (WORKING, WORKING)


@pytest.mark.slow
async def test_jobs_that_are_accepted_at_once_take_no_more_places_than_there_are(
    app: App, queue: ReasonerQueue
) -> None:
    app.cosmos.transport.lets_others_run = True
    ids = [f"j{number:02}" for number in range(MANY)]
    await asyncio.gather(*(app.accept(id=job_id, text="Why?") for job_id in ids))
    at_once = len(queue.waiting())

    await queue.deliver_all()
    await sweep_later(app)
    await queue.deliver_all()

    assert at_once <= PLACES
    assert sorted(queue.order) == ids


@pytest.mark.slow
async def test_instances_that_give_places_on_at_once_send_no_request_twice(
    app: App, queue: ReasonerQueue
) -> None:
    ids = await accept_many(app)
    app.cosmos.transport.lets_others_run = True
    while queue.waiting():
        await queue.deliver_next()
        await asyncio.gather(*(app.outbox.release() for _ in range(3)))

    assert queue.order == ids


async def test_another_tenant_finds_its_own_places_whatever_one_has(app: App, queue: ReasonerQueue) -> None:
    await accept_many(app)

    await app.accept(app.stranger, id="mine", text="Why?")

    assert queue.waiting()[-1].message_id == "globex:mine"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, 5))
async def test_a_kill_while_a_job_is_accepted_that_finds_no_place_loses_nothing(
    app: App, queue: ReasonerQueue, nth: int, when: str
) -> None:
    ids = await accept_many(app, PLACES)
    _kill_at(app, nth, when)
    await app.accept(id="j98", text="Why?")
    assert app.is_dead
    app.is_dead, app.cosmos.transport.fault = False, None
    await app.accept(id="j98", text="Why?")
    await app.accept(id="j99", text="Why?")

    await sweep_later(app)
    assert len(queue.waiting()) <= PLACES
    await queue.deliver_all()
    await sweep_later(app)
    await queue.deliver_all()

    assert sorted(set(queue.order)) == [*ids, "j98", "j99"]
    assert len(app.sender.results()) == PLACES + 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, 16))
@pytest.mark.slow
async def test_a_kill_while_a_place_is_given_on_forgets_nobody_and_takes_no_other_place(
    app: App, queue: ReasonerQueue, nth: int, when: str
) -> None:
    ids = await accept_many(app)
    for _ in range(PLACES - 1):
        await queue.deliver_next()
    _kill_at(app, nth, when)
    with suppress(KilledError):
        await queue.deliver_next()
    app.is_dead, app.cosmos.transport.fault = False, None
    app.clock.advance(120)

    for _ in range(MANY):
        await sweep_later(app)
        # The message of the job that was in work is still there, and one may be there twice.
        assert len({request.message_id for request in queue.waiting()}) <= PLACES + 1
        await queue.deliver_all()

    assert set(await statuses(app, ids)) == {"succeeded"}
    assert len({str(told) for told in app.sender.results()}) == len(ids)


@pytest.mark.slow
async def test_jobs_that_wait_for_their_budget_give_their_places_back_to_a_bound(
    app: App, queue: ReasonerQueue
) -> None:
    ids = await accept_many(app)
    app.model.failures = [BudgetExceededError("Too much", retry_after=30.0) for _ in range(MOST_PLACED)]
    for _ in range(MOST_PLACED):
        await queue.deliver_next()
    waiting = [request for request in queue.waiting() if request.not_before is not None]

    assert (len(waiting), len(queue.waiting())) == (MOST_PLACED, MOST_PLACED)
    assert queue.order == ids[:MOST_PLACED]

    await queue.deliver_all()
    assert set(await statuses(app, ids)) == {"succeeded"}
    assert queue.most <= MOST_PLACED + 1


async def test_a_job_that_waits_for_a_person_takes_no_place(app: App, queue: ReasonerQueue) -> None:
    for number in range(PLACES):
        await app.accept(id=f"gated-{number}", text="Why?", needs_approval=True)
    for _ in range(PLACES):
        await queue.deliver_next()
    before = len(queue.waiting())

    await accept_many(app, PLACES + 1)
    assert len(queue.waiting()) == before + PLACES

    body = {"step": "reason", "approved": True, "comment": None}
    await app.client.call("approve_job", Call.of(body, headers=app.user, job_id="gated-0"))
    assert len(queue.waiting()) == before + PLACES  # it waits for a place, behind the one that came before
    for _ in range(PLACES + 2):
        await queue.deliver_next()
    assert queue.order[-2:] == [f"j{PLACES:02}", "gated-0"]


async def test_a_cancelled_job_gives_its_place_on(app: App, queue: ReasonerQueue) -> None:
    await accept_many(app, PLACES + 1)
    held = f"j{PLACES:02}"

    await app.client.call("cancel_job", Call({"job_id": f"j{PLACES - 1:02}"}, headers=app.user))

    assert queue.waiting()[-1].message_id == f"acme:{held}"


@pytest.mark.slow
async def test_a_job_that_is_asked_for_again_keeps_its_turn(app: App, queue: ReasonerQueue) -> None:
    ids = await accept_many(app)
    await accept_many(app)

    await queue.deliver_all()

    assert queue.order == ids


async def test_a_broker_that_is_down_when_a_place_is_given_on_fails_no_job_and_is_asked_again(
    app: App, queue: ReasonerQueue
) -> None:
    ids = await accept_many(app, PLACES + 1)
    for _ in range(PLACES - 1):
        await queue.deliver_next()
    results = len(app.sender.results())

    def stop_after_the_result() -> None:
        app.sender.is_down = len(app.sender.results()) > results

    app.sender.after_sending = stop_after_the_result
    await queue.deliver_next()
    app.sender.is_down, app.sender.after_sending = False, lambda: None
    assert await statuses(app, ids) == ["succeeded"] * PLACES + ["queued"]

    await sweep_later(app)
    await queue.deliver_all()
    assert await statuses(app, ids) == ["succeeded"] * (PLACES + 1)


async def test_who_sends_to_the_queue_takes_no_place(app: App, queue: ReasonerQueue) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=30.0) for _ in range(PLACES)]
    for number in range(PLACES):
        await app.deliver(message(id=f"direct-{number}"))
    before = len(queue.waiting())

    await accept_many(app, PLACES)

    assert len(queue.waiting()) == before + PLACES


def _kill_at(app: App, nth: int, when: str) -> None:
    """Let whoever asks die before or after the nth request from now on."""
    start, kills = app.cosmos.transport.requests, 1

    def kill(_: object) -> None:
        nonlocal kills
        if kills and app.cosmos.transport.requests == start + nth:
            kills -= 1
            app.die()

    setattr(app.cosmos.transport, "watch" if when == "before" else "watch_done", kill)


async def test_what_is_lost_with_a_tenants_suspension_takes_no_place_and_is_sent_again(
    app: App, queue: ReasonerQueue
) -> None:
    ids = await accept_many(app, PLACES)
    acme = app.authenticator.tenants.pop("acme")
    await queue.deliver_all()  # to the quarantine
    app.authenticator.tenants["acme"] = acme
    early = await accept_and_place(app, queue, "early")

    app.clock.advance(LOST_AFTER_SECONDS + 1)
    late = await accept_and_place(app, queue, "late")
    await sweep_later(app)
    await queue.deliver_all()

    assert (early, late) == (False, True)
    assert set(await statuses(app, [*ids, "early", "late"])) == {"succeeded"}


async def test_a_request_that_is_lost_each_time_is_sent_a_few_times_and_one_that_waits_is_not(
    app: App, queue: ReasonerQueue
) -> None:
    app.model.failures = [BudgetExceededError("Too much", retry_after=20 * LOST_AFTER_SECONDS)]
    await app.deliver(message(id="waits"))
    await app.accept(id="lost", text="Why?")

    for _ in range(3 * MOST_SENT_AGAIN):
        app.clock.advance(LOST_AFTER_SECONDS + 1)
        await app.sweep()

    sent = [json.loads(request.body)["id"] for request in queue.waiting()]
    assert (sent.count("waits"), sent.count("lost")) == (1, 1 + MOST_SENT_AGAIN)


async def accept_and_place(app: App, queue: ReasonerQueue, job_id: str) -> bool:
    """Accept a job; tell whether its request is on the queue."""
    await app.accept(id=job_id, text="Why?")
    return job_id in {json.loads(request.body)["id"] for request in queue.waiting()}
