"""What the ledger asks of Cosmos, asked through the real SDK: conditional patches, batches, increments."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shared.clock import SystemClock
from shared.contracts import Usage
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.errors import BudgetExceededError, DependencyUnavailableError
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.tenancy.store import Tier
from shared.tokens.ledger import TokenLedger
from shared.tokens.limits import TIER_LIMITS
from shared.tokens.lock_ids import LockIds
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WELL_KNOWN_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
TENANT = tenant_context("acme")
LIMITS = TIER_LIMITS[Tier.FREE]
APP, MODEL = "app", "gpt-4o"


@asynccontextmanager
async def ledgers(address: str, count: int = 1) -> AsyncIterator[list[TokenLedger]]:
    """Open several instances of the ledger, each with its own client."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            client = await stack.enter_async_context(open_client(address, WELL_KNOWN_KEY))
            proxy = client.get_database_client("tenantry").get_container_client("ledger")
            container = SdkContainer(proxy, Dependency("Cosmos DB", classify, Policy(attempt_seconds=2)))
            found.append(TokenLedger(container, LockIds(["one secret for all"]), SystemClock()))
        yield found


async def attempt(ledger: TokenLedger, tokens: int) -> int:
    try:
        return (await ledger.lock(TENANT, APP, tokens, MODEL)).tokens
    except BudgetExceededError:
        return 0


async def test_instances_that_race_for_one_budget_hand_out_exactly_what_fits(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with ledgers(endpoint.address, 3) as instances:
            taken = await asyncio.gather(*(attempt(instances[n % 3], 900) for n in range(40)))
            assert sum(taken) == LIMITS.tokens_per_minute // 900 * 900
            status = await instances[0].status(TENANT, APP)
    assert status.locked_tokens == sum(taken)
    assert status.locked_requests == len([tokens for tokens in taken if tokens])


async def test_settlements_are_exactly_once_across_instances_and_a_killed_store(tmp_path: Path) -> None:
    usage = Usage(prompt_tokens=300, completion_tokens=100)
    with running_endpoint(tmp_path) as endpoint:
        async with ledgers(endpoint.address, 2) as (one, two):
            used = await one.lock(TENANT, APP, 1_000, MODEL)
            beyond = await one.lock(TENANT, APP, 100, MODEL)
            unused = await two.lock(TENANT, APP, 2_000, MODEL)
            await asyncio.gather(*(i.report(TENANT, APP, used.lock_id, usage, user="u") for i in (one, two)))
            await two.report(TENANT, APP, beyond.lock_id, usage)
            await asyncio.gather(*(i.release(TENANT, APP, unused.lock_id) for i in (one, two)))
            endpoint.kill()
            with pytest.raises(DependencyUnavailableError):
                await one.lock(TENANT, APP, 1, MODEL)
    with running_endpoint(tmp_path) as endpoint:
        async with ledgers(endpoint.address) as (other,):
            await other.report(TENANT, APP, used.lock_id, usage, user="u")
            status = await other.status(TENANT, APP)
    assert (status.used_tokens, status.locked_tokens) == (800, 0)
    assert (status.used_requests, status.locked_requests) == (2, 0)
