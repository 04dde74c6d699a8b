"""A hedged read asks the next region while the first is late, and takes the first answer that counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tenantry_client.cosmos import CosmosClient
from tenantry_client.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError
from tests.unit_tests.tenantry_client.cosmos.scripted_transport import (
    KEY,
    URL,
    ScriptedTransport,
    account,
    answer,
    operations_on,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenantry_client.cosmos.answers import Answer
    from tenantry_client.cosmos.transport import Deadlines, Place

ITEM = {"id": "1", "pk": "p"}
SOON: Mapping[str, Any] = {"threshold_ms": 1, "threshold_steps_ms": 1}


@dataclass
class LateTransport(ScriptedTransport):
    """Regions that answer late, or never; what was given up is kept."""

    late: set[str] = field(default_factory=set)
    """Never answer."""
    after: dict[str, str] = field(default_factory=dict)
    """Answer once another region was asked."""
    given_up: list[str] = field(default_factory=list)
    asked: dict[str, asyncio.Event] = field(default_factory=dict)

    async def exchange(self, place: Place, request: bytes, deadlines: Deadlines) -> Answer:
        found = await super().exchange(place, request, deadlines)
        if b"/docs" not in request.partition(b" HTTP/1.1")[0]:
            return found
        region = place.host.partition(".")[0]
        self.asked.setdefault(region, asyncio.Event()).set()
        try:
            if region in self.late:
                await asyncio.Event().wait()
            if region in self.after:
                await self.asked.setdefault(self.after[region], asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.given_up.append(region)
            raise
        return found


def regions(transport: ScriptedTransport) -> list[str]:
    return [sent.place.partition(".")[0] for sent in transport.sent]


def of(*steps: Answer, late: tuple[str, ...] = (), after: Mapping[str, str] | None = None) -> LateTransport:
    return LateTransport(
        list(steps), account("east", "west", "north"), late=set(late), after=dict(after or {})
    )


async def test_a_late_region_is_given_up_for_the_one_that_answered() -> None:
    transport = of(answer(200, {"id": "late"}), answer(200, ITEM), late=("east",))
    assert await operations_on(transport, availability_strategy=SOON).read("1", "p", {}) == ITEM
    assert regions(transport) == ["east", "west"]
    assert transport.given_up == ["east"]


async def test_a_region_that_is_in_time_is_asked_alone() -> None:
    transport = of(answer(200, ITEM))
    await operations_on(transport, availability_strategy=True).read("1", "p", {})
    assert regions(transport) == ["east"]


async def test_the_first_region_s_answer_is_taken_when_the_others_cannot_tell() -> None:
    transport = of(answer(200, ITEM), answer(503, {}), answer(410, {}), after={"east": "north"})
    operations = operations_on(transport, availability_strategy=SOON, retry_total=0)
    assert await operations.read("1", "p", {}) == ITEM
    assert regions(transport) == ["east", "west", "north"]


async def test_an_item_that_another_region_knows_to_be_missing_is_missing() -> None:
    transport = of(answer(200, ITEM), answer(404, {}), late=("east",))
    with pytest.raises(CosmosResourceNotFoundError):
        await operations_on(transport).read("1", "p", {"availability_strategy": SOON})


async def test_a_failure_of_the_first_region_is_the_read_s() -> None:
    transport = of(answer(429, {}, x_ms_retry_after_ms=1), late=("west", "north"))
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport, availability_strategy=True, retry_total=0).read("1", "p", {})
    assert regions(transport) == ["east"]


async def test_no_more_regions_are_asked_at_a_time_than_the_client_says() -> None:
    transport = of(answer(200, ITEM), answer(200, ITEM), answer(200, ITEM), after={"east": "west"})
    operations = operations_on(transport, availability_strategy=SOON, availability_strategy_max_concurrency=2)
    await operations.read("1", "p", {})
    assert regions(transport) == ["east", "west"]


async def test_whoever_gives_the_read_up_gives_all_its_requests_up() -> None:
    transport = of(*[answer(200, ITEM)] * 3, late=("east", "west", "north"))
    reading = asyncio.ensure_future(operations_on(transport, availability_strategy=SOON).read("1", "p", {}))
    await transport.asked.setdefault("north", asyncio.Event()).wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert sorted(transport.given_up) == ["east", "north", "west"]


@pytest.mark.parametrize(
    "options", [{"availability_strategy": False}, {"excluded_locations": ["west", "north"]}]
)
async def test_a_read_that_may_not_be_hedged_is_not(options: dict[str, Any]) -> None:
    transport = of(answer(200, ITEM))
    await operations_on(transport, availability_strategy=SOON).read("1", "p", options)
    assert regions(transport) == ["east"]


async def test_a_write_is_never_hedged() -> None:
    transport = of(answer(201, ITEM), after={})
    await operations_on(transport, availability_strategy=SOON).create(ITEM, {})
    assert regions(transport) == ["east"]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"threshold_ms": 0}, ValueError),
        ({"threshold_steps_ms": -1}, ValueError),
        ({"threshold": 1}, TypeError),
        ("yes", TypeError),
    ],
)
def test_a_patience_that_is_none_is_refused(given: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        operations_on(of(), availability_strategy=given)


def test_the_client_without_asyncio_refuses_it_by_name() -> None:
    with pytest.raises(TypeError, match="availability_strategy"):
        CosmosClient(URL, KEY, availability_strategy=True)
