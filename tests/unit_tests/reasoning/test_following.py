"""Following a job by server-sent events: each step and each status once, also over several connections."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from functions.reasoning.models import JobReply
from functions.reasoning.service import JobService
from shared.contracts import NOTHING_USED, ReasonerIn
from shared.http.streaming import StreamEvent
from shared.jobs.following import FOLLOW_SECONDS, SeenProgress
from shared.jobs.models import JobStep
from shared.webhooks.store import WebhookStore
from tests.support.fakes import Call, FakeClock
from tests.unit_tests.reasoning.app import ACME, HOLD_SECONDS, App, message

if TYPE_CHECKING:
    from tests.support.fakes import Answer

EVENTS = {"accept": "application/json;q=0.5, text/event-stream"}


async def follow(app: App, last_event_id: str | None = None, job_id: str = "j1") -> Answer:
    headers = app.user | EVENTS | ({} if last_event_id is None else {"last-event-id": last_event_id})
    return await app.client.call("get_job", Call({"job_id": job_id}, headers=headers))


def read_events(answer: Answer) -> list[tuple[str | None, str, Any]]:
    """Read the id, the name and the data of each event."""
    events = []
    for block in answer.body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return events


async def test_a_job_that_is_over_is_told_whole(app: App) -> None:
    await app.deliver(message())

    answer = await follow(app)

    events = read_events(answer)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert [name for _, name, _ in events] == ["step", "step", "status", "done"]
    assert [data["name"] for _, name, data in events if name == "step"] == ["reason", "summarise"]
    assert events[0][2]["text"] == "a sound answer"
    assert events[-1][2] == (await app.show("j1")).json()


async def test_a_stream_that_is_resumed_tells_only_what_came_after(app: App) -> None:
    await app.deliver(message())
    events = read_events(await follow(app))

    told = [
        [name for _, name, _ in read_events(await follow(app, event_id))]
        for event_id, name, _ in events
        if event_id is not None
    ]

    assert told == [["step", "status", "done"], ["status", "done"], ["done"]]


async def test_a_follower_whose_key_was_revoked_gets_no_further_event(app: App) -> None:
    await app.deliver(message())
    app.authenticator.checks_left = 1

    events = read_events(await follow(app))

    assert [name for _, name, _ in events] == ["step", "error"]
    assert events[-1][2]["error"] == "AuthenticationError"


class WorkingClock(FakeClock):
    """A clock on which work goes on while somebody sleeps."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await self.work(len(self.slept))

    async def work(self, sleeps: int) -> None:
        """Do what is to be done after so many sleeps."""


def service_of(app: App, clock: FakeClock) -> JobService:
    require = partial(app.models.require, ACME)
    webhooks = WebhookStore(ACME, app.cosmos.container("webhooks"))
    return JobService(ACME, app.jobs, app.outbox, app.inputs, webhooks, app.prompts, require, clock)


async def test_each_step_and_status_comes_while_the_job_is_worked_on(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    class Clock(WorkingClock):
        async def work(self, sleeps: int) -> None:
            if sleeps == 2:
                job = await app.jobs.claim(await app.jobs.read("j1"), "first", HOLD_SECONDS)
                step = JobStep(text="So.", usage=NOTHING_USED, number=1)
                await app.jobs.checkpoint(job, "reason", step, NOTHING_USED, HOLD_SECONDS)
            if sleeps == 4:
                app.clock.advance(HOLD_SECONDS)
                await app.deliver(message())

    clock = Clock()
    given = [one async for one in service_of(app, clock).follow("j1", None)]

    events = [(one.name, json.loads(one.data)) for one in given if isinstance(one, StreamEvent)]
    assert [(name, data.get("status") or data.get("name")) for name, data in events] == [
        ("status", "queued"),
        ("step", "reason"),
        ("status", "running"),
        ("step", "summarise"),
        ("status", "succeeded"),
    ]
    assert isinstance(given[-1], JobReply)
    assert (given[-1].status, clock.slept) == ("succeeded", [1, 2, 1, 2])


async def test_a_follower_is_let_go_in_time_with_the_job_as_it_stands(app: App) -> None:
    await app.accept(id="j1", text="Why?")
    clock, start = FakeClock(), app.cosmos.transport.requests

    first, last = [one async for one in service_of(app, clock).follow("j1", None)]

    assert isinstance(first, StreamEvent)
    assert isinstance(last, JobReply)
    assert (first.name, last.status) == ("status", "queued")
    assert FOLLOW_SECONDS <= sum(clock.slept) < FOLLOW_SECONDS + 5
    assert app.cosmos.transport.requests - start < 40
    [again] = [one async for one in service_of(app, FakeClock()).follow("j1", first.event_id)]
    assert again == last


async def test_who_does_not_ask_for_events_gets_the_job(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    for accept in ("application/json", "*/*", "text/event-streams"):
        headers = app.user | {"accept": accept}
        answer = await app.client.call("get_job", Call({"job_id": "j1"}, headers=headers))
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("event_id", ["x", "1", "1.xyz", "-1.00000000", "99999.00000000", "1.00000000 "])
async def test_the_id_of_no_event_is_refused_by_name(app: App, event_id: str) -> None:
    await app.accept(id="j1", text="Why?")

    refused = await follow(app, event_id)

    assert refused.status == 422
    assert list(refused.json()["detail"]["fields"]) == ["header.last-event-id"]


async def test_a_stranger_follows_nothing(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    answer = await app.client.call("get_job", Call({"job_id": "j1"}, headers=app.stranger | EVENTS))

    assert answer.status == 404


async def test_an_events_id_is_read_as_it_was_written(app: App) -> None:
    job, _ = await app.jobs.create(ReasonerIn.model_validate(message()), None)

    for seen in (SeenProgress(), SeenProgress(3), SeenProgress.of(job)):
        assert SeenProgress.parse(str(seen)) == seen
