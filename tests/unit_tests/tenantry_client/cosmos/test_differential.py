"""Whatever is asked, azure-cosmos and the client of our own have the same results, errors and requests."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.support.memory_cosmos import memory_cosmos
from tests.support.soak import SOAK, sized
from tests.unit_tests.tenantry_client.cosmos.two_clients import (
    IDS,
    KEYS,
    ONE_REQUEST,
    Operation,
    Side,
    merged,
)

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock

OPERATIONS = 100_000 if SOAK else 300


@sized(60)
async def test_random_operations_have_the_same_outcome_on_both(clock: FakeClock) -> None:
    dice = random.Random(22)  # noqa: S311 - the same draw each time
    async with memory_cosmos(clock) as first, memory_cosmos(clock) as second:
        sdk, own = Side(first, own=False), Side(second, own=True)
        for side in (sdk, own):  # what a client learns once
            await side.run("upsert_item", {"id": "a", "tenant_id": "acme"})
            await side.run("read_item", "a", "acme")
            await side.run("query_items_change_feed", start_time="Beginning")

        for number in range(OPERATIONS):
            operation = Operation(dice)
            expected, found = await operation.run(sdk), await operation.run(own)
            assert (number, found) == (number, expected), operation


@sized(60)
async def test_random_operations_have_the_same_results_over_several_physical_partitions(
    clock: FakeClock,
) -> None:
    dice = random.Random(23)  # noqa: S311 - the same draw each time
    async with memory_cosmos(clock) as first, memory_cosmos(clock) as second:
        sdk, own = Side(first, own=False), Side(second, own=True)
        for side in (sdk, own):
            for key in KEYS:
                await side.run("upsert_item", {"id": IDS[0], "tenant_id": key, "n": 1})
        for cosmos in (first, second):
            cosmos.split("prompts", [(key,) for key in KEYS], parts=len(KEYS))

        for number in range(OPERATIONS):
            operation = Operation(dice)
            if operation.kind not in ONE_REQUEST or "status" in (operation.fault or {}):
                operation.fault = None  # it might hit another request on either side
            expected, found = await operation.run(sdk), await operation.run(own)
            assert (number, merged(found)) == (number, merged(expected)), operation
