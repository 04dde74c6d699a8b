"""Responses that are made in the background: polled, followed, cancelled, through their workers' deaths."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.openai.responses.background import request_message
from functions.chat.openai.responses.errors import (
    PreviousResponseError,
    ResponseNotCancellableError,
    ResponseNotFollowedError,
    ResponseNotFoundError,
)
from functions.chat.openai.responses.rendering import LONGEST_QUEUED_SECONDS
from shared.contracts import ResponsesIn
from shared.errors import BudgetExceededError, DependencyUnavailableError, ValidationError
from shared.llm.chat_model import ModelNotFoundError
from tests.support.fakes import StillClock, tenant_context, user_context
from tests.unit_tests.responses.desk import QUEUE, Desk, request
from tests.unit_tests.responses.fake_chat import answer

if TYPE_CHECKING:
    from shared.errors import JsonValue
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

WORDS = answer("one two three")


@pytest.fixture
def desk(cosmos: MemoryCosmos, clock: FakeClock) -> Desk:
    return Desk(cosmos, clock)


def message(response_id: str) -> ResponsesIn:
    return ResponsesIn(tenant_id="acme", id=response_id)


async def test_a_response_is_queued_at_once_and_made_when_its_message_comes(desk: Desk) -> None:
    accepted = await desk.accept("one", metadata={"a": "b"})

    assert (accepted.status, accepted.background, desk.chat.paid) == ("queued", True, 0)
    await desk.deliver()
    made = await desk.stored().read(accepted.id)
    assert (made.status, made.usage and made.usage["total_tokens"]) == ("completed", 10)
    assert made.metadata == {"a": "b"}
    assert desk.broker.sent == []


async def test_one_that_was_made_in_the_background_can_be_gone_on_with(desk: Desk) -> None:
    first = await desk.accept("one")
    with pytest.raises(PreviousResponseError, match="queued"):
        await desk.ask("two", previous_response_id=first.id)
    await desk.deliver()

    second = await desk.accept("two", previous_response_id=first.id)
    await desk.deliver()

    messages: Any = desk.chat.asked[-1]["messages"]
    assert [one["content"] for one in messages] == ["one", "Hello!", "two"]
    assert (await desk.stored().read(second.id)).status == "completed"


async def test_a_message_that_comes_twice_is_paid_once(desk: Desk) -> None:
    accepted = await desk.accept()

    for _ in range(2):
        await desk.worker().work(message(accepted.id))

    assert desk.chat.paid == 1


async def test_what_the_tenant_may_not_use_is_refused_before_anything_is_stored(desk: Desk) -> None:
    with pytest.raises(ModelNotFoundError):
        await desk.accept(model="gpt-9")
    with pytest.raises(PreviousResponseError):
        await desk.accept(previous_response_id="resp_" + 48 * "a")

    assert not desk.cosmos.rows()


async def test_a_request_that_is_repeated_is_one_response(desk: Desk) -> None:
    asked = request(background=True, stream=True)

    made = [await desk.background().accept(asked, 32 * "a") for _ in range(2)]
    await desk.deliver()
    again = await desk.background().accept(asked, 32 * "a")

    assert made[0].id == made[1].id == again.id
    assert (again.status, desk.chat.paid) == ("completed", 1)


async def test_what_the_budget_does_not_admit_comes_back_at_its_time(desk: Desk) -> None:
    accepted = await desk.accept()
    desk.chat.answers = [BudgetExceededError("Not now", retry_after=30.0), answer()]

    await desk.deliver()

    [sent] = desk.broker.on(QUEUE)
    assert sent.not_before is not None
    assert (await desk.stored().read(accepted.id)).status == "queued"
    desk.clock.advance(60)
    await desk.deliver()
    assert (await desk.stored().read(accepted.id)).status == "completed"


async def test_what_waits_for_the_budget_for_too_long_has_failed_with_its_words(desk: Desk) -> None:
    accepted = await desk.accept()
    desk.chat.answers = [BudgetExceededError("Not now", retry_after=26 * 3600.0)]

    await desk.deliver()

    made = await desk.stored().read(accepted.id)
    assert made.status == "failed"
    assert made.error == {
        "code": "rate_limit_exceeded",
        "message": "Not now (the longest wait is 25 hours)",
    }


async def test_what_may_pass_is_tried_again_and_what_will_not_has_failed(desk: Desk) -> None:
    accepted = await desk.accept()
    desk.chat.answers = [DependencyUnavailableError("The model"), ValidationError("The prompt is refused")]

    with pytest.raises(DependencyUnavailableError):
        await desk.worker().work(message(accepted.id))
    assert (await desk.stored().read(accepted.id)).status == "in_progress"
    await desk.worker().work(message(accepted.id))

    made = await desk.stored().read(accepted.id)
    assert made.error == {"code": "server_error", "message": "The prompt is refused"}


async def test_a_message_without_a_delivery_left_fails_its_response(desk: Desk) -> None:
    accepted = await desk.accept()
    desk.chat.answers = [DependencyUnavailableError("The model")]
    with pytest.raises(DependencyUnavailableError):
        await desk.worker().work(message(accepted.id))

    for _ in range(2):
        await desk.worker().give_up(message(accepted.id))

    made = await desk.stored().read(accepted.id)
    assert made.status == "failed"
    assert str((made.error or {})["message"]).startswith("No delivery is left. At the last: Dependency")


async def test_one_that_has_failed_is_made_when_its_message_is_replayed(desk: Desk) -> None:
    accepted = await desk.accept()
    desk.broker.sent = []
    await desk.worker().give_up(message(accepted.id))
    jobs = desk.worker().jobs
    job = await jobs.reopen(await jobs.read(accepted.id), request_message(message(accepted.id)))
    await desk.worker().outbox.send(job)

    await desk.deliver()

    made = await desk.stored().read(accepted.id)
    assert (made.status, made.error) == ("completed", None)


async def test_one_that_is_cancelled_before_its_turn_is_never_paid(desk: Desk) -> None:
    accepted = await desk.accept()

    cancelled = [await desk.background().cancel(accepted.id) for _ in range(2)]
    await desk.deliver()

    assert {one.status for one in cancelled} == {"cancelled"}
    assert (await desk.stored().read(accepted.id)).status == "cancelled"
    assert desk.chat.paid == 0


@pytest.mark.parametrize("streams", [False, True])
async def test_one_that_is_cancelled_in_work_stops_the_model(desk: Desk, *, streams: bool) -> None:
    accepted = await desk.accept(stream=streams)
    desk.chat.answers, desk.chat.hangs = [WORDS], True
    working = asyncio.create_task(desk.deliver())
    await desk.chat.reached.wait()

    await desk.background().cancel(accepted.id)
    await working

    assert desk.chat.left == 1
    made = await desk.stored().read(accepted.id)
    assert (made.status, made.output) == ("cancelled", [])
    if streams:
        told = await desk.follow(accepted.id)
        assert told[-1]["type"] == "response.failed"
        assert [event["sequence_number"] for event in told] == list(range(len(told)))


async def test_only_what_is_made_in_the_background_and_not_over_is_cancelled(desk: Desk) -> None:
    foreground = await desk.ask()
    done = await desk.accept()
    await desk.deliver()

    for made, told in ((foreground, "not made in the background"), (done, "is over: completed")):
        with pytest.raises(ResponseNotCancellableError, match=told):
            await desk.background().cancel(made.id)


async def test_a_follower_is_given_openais_events_in_their_order(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    desk.chat.answers = [WORDS]
    await desk.deliver()

    events = await desk.follow(accepted.id)

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [str(event["type"]).removeprefix("response.") for event in events]
    assert kinds[:3] == ["created", "queued", "in_progress"]
    assert kinds.count("output_text.delta") == 3
    assert kinds[-1] == "completed"
    assert events[-1]["response"] == (await desk.stored().read(accepted.id)).model_dump(mode="json")


async def test_a_follower_goes_on_after_the_number_that_it_has(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    desk.chat.answers = [WORDS]
    await desk.deliver()
    whole = await desk.follow(accepted.id)

    for after in range(-1, len(whole) - 1):
        assert await desk.follow(accepted.id, after) == whole[after + 1 :]


async def test_a_character_that_comes_in_halves_is_told_and_stored_whole(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    desk.chat.answers = [answer("a\ud83d \ude00b \ud83d")]  # the fake's parts are words, with a blank each

    await desk.deliver()

    made: Any = await desk.stored().read(accepted.id)
    events: Any = await desk.follow(accepted.id)
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert made.status == "completed"
    assert "".join(deltas) == made.output[0]["content"][0]["text"]


@pytest.mark.parametrize("beyond", [0, 1, 1_000_000])
async def test_a_follower_that_has_the_last_event_is_given_no_other(desk: Desk, beyond: int) -> None:
    accepted = await desk.accept(stream=True)
    await desk.deliver()
    whole = await desk.follow(accepted.id)

    assert await desk.follow(accepted.id, len(whole) - 1 + beyond) == []


async def test_a_large_answer_is_stored_and_told_whole(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    desk.chat.answers = [answer(700_000 * "x")]

    await desk.deliver()

    made = await desk.stored().read(accepted.id)
    events = await desk.follow(accepted.id)
    assert made.status == "completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] == made.model_dump(mode="json")


async def test_a_follower_is_told_what_is_stored_where_that_is_cancelled_at_the_last(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)

    async def cancel_before_the_end() -> None:
        if desk.chat.paid and not cancelled:
            cancelled.append(accepted.id)
            await desk.background().cancel(accepted.id)

    cancelled: list[str] = []
    desk.chat.at_end = cancel_before_the_end
    await desk.deliver()

    assert cancelled
    assert (await desk.stored().read(accepted.id)).status == "cancelled"
    assert (await desk.follow(accepted.id))[-1]["type"] == "response.failed"


async def test_events_reach_a_follower_while_the_model_still_answers(cosmos: MemoryCosmos) -> None:
    clock = StillClock()
    desk = Desk(cosmos, clock)
    accepted = await desk.accept(stream=True)
    desk.chat.answers, desk.chat.hangs = [WORDS], True
    working = asyncio.create_task(desk.deliver())
    await desk.chat.reached.wait()
    events = desk.background().follow(accepted.id)
    seen: list[Any] = [(await anext(events))["type"] for _ in range(2)]
    waiting = asyncio.ensure_future(anext(events))

    while not waiting.done():
        await clock.move(1.0)

    seen.append((await waiting)["type"])
    assert seen == ["response.created", "response.queued", "response.in_progress"]
    await events.aclose()
    working.cancel()
    await asyncio.wait([working])


async def test_only_one_that_is_made_in_the_background_as_a_stream_is_followed(desk: Desk) -> None:
    for made in (await desk.ask(), await desk.accept()):
        with pytest.raises(ResponseNotFollowedError):
            await desk.follow(made.id)


async def test_a_stream_that_broke_off_after_a_part_was_told_has_failed(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    desk.chat.answers = [WORDS]
    desk.chat.breaks_after = (2, DependencyUnavailableError("The model"))

    await desk.deliver()

    assert (await desk.stored().read(accepted.id)).status == "failed"
    events = await desk.follow(accepted.id)
    assert events[-1]["type"] == "response.failed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@pytest.mark.parametrize("streams", [False, True])
async def test_a_worker_that_dies_leaves_what_it_has_not_told_to_the_next_one(
    cosmos: MemoryCosmos, *, streams: bool
) -> None:
    clock = StillClock()
    desk = Desk(cosmos, clock)
    accepted = await desk.accept(stream=streams)
    desk.chat.answers, desk.chat.hangs = [WORDS], True
    dying = asyncio.create_task(desk.worker().work(message(accepted.id)))
    await desk.chat.reached.wait()
    cosmos.transport.fault = _ask_nothing
    dying.cancel()
    await asyncio.wait([dying])
    cosmos.transport.fault = None
    clock.advance(76)
    desk.chat.hangs = False

    await desk.worker().work(message(accepted.id))

    assert (await desk.stored().read(accepted.id)).status == "completed"
    if streams:
        numbers = [event["sequence_number"] for event in await desk.follow(accepted.id)]
        assert numbers == list(range(len(numbers)))


async def _ask_nothing() -> None:
    raise DependencyUnavailableError("The store")


async def test_a_worker_that_dies_in_the_midst_of_a_told_stream_leaves_a_failure(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    item = await desk.own.responses.read(accepted.id)
    told: list[JsonValue] = [{"type": "response.in_progress", "sequence_number": 2}]
    await desk.own.responses.add_events(item, told, 2)

    await desk.deliver()

    made = await desk.stored().read(accepted.id)
    assert (made.status, desk.chat.paid) == ("failed", 0)


async def test_a_follower_is_let_go_when_its_time_is_over(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)

    events = await desk.follow(accepted.id)

    assert [event["type"] for event in events] == ["response.created", "response.queued"]
    assert desk.clock.monotonic() >= 170


async def test_one_that_was_never_begun_has_failed_in_the_end(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    desk.clock.advance(LONGEST_QUEUED_SECONDS + 1)

    assert (await desk.stored().read(accepted.id)).status == "failed"
    assert (await desk.follow(accepted.id))[-1]["type"] == "response.failed"


async def test_a_deleted_one_ends_its_job_and_leaves_no_event(desk: Desk) -> None:
    accepted = await desk.accept(stream=True)
    await desk.background().cancel(accepted.id)
    await desk.stored().delete(accepted.id)

    await desk.deliver()

    assert desk.chat.paid == 0
    kinds = [json.loads(body).get("kind") for _, _, body in desk.cosmos.rows()]
    assert "events" not in kinds


async def test_a_user_cancels_and_follows_its_own_alone(desk: Desk) -> None:
    bob, eve = desk.background(user_context("bob")), desk.background(user_context("eve"))
    made = await bob.accept(request(background=True, stream=True))

    for stranger in (eve, desk.background(tenant_context("globex"))):
        with pytest.raises(ResponseNotFoundError):
            await stranger.cancel(made.id)
        with pytest.raises(ResponseNotFoundError):
            await anext(stranger.follow(made.id))
    await desk.deliver()
    assert desk.chat.asked[-1]["user"] == "bob"
    assert (await desk.stored(user_context("bob")).read(made.id)).status == "completed"
