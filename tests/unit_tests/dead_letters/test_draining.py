"""Dead letters whose body no host hands to a function: taken off their queue, and kept with their reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.errors import DependencyUnavailableError
from tests.unit_tests.dead_letters.links import DeadLetterLinks, FakeDeadLetter

if TYPE_CHECKING:
    from tests.unit_tests.dead_letters.app import DeadLetterApp


def _open(app: DeadLetterApp, **letters: list[FakeDeadLetter]) -> DeadLetterLinks:
    queues = {"jobs": "reasoner-in", "feedback": "feedback-form-in", "responses": "responses-in"}
    links = DeadLetterLinks({queues[name]: found for name, found in letters.items()})
    app.app.runtime.__dict__["open_dead_letters"] = links.open
    return links


@pytest.mark.parametrize(
    ("name", "queue"),
    [("jobs", "reasoner-in"), ("feedback", "feedback-form-in"), ("responses", "responses-in")],
)
async def test_a_body_that_no_function_is_given_is_kept_and_settled_and_others_are_given_back(
    app: DeadLetterApp, name: str, queue: str
) -> None:
    body = b'{"tenant_id": "acme", "id": "j1", "text": 7}'
    letters = [FakeDeadLetter(body, "odd", is_unbound=True), FakeDeadLetter(b"{}", "even")]
    links = _open(app, **{name: letters})

    await app.app.tick("drain_dead_letters")

    [kept] = await app.listed()
    assert (kept["queue"], kept["message_id"], kept["job_id"]) == (queue, "odd", "j1")
    assert (kept["reason"], kept["tenant_id"]) == ("UnboundBodyError", "acme")
    assert links.settled == [("odd", "complete"), ("even", "abandon")]


async def test_a_map_that_is_a_job_is_replayed_as_data(app: DeadLetterApp) -> None:
    body = b'{"tenant_id": "acme", "id": "j1", "text": "Why?"}'
    _open(app, jobs=[FakeDeadLetter(body, "odd", session_id="s", is_unbound=True)])
    await app.app.tick("drain_dead_letters")
    [kept] = await app.listed()

    assert (await app.replay(kept["id"])).status == 200
    [message] = app.broker.on("reasoner-in")
    assert (message.body, message.session_id) == (body, "s")


async def test_as_many_are_moved_as_there_are_however_few_come_at_once(app: DeadLetterApp) -> None:
    links = _open(app, feedback=[FakeDeadLetter(b"7", f"m{number}", is_unbound=True) for number in range(3)])
    links.at_once = 1

    await app.app.tick("drain_dead_letters")

    assert links.settled == [("m0", "complete"), ("m1", "complete"), ("m2", "complete")]
    assert len(await app.listed(headers=app.app.admin)) == 3


async def test_what_names_nobody_is_the_platforms(app: DeadLetterApp) -> None:
    _open(app, jobs=[FakeDeadLetter(b'"00000000-0000-0000-0000-000000000007"', "odd", is_unbound=True)])

    await app.app.tick("drain_dead_letters")

    [kept] = await app.listed(headers=app.app.admin)
    assert (kept["reason"], kept["tenant_id"], kept["message_id"]) == ("UnboundBodyError", None, "odd")


async def test_what_a_function_is_given_is_only_looked_at(app: DeadLetterApp) -> None:
    links = _open(app, jobs=[FakeDeadLetter(b"{}")])

    await app.app.tick("drain_dead_letters")

    assert (links.taken, links.settled) == (0, [])
    assert await app.listed(headers=app.app.admin) == []


async def test_what_the_quarantine_does_not_take_stays_a_dead_letter(app: DeadLetterApp) -> None:
    links = _open(app, jobs=[FakeDeadLetter(b"7", "odd", is_unbound=True)])

    class NoQuarantine:
        async def put(self, *_: object) -> object:
            raise DependencyUnavailableError("Cosmos DB")

    app.app.runtime.__dict__["quarantine"] = NoQuarantine()
    with pytest.raises(DependencyUnavailableError):
        await app.app.tick("drain_dead_letters")

    assert links.settled == []
