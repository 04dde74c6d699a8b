"""Responses as their callers make, read and remove them."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.openai.responses.errors import (
    OperationReusedError,
    PreviousResponseError,
    ReferencedItemError,
    ResponseNotFoundError,
)
from functions.chat.openai.responses.models import InputItemPageQuery
from functions.chat.openai.responses.rendering import render_response
from functions.chat.openai.responses.service import WORK_SECONDS
from shared.errors import (
    BudgetExceededError,
    ConflictError,
    DependencyUnavailableError,
    PermissionDeniedError,
)
from tests.support.fakes import tenant_context, user_context
from tests.unit_tests.responses.desk import Desk, request
from tests.unit_tests.responses.fake_chat import answer

if TYPE_CHECKING:
    from functions.chat.openai.responses.models import InputItemPageReply
    from functions.chat.openai.responses.response_builder import ResponseEvent
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

CALLS = [{"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
OPERATION = 32 * "a"
TOOL: dict[str, Any] = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}


def told(desk: Desk) -> list[tuple[Any, Any]]:
    """Return who was said to have said what, in the last request to the model."""
    messages: Any = desk.chat.asked[-1]["messages"]
    return [(message["role"], message.get("content")) for message in messages]


@pytest.fixture
def desk(cosmos: MemoryCosmos, clock: FakeClock) -> Desk:
    return Desk(cosmos, clock)


async def test_a_response_is_stored_as_it_is_answered(desk: Desk) -> None:
    made = await desk.ask(instructions="Be brief.", metadata={"a": "b"})

    assert (made.status, made.usage and made.usage["total_tokens"]) == ("completed", 10)
    assert await desk.stored().read(made.id) == made


async def test_a_response_goes_on_with_the_one_before_it(desk: Desk) -> None:
    first = await desk.ask("one", instructions="Be brief.")

    second = await desk.ask("two", previous_response_id=first.id, instructions="Be kind.")
    await desk.ask("three", previous_response_id=second.id)

    assert told(desk) == [
        ("user", "one"),
        ("assistant", "Hello!"),
        ("user", "two"),
        ("assistant", "Hello!"),
        ("user", "three"),
    ]
    assert second.previous_response_id == first.id


async def test_a_functions_output_goes_on_with_its_call(desk: Desk) -> None:
    desk.chat.answers = [answer("", "tool_calls", tool_calls=CALLS), answer("It is sunny.")]
    first = await desk.ask("How is the weather?", tools=[{"type": "function", "name": "look_up"}])

    output = [{"type": "function_call_output", "call_id": "c1", "output": "sunny"}]
    second = await desk.ask(output, previous_response_id=first.id)

    assert told(desk) == [("user", "How is the weather?"), ("assistant", None), ("tool", "sunny")]
    assert second.output[0]["content"][0]["text"] == "It is sunny."


async def test_a_response_that_is_not_stored_leaves_nothing(desk: Desk) -> None:
    before = desk.cosmos.rows()

    made = await desk.ask(store=False)

    assert (made.status, made.store) == ("completed", False)
    assert desk.cosmos.rows() == before
    with pytest.raises(ResponseNotFoundError):
        await desk.stored().read(made.id)


async def test_a_response_that_is_not_there_or_has_no_answer_cannot_be_gone_on_with(desk: Desk) -> None:
    with pytest.raises(PreviousResponseError, match="not found") as refused:
        await desk.ask(previous_response_id="resp_" + 48 * "a")
    assert refused.value.detail["code"] == "previous_response_not_found"
    desk.chat.answers = [answer("two words")]
    desk.chat.breaks_after = (1, DependencyUnavailableError("The model"))
    with pytest.raises(DependencyUnavailableError):
        await desk.stream()

    failed = await find_only(desk)
    with pytest.raises(PreviousResponseError, match="failed"):
        await desk.ask(previous_response_id=failed)


async def find_only(desk: Desk) -> str:
    """Return the id of the only stored response."""
    rows = [
        json.loads(body)
        for _, _, body in desk.cosmos.rows()
        if b'"kind":"response"' in body.replace(b" ", b"")
    ]
    assert len(rows) == 1
    return f"resp_{rows[0]['conversation_id']}{rows[0]['branch']}{rows[0]['depth']:08x}"


@pytest.mark.parametrize("streams", [False, True])
async def test_a_response_that_was_refused_leaves_nothing(desk: Desk, *, streams: bool) -> None:
    first = await desk.ask("one")
    desk.chat.answers = [BudgetExceededError("Not now", retry_after=3)]
    before = [row[:2] for row in desk.cosmos.rows()]

    with pytest.raises(BudgetExceededError):
        await (desk.stream if streams else desk.ask)("two", previous_response_id=first.id)

    assert [row[:2] for row in desk.cosmos.rows()] == before


async def test_a_stream_ends_with_what_is_stored(desk: Desk) -> None:
    events = await desk.stream("hello")

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    response: Any = events[-1].fields["response"]
    assert (await desk.stored().read(response["id"])).model_dump(mode="json") == response


@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_is_too_large_to_be_stored_is_told_as_the_failure_that_is_stored(
    desk: Desk, *, streams: bool
) -> None:
    desk.chat.answers = [answer("x" * 2_200_000)]

    events = await desk.stream() if streams else []
    made: Any = events[-1].fields["response"] if streams else (await desk.ask()).model_dump(mode="json")

    assert (made["status"], made["error"]["code"], made["output"]) == ("failed", "server_error", [])
    assert (await desk.stored().read(made["id"])).model_dump(mode="json") == made
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events if event.type.startswith("response.comp")] == []


async def test_an_answer_of_any_size_is_told_where_nothing_is_stored(desk: Desk) -> None:
    desk.chat.answers = [answer("x" * 2_200_000)]

    assert (await desk.ask(store=False)).status == "completed"


async def test_a_stored_request_is_shown_as_it_is_and_not_judged_again(desk: Desk) -> None:
    made = await desk.ask(tools=[TOOL], tool_choice="auto")
    item = await desk.own.responses.read(made.id)
    older = item.model_copy(update={"request": item.request | {"tools": [TOOL | {"name": "n" * 65}]}})

    shown = render_response(older, desk.clock)

    assert shown.tools == [TOOL | {"name": "n" * 65, "description": None, "strict": None}]
    assert shown.model_copy(update={"tools": made.tools}) == made


async def test_a_stream_that_breaks_tells_so_and_ends_with_the_error(desk: Desk) -> None:
    desk.chat.answers = [answer("two words")]
    desk.chat.breaks_after = (1, DependencyUnavailableError("The model", "broke its answer off"))
    events: list[ResponseEvent] = []

    async def read() -> None:
        async for event in desk.own.stream(request()):
            events.append(event)  # noqa: PERF401  # they are there although it raises

    with pytest.raises(DependencyUnavailableError):
        await read()

    assert events[-1].type == "response.failed"
    assert (await desk.stored().read(await find_only(desk))).status == "failed"


async def test_who_leaves_a_stream_stops_the_model(desk: Desk) -> None:
    desk.chat.answers = [answer("two words")]
    desk.chat.hangs = True

    async def read() -> None:
        async with aclosing(desk.own.stream(request())) as events:
            async for _ in events:
                pass

    reading = asyncio.create_task(read())
    await desk.chat.reached.wait()
    reading.cancel()
    await asyncio.wait([reading])

    assert desk.chat.left == 1
    assert (await desk.stored().read(await find_only(desk))).status == "failed"


async def test_what_was_answered_under_an_operation_is_not_paid_again(desk: Desk) -> None:
    first = await desk.ask(operation_id=OPERATION)

    again = await desk.ask(operation_id=OPERATION)
    repeated = [event async for event in desk.own.stream(request(), OPERATION)]

    assert again == first
    assert desk.chat.paid == 1
    assert [event.type for event in repeated] == ["response.created", "response.completed"]


@pytest.mark.parametrize("changes", [{"text": "other"}, {"temperature": 0.5}])
async def test_an_operation_that_was_another_request_is_not_answered_with_its_response(
    desk: Desk, changes: dict[str, Any]
) -> None:
    first = await desk.ask(operation_id=OPERATION)

    with pytest.raises(OperationReusedError):
        await desk.ask(operation_id=OPERATION, **changes)

    assert await desk.ask(operation_id=OPERATION) == first
    assert desk.chat.paid == 1


async def test_what_a_worker_died_over_is_begun_anew_under_its_operation(desk: Desk) -> None:
    desk.chat.hangs = True
    dying = asyncio.create_task(desk.ask(operation_id=OPERATION))
    await desk.chat.reached.wait()
    shown = await desk.stored().read(await find_only(desk))
    assert shown.status == "in_progress"
    desk.clock.advance(WORK_SECONDS)
    assert (await desk.stored().read(shown.id)).status == "failed"

    desk.chat.hangs = False
    made = await desk.ask(operation_id=OPERATION)

    assert (made.id, made.status) == (shown.id, "completed")
    dying.cancel()
    await asyncio.wait([dying])


async def test_references_stand_for_items_of_responses_before(desk: Desk) -> None:
    first = await desk.ask("one")
    item: Any = first.output[0]
    given = (await desk.stored().list_input_items(first.id, InputItemPageQuery())).data
    asked: Any = given[0]

    references = [{"type": "item_reference", "id": asked["id"]}, {"id": item["id"]}]
    await desk.ask([*references, {"role": "user", "content": "two"}], store=False)

    assert told(desk) == [("user", "one"), ("assistant", "Hello!"), ("user", "two")]


@pytest.mark.parametrize("kind", ["unknown", "malformed", "foreign", "beyond"])
async def test_a_reference_to_what_is_not_there_is_refused_by_its_place(desk: Desk, kind: str) -> None:
    first = await desk.of(tenant_context("globex")).create(request("one"))
    own = await desk.ask("mine")
    ids: dict[str, Any] = {
        "unknown": "msg_o" + 48 * "a" + "0",
        "malformed": "msg_1",
        "foreign": first.output[0]["id"],
        "beyond": f"msg_o{own.id.removeprefix('resp_')}7",
    }

    with pytest.raises(ReferencedItemError) as refused:
        await desk.ask([{"role": "user", "content": "a"}, {"type": "item_reference", "id": ids[kind]}])

    assert refused.value.detail == {"fields": {"body.input.1.id": "is no item that is stored"}}


async def test_a_deleted_response_is_absent_and_not_remembered(desk: Desk) -> None:
    first = await desk.ask("one")
    second = await desk.ask("two", previous_response_id=first.id)

    gone = await desk.stored().delete(first.id)

    assert (gone.id, gone.deleted) == (first.id, True)
    with pytest.raises(ResponseNotFoundError):
        await desk.stored().read(first.id)
    await desk.ask("three", previous_response_id=second.id)
    assert told(desk) == [("user", "two"), ("assistant", "Hello!"), ("user", "three")]


async def test_a_response_in_work_is_not_deleted(desk: Desk) -> None:
    desk.chat.hangs = True
    working = asyncio.create_task(desk.ask())
    await desk.chat.reached.wait()

    with pytest.raises(ConflictError):
        await desk.stored().delete(await find_only(desk))

    working.cancel()
    await asyncio.wait([working])
    assert not desk.cosmos.rows()


async def test_input_items_come_in_pages(desk: Desk) -> None:
    made = await desk.ask([{"role": "user", "content": text} for text in ("a", "b", "c")])

    first = await desk.stored().list_input_items(made.id, InputItemPageQuery(limit=2))
    second = await desk.stored().list_input_items(made.id, InputItemPageQuery(limit=2, after=first.last_id))
    forward = await desk.stored().list_input_items(made.id, InputItemPageQuery(order="asc"))

    def contents(page: InputItemPageReply) -> list[Any]:
        items: list[Any] = list(page.data)
        return [part["text"] for item in items for part in item["content"]]

    assert (contents(first), first.has_more) == (["c", "b"], True)
    assert (contents(second), second.has_more) == (["a"], False)
    assert contents(forward) == ["a", "b", "c"]
    assert all(item["status"] == "completed" for item in forward.data)


async def test_a_user_has_its_own_responses_alone(desk: Desk) -> None:
    bob, eve = desk.of(user_context("bob")), desk.of(user_context("eve"))
    made = await bob.create(request("one"))

    assert (await desk.stored(user_context("bob")).read(made.id)).id == made.id
    assert (await desk.stored().read(made.id)).id == made.id
    seen_by_eve = desk.stored(user_context("eve"))
    for attempt in (seen_by_eve.read, seen_by_eve.delete):
        with pytest.raises(ResponseNotFoundError):
            await attempt(made.id)
    with pytest.raises(PreviousResponseError, match="not found"):
        await eve.create(request("two", previous_response_id=made.id))
    with pytest.raises(PermissionDeniedError):
        await bob.create(request("two", user="eve"))
