"""Limits of the prompts' cache and of batches, each where it binds and by its number."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from shared.caching.region import Cache
from shared.cosmos.container import BatchFailedError, BatchFailure
from shared.errors import ConflictError
from shared.prompts.batches import save_many
from shared.prompts.cache import PromptCache
from shared.prompts.models import PromptDraft
from shared.prompts.store import PromptStore
from shared.tenancy.context import Role
from shared.tenancy.source import Source
from tests.support.fakes import FakeClock, tenant_context
from tests.unit_tests.prompts.interrupted import Interrupted
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.cosmos.container import BatchOperation, Container, Json, Key
    from shared.prompts.cache import CachedHead
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.prompts.app import App

ACME = tenant_context("acme", Role.TENANT_ADMIN)


class Counting(Interrupted):
    """A container that counts its batches, and how many are under way at once."""

    def __init__(self, container: Container) -> None:
        super().__init__(container)
        self.sizes: list[int] = []
        self.at_once = self.most_at_once = 0

    async def batch(
        self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
    ) -> list[Json]:
        self.sizes.append(len(operations))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        try:
            return await super().batch(key, operations, minimal=minimal)
        finally:
            self.at_once -= 1


class Overtaken(Interrupted):
    """A container in which somebody else is always faster; how often it was tried."""

    def __init__(self, container: Container) -> None:
        super().__init__(container)
        self.tries = 0

    async def batch(
        self,
        key: Key,  # noqa: ARG002  # the real one's
        operations: Sequence[BatchOperation],  # noqa: ARG002  # same
        *,
        minimal: bool = False,  # noqa: ARG002  # same
    ) -> list[Json]:
        self.tries += 1
        raise BatchFailedError(0, BatchFailure.CHANGED)


async def test_a_batch_has_25_prompts_and_four_batches_are_under_way_at_once(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = Counting(cosmos.container("prompts"))
    edits = [{"name": f"p{number:03}", "template": "x"} for number in range(151)]

    await save_many(library_over(container, clock).of(ACME), edits, Source.TENANT)

    assert sorted(container.sizes) == [2, 50, 50, 50, 50, 50, 50]
    assert container.most_at_once == 4


async def test_2000_heads_of_all_tenants_are_cached() -> None:
    heads = PromptCache(Cache(FakeClock())).heads
    loads: list[str] = []

    async def load() -> CachedHead:
        loads.append("")
        return None  # type: ignore[return-value]  # what it is does not matter here

    for number in range(2_000):
        await heads.get(tenant_context(f"t{number:04}"), "p", load)
    assert heads.counts.evictions == 0
    await heads.get(tenant_context("late"), "p", load)
    assert (heads.counts.evictions, heads.counts.entries) == (1, 2_000)


@pytest.mark.parametrize(("characters", "reads"), [(32_000, 0), (32_001, 1)])
async def test_prompts_of_up_to_32_000_characters_are_cached(
    cosmos: MemoryCosmos, clock: FakeClock, characters: int, reads: int
) -> None:
    library = library_over(cosmos.container("prompts"), clock)
    await library.of(ACME).save("p", PromptDraft(template="x" * characters))
    await library.of(ACME).read("p")
    before = cosmos.transport.requests
    await library.of(ACME).read("p")

    assert cosmos.transport.requests - before == reads


async def test_a_save_that_others_always_overtake_is_tried_ten_times(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = Overtaken(cosmos.container("prompts"))
    with pytest.raises(ConflictError):
        await PromptStore(ACME, container, clock).save("p", PromptDraft(template="x"), None)
    assert container.tries == 10


async def test_a_listed_prompt_has_the_etag_that_a_change_may_name(app: App) -> None:
    etag = (await app.save()).headers["etag"]
    (listed,) = (await app.ask("list_prompts")).json()["items"]

    assert listed["etag"] == etag


async def test_what_is_stored_of_an_earlier_change_says_nothing_of_what_it_had_not(
    app: App, cosmos: MemoryCosmos
) -> None:
    await app.save()
    await app.label("production", 1)
    (head,) = [json.loads(body) for _, item, body in cosmos.rows() if b'"saved"' in body]

    assert head["saved"]
    assert None not in head["saved"].values()
