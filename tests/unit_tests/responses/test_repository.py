"""Stored responses: where they stand, what leads to them, who sees them, what is left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.openai.responses.errors import PreviousResponseError, ResponseNotFoundError
from functions.chat.openai.responses.repository import (
    MOST_BEFORE,
    MOST_BRANCHINGS,
    NewResponse,
    ResponseEnd,
    ResponseRepository,
)
from functions.chat.openai.responses.response_ids import ResponseId
from functions.chat.openai.responses.stored_models import BranchPart, ResponseStatus
from shared.contracts import Usage
from shared.cosmos.container import ItemChangedError
from tests.support.fakes import tenant_context, user_context

if TYPE_CHECKING:
    from functions.chat.openai.responses.stored_models import ResponseItem
    from shared.tenancy.context import TenantContext
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme")
REQUEST = {"model": "gpt-4o"}


def message(text: str, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


def texts(items: list[Any]) -> list[str]:
    return [item["content"] for item in items]


class Stored:
    """The responses of a tenant, with what tests do to them."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock, tenant: TenantContext = ACME) -> None:
        self.own = ResponseRepository(tenant, cosmos.container("conversations"), clock)

    async def begin(
        self,
        text: str,
        previous: ResponseItem | None = None,
        *,
        user_id: str | None = None,
        days: int | None = None,
    ) -> ResponseItem:
        new = NewResponse(request=dict(REQUEST), previous=previous, user_id=user_id, retention_days=days)
        return (await self.own.create(new, [message(text)]))[0]

    async def add(
        self,
        text: str,
        previous: ResponseItem | None = None,
        *,
        user_id: str | None = None,
        days: int | None = None,
    ) -> ResponseItem:
        """Store a response with its answer."""
        item = await self.begin(text, previous, user_id=user_id, days=days)
        end = ResponseEnd(
            status=ResponseStatus.COMPLETED,
            output=[message(f"You said: {text}", "assistant")],
            usage=Usage(total_tokens=3),
            completed_at=7,
        )
        return await self.own.end(item, end)

    async def history(self, last: ResponseItem) -> list[str]:
        return texts(await self.own.read_history(last))


@pytest.fixture
def stored(cosmos: MemoryCosmos, clock: FakeClock) -> Stored:
    return Stored(cosmos, clock)


async def test_a_response_is_read_as_it_was_stored(stored: Stored) -> None:
    item = await stored.add("one")

    found = await stored.own.read(str(item.response_id))

    assert (found.status, found.usage, found.completed_at) == (
        ResponseStatus.COMPLETED,
        Usage(total_tokens=3),
        7,
    )
    assert texts(found.output) == ["You said: one"]
    given = await stored.own.read_input(found.response_id)
    assert given == [message("one") | {"id": found.response_id.input_item("msg", 0)}]


async def test_what_leads_to_a_response_is_remembered_in_its_order(stored: Stored) -> None:
    first = await stored.add("one")
    second = await stored.add("two", first)
    third = await stored.add("three", second)

    assert await stored.history(third) == [
        "one",
        "You said: one",
        "two",
        "You said: two",
        "three",
        "You said: three",
    ]
    assert [item.response_id.depth for item in (first, second, third)] == [1, 2, 3]
    assert third.path == ()


async def test_two_that_go_on_with_one_response_know_nothing_of_each_other(stored: Stored) -> None:
    first = await stored.add("one")
    second = await stored.add("two", first)
    other = await stored.add("other", first)
    after = await stored.add("after", other)
    third = await stored.add("three", second)

    assert texts(await stored.own.read_history(after))[::2] == ["one", "other", "after"]
    assert texts(await stored.own.read_history(third))[::2] == ["one", "two", "three"]
    assert other.path == (BranchPart(branch=first.branch, depth=1),)
    assert after.branch == other.branch != first.branch


async def test_what_was_deleted_is_not_remembered_and_its_place_not_given_again(stored: Stored) -> None:
    first = await stored.add("one")
    second = await stored.add("two", first)
    third = await stored.add("three", second)

    await stored.own.delete(second)
    again = await stored.add("again", first)

    assert texts(await stored.own.read_history(third))[::2] == ["one", "three"]
    assert again.response_id != second.response_id
    for _ in range(2):
        with pytest.raises(ResponseNotFoundError):
            await stored.own.read(str(second.response_id))
    with pytest.raises(ResponseNotFoundError):
        await stored.own.delete(second)
    assert await stored.own.read_input(second.response_id) == []


async def test_what_nobody_knows_of_leaves_its_place_to_the_next_one(stored: Stored) -> None:
    first = await stored.add("one")
    refused = await stored.begin("two", first)

    await stored.own.forget(refused)

    assert (await stored.add("two", first)).response_id == refused.response_id


async def test_one_operation_makes_one_response(stored: Stored) -> None:
    first = await stored.add("one")
    await stored.add("two", first)
    new = NewResponse(request=dict(REQUEST), previous=first, operation_id=32 * "a")

    made = [await stored.own.create(new, [message("three")]) for _ in range(2)]

    assert [is_new for _, is_new in made] == [True, False]
    assert made[0][0].response_id == made[1][0].response_id
    begun = NewResponse(request=dict(REQUEST), operation_id=32 * "b")
    made = [await stored.own.create(begun, [message("four")]) for _ in range(2)]
    assert [is_new for _, is_new in made] == [True, False]


async def test_where_only_the_stores_answer_is_lost_there_is_one_response(
    stored: Stored, cosmos: MemoryCosmos
) -> None:
    first = await stored.add("one")
    cosmos.transport.lose_answers = 1

    second = await stored.add("two", first)

    assert second.branch == first.branch


@pytest.mark.parametrize(
    "reader", [tenant_context("globex"), user_context("eve"), user_context("bob", "globex")], ids=str
)
async def test_another_tenants_or_users_response_is_absent(
    stored: Stored, cosmos: MemoryCosmos, clock: FakeClock, reader: TenantContext
) -> None:
    item = await stored.add("one", user_id="bob")

    assert (await Stored(cosmos, clock, user_context("bob")).own.read(str(item.response_id))).user_id == "bob"
    with pytest.raises(ResponseNotFoundError):
        await Stored(cosmos, clock, reader).own.read(str(item.response_id))


@pytest.mark.parametrize("text", ["", "resp_1", "resp_" + 48 * "f", "../" + 40 * "a"])
async def test_what_is_no_id_is_absent(stored: Stored, text: str) -> None:
    with pytest.raises(ResponseNotFoundError):
        await stored.own.read(text)


async def test_what_has_expired_is_neither_shown_nor_remembered(stored: Stored, clock: FakeClock) -> None:
    first = await stored.add("one", days=1)
    second = await stored.add("two", first, days=2)
    clock.advance(86_401)

    assert texts(await stored.own.read_history(second))[::2] == ["two"]
    with pytest.raises(ResponseNotFoundError):
        await stored.own.read(str(first.response_id))


async def test_a_response_that_is_over_stays_as_it_ended(stored: Stored) -> None:
    item = await stored.begin("one")
    await stored.own.end(item, ResponseEnd(status=ResponseStatus.CANCELLED))

    late = await stored.own.end(item, ResponseEnd(status=ResponseStatus.COMPLETED))

    assert late.status is ResponseStatus.CANCELLED
    with pytest.raises(ItemChangedError):
        await stored.own.move(item, ResponseStatus.IN_PROGRESS)


async def test_of_two_who_take_over_a_dead_workers_response_one_has_it(stored: Stored) -> None:
    item = await stored.own.read(str((await stored.begin("one")).response_id))

    taken = await stored.own.take_over(item, 99.0)

    assert taken.lease_until == 99.0
    with pytest.raises(ItemChangedError):
        await stored.own.take_over(item, 99.0)


@pytest.mark.slow
async def test_a_conversation_that_is_too_long_is_refused(stored: Stored) -> None:
    first = await stored.add("one")
    long = first.model_copy(update={"path": (), "depth": MOST_BEFORE + 5})
    own = stored.own._at(long.response_id)  # noqa: SLF001  # a thousand responses, the short way
    for begin in range(1, MOST_BEFORE + 5, 50):
        batch = []
        for depth in range(begin, begin + 50):
            body = first.model_copy(update={"depth": depth + 1, "id": f"r{depth}"})
            batch += [
                own.creating(body),
                own.creating(body.model_dump(mode="json") | {"id": f"i{depth}", "kind": "input"}),
            ]
        await own.batch(batch, minimal=True)

    with pytest.raises(PreviousResponseError, match="more before it"):
        await stored.own.read_history(long)


async def test_branches_before_a_response_are_bounded(stored: Stored) -> None:
    first = await stored.add("one")
    path = tuple(BranchPart(branch=f"{number:016x}", depth=1) for number in range(MOST_BRANCHINGS))
    deep = first.model_copy(update={"path": path})
    await stored.add("two", deep)

    with pytest.raises(PreviousResponseError, match="branches"):
        await stored.add("three", deep)


async def test_events_are_read_from_a_number_on_and_go_with_their_response(stored: Stored) -> None:
    item = await stored.add("one")
    events = [{"sequence_number": number} for number in range(5)]
    for _ in range(2):
        await stored.own.add_events(item, events[:2], 0)
    await stored.own.add_events(item, events[2:], 2)

    found = [await stored.own.read_events(item.response_id, after) for after in (-1, 0, 1, 3, 4)]

    assert [None if one is None else (one.first, one.last) for one in found] == [
        (0, 1),
        (0, 1),
        (2, 4),
        (2, 4),
        None,
    ]
    await stored.own.delete(item)
    assert await stored.own.read_events(item.response_id, -1) is None


async def test_a_continued_response_costs_as_many_requests_as_one_that_begins(
    stored: Stored, cosmos: MemoryCosmos
) -> None:
    last = await stored.add("one")
    for number in range(5):
        last = await stored.add(f"more {number}", last)
    before = cosmos.transport.requests

    await stored.own.read_history(last)
    await stored.add("last", last)

    assert cosmos.transport.requests - before == 3
    assert ResponseId.parse(str(last.response_id)) == last.response_id
