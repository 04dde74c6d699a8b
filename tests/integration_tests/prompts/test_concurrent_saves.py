"""Instances that save one prompt at once leave versions without a gap, and lose none."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from local.supervisor.addresses import COSMOS_KEY
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.errors import ConflictError, PreconditionFailedError
from shared.prompts.models import PromptDraft
from shared.prompts.store import PromptStore
from shared.retry import Dependency
from tests.fakes import tenant_context
from tests.integration_tests.local_cosmos.endpoint import running_endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ACME = tenant_context("acme")
WRITERS = 64 if os.environ.get("TENANTRY_SOAK") == "1" else 16


@asynccontextmanager
async def instances(address: str) -> AsyncIterator[list[PromptStore]]:
    """Open the store twice, each time with a client and connections of its own."""
    async with AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            client = await stack.enter_async_context(open_client(address, COSMOS_KEY))
            proxy = client.get_database_client("tenantry").get_container_client("prompts")
            stores.append(PromptStore(ACME, SdkContainer(proxy, Dependency("Cosmos DB", classify))))
        yield stores


async def save_until_done(store: PromptStore, text: str) -> int:
    """Save as a caller does who asks again when told that others are saving; return the version."""
    while True:
        try:
            return (await store.save("p", PromptDraft(template=text), None)).version.version
        except ConflictError:
            continue


async def test_every_version_is_there_once_and_says_what_its_writer_was_told(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(WRITERS)]
    with running_endpoint(tmp_path) as endpoint:
        async with instances(endpoint.address) as stores:
            versions = await asyncio.gather(
                *(save_until_done(stores[number % 2], text) for number, text in enumerate(texts))
            )
            stored = {n: (await stores[0].read("p", n)).content.template for n in range(1, WRITERS + 1)}
            latest = await stores[1].read("p")

    assert sorted(versions) == list(range(1, WRITERS + 1))
    assert stored == dict(zip(versions, texts, strict=True))
    assert (latest.version.version, latest.labels) == (WRITERS, {"latest": WRITERS})


async def test_of_those_who_have_seen_one_state_one_saves_over_it(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with instances(endpoint.address) as stores:
            seen = (await stores[0].save("p", PromptDraft(template="first"), None)).head.etag
            outcomes = await asyncio.gather(
                *(stores[n % 2].save("p", PromptDraft(template=f"text {n}"), seen) for n in range(8)),
                return_exceptions=True,
            )
            latest = await stores[0].read("p")

    refused = [outcome for outcome in outcomes if isinstance(outcome, PreconditionFailedError)]
    assert (len(refused), latest.version.version) == (7, 2)


async def test_prompts_survive_a_killed_store(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with instances(endpoint.address) as stores:
            saved = await stores[0].save(
                "p", PromptDraft(template="kept {x}", description="why", tags=("tag",)), None
            )
        endpoint.kill()
    with running_endpoint(tmp_path) as endpoint:
        async with instances(endpoint.address) as stores:
            assert await stores[0].read("p") == saved
            assert await stores[1].resolve("p", {"x": "y"}) == "kept y"
