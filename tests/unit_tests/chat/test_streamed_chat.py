"""A streamed turn comes word by word, is stored once, and ends with its client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.models import ChatRequest
from shared.contracts import NOTHING_USED
from shared.errors import BudgetExceededError, DependencyTimeoutError
from shared.http.streaming import HEARTBEAT_SECONDS
from shared.llm.chat_model import (
    DeclinedAnswerError,
    FilteredAnswerError,
    ModelOutageError,
    PromptTooLongError,
    TruncatedAnswerError,
)
from tests.support.events import read_events
from tests.support.fakes import Call, StillClock
from tests.unit_tests.chat.app import USAGE, App
from tests.unit_tests.chat.test_chat import service

if TYPE_CHECKING:
    from tests.support.fakes import StreamReader
    from tests.support.memory_cosmos import MemoryCosmos


@pytest.fixture
async def app(cosmos: MemoryCosmos) -> App:
    app = App(cosmos, StillClock())
    assert (await app.save_bot()).status == 200
    return app


def asking(app: App, message: str = "hi", *, key: str | None = None, **body: object) -> Call:
    sent = {"message": message, "conversation_id": "c", "stream": True} | body
    named = {} if key is None else {"idempotency-key": key}
    return Call.of(sent, headers=app.user | named, bot_id="b")


async def begin(app: App, message: str = "hi") -> StreamReader:
    return await app.client.stream("chat", asking(app, message))


def still(app: App) -> StillClock:
    assert isinstance(app.clock, StillClock)
    return app.clock


async def states(app: App) -> list[tuple[int, str]]:
    return [(number, state) for number, state, _, _ in await app.turns()]


async def used(app: App) -> list[dict[str, int]]:
    """Read what each turn tells that it used."""
    shown = (await app.on_conversation()).json()
    return [turn["usage"] for turn in shown["items"]]


async def test_an_answer_comes_in_parts_and_ends_with_the_fields_of_a_plain_one(app: App) -> None:
    streamed = read_events((await app.client.call("chat", asking(app, "one"))).body)
    plain = (await app.chat("two")).json()

    assert streamed[:-1] == [("token", {"text": "answer "}), ("token", {"text": "1"})]
    name, done = streamed[-1]
    assert name == "done"
    assert (done["response"], done["turn"], done["usage"]) == ("answer 1", 1, USAGE.model_dump())
    assert set(done) == set(plain)
    assert [(number, response) for number, _, _, response in await app.turns()] == [
        (1, "answer 1"),
        (2, "answer 2"),
    ]
    assert app.model.said[1:3] == [("user", "one"), ("assistant", "answer 1")]


async def test_a_turn_is_reserved_before_the_model_is_asked_and_stored_before_its_last_event(
    app: App,
) -> None:
    async def look() -> None:
        seen.append(await states(app))

    seen: list[object] = []
    app.model.before_answering = look
    async with await begin(app) as reader:
        while b"event: done" not in await reader.piece():
            continue
        seen.append(await states(app))

    assert seen == [[(1, "pending")], [(1, "done")]]


async def test_a_turn_of_a_conversation_that_streams_waits_and_is_then_refused(app: App) -> None:
    app.model.before_ending = asyncio.Event().wait
    async with await begin(app) as reader:
        await reader.piece()
        refused = asyncio.create_task(app.chat("two"))
        while not refused.done():
            await still(app).move(0.2)
        assert (await refused).status == 409


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ModelOutageError("The model"), 503),
        (BudgetExceededError("not now", retry_after=7), 429),
        (FilteredAnswerError(USAGE), 422),
        (PromptTooLongError("long"), 422),
        (RuntimeError("a defect"), 500),
    ],
)
async def test_what_fails_before_the_first_part_is_answered_as_a_plain_turn_is(
    app: App, failure: Exception, status: int
) -> None:
    app.model.failure = failure
    refused = await app.client.call("chat", asking(app))

    assert (refused.status, refused.headers["content-type"]) == (status, "application/json")
    assert await states(app) == [(1, "failed")]


async def test_a_bot_that_is_not_there_is_a_404(app: App) -> None:
    call = Call.of({"message": "hi", "stream": True}, headers=app.user, bot_id="gone")
    assert (await app.client.call("chat", call)).status == 404


@pytest.mark.parametrize(
    "failure",
    [TruncatedAnswerError("broke off", None), FilteredAnswerError(USAGE), DeclinedAnswerError(USAGE)],
)
async def test_what_fails_between_two_parts_is_the_last_event_and_fails_the_turn(
    app: App, failure: Exception
) -> None:
    app.model.late_failure = failure
    answer = await app.client.call("chat", asking(app))
    app.model.late_failure = None

    *parts, (name, error) = read_events(answer.body)
    assert (answer.status, name, error["error"]) == (200, "error", type(failure).__name__)
    assert [name for name, _ in parts] == ["token", "token"]
    assert await states(app) == [(1, "failed")]
    assert await used(app) == [USAGE.model_dump()]
    assert (await app.chat("again")).status == 200


@pytest.mark.parametrize("waits", ["before_answering", "before_ending"])
async def test_a_client_that_leaves_stops_the_model_and_frees_the_conversation(app: App, waits: str) -> None:
    setattr(app.model, waits, asyncio.Event().wait)
    opening = asyncio.create_task(begin(app))
    await app.model.asked.wait()
    if waits == "before_answering":
        await still(app).move(HEARTBEAT_SECONDS)
    async with await opening as reader:
        await reader.piece()

    assert app.model.closed == 1
    assert await states(app) == [(1, "failed")]
    came = NOTHING_USED if waits == "before_answering" else USAGE
    assert await used(app) == [came.model_dump()]
    app.model.before_answering = app.model.before_ending = None
    assert (await app.chat("two")).json()["turn"] == 2


async def test_a_client_that_leaves_while_its_answer_is_stored_finds_it_there(app: App) -> None:
    async def leave() -> None:
        asyncio.get_running_loop().call_soon(reading.cancel)

    async def read() -> list[object]:
        return [
            part async for part in service(app).stream("b", ChatRequest(message="hi", conversation_id="c"))
        ]

    app.model.before_ending = leave
    reading = asyncio.create_task(read())
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await app.turns() == [(1, "done", "hi", "answer 1")]


@pytest.mark.parametrize("waits", ["before_answering", "before_ending"])
async def test_a_model_that_takes_too_long_fails_the_turn(app: App, waits: str) -> None:
    setattr(app.model, waits, asyncio.Event().wait)
    request = ChatRequest(message="hi", conversation_id="c")
    with pytest.raises(DependencyTimeoutError):
        async for _ in service(app, answer_seconds=0.01).stream("b", request):
            pass
    assert await app.turns() == [(1, "failed", "hi", None)]
    assert app.model.closed == 1


async def test_a_stream_that_is_asked_for_again_is_given_as_its_end_and_not_paid_twice(app: App) -> None:
    first = read_events((await app.client.call("chat", asking(app, key="k"))).body)
    again = read_events((await app.client.call("chat", asking(app, key="k"))).body)

    assert again == first[-1:]
    assert len(app.model.prompts) == 1


async def test_a_stream_whose_worker_died_is_given_as_its_end_and_not_paid_twice(app: App) -> None:
    """Nothing is kept under the key; the turn itself knows the operation that it was for."""
    request = ChatRequest(message="hi", conversation_id="c", stream=True)
    first = [part async for part in service(app).stream("b", request, "operation")]
    again = [part async for part in service(app).stream("b", request, "operation")]

    assert again == first[-1:]
    assert len(app.model.prompts) == 1
