"""Versions have no gap, none is lost or overwritten, and an answer that was lost does no harm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import BatchFailedError, Patch, PatchOperation
from shared.cosmos.partition import Partition
from shared.errors import ConflictError, PreconditionFailedError, ValidationError
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import PromptDraft
from shared.prompts.store import PromptStore
from shared.prompts.stored_models import PromptSummary, StoredTemplate
from tests.support.fakes import FakeClock, tenant_context
from tests.unit_tests.prompts.interrupted import Interrupted, Refusing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.cosmos.container import BatchOperation, Container, Json, Key
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme")
GLOBEX = tenant_context("globex")


@pytest.fixture
def container(cosmos: MemoryCosmos) -> Container:
    return cosmos.container("prompts")


@pytest.fixture
def store(container: Container, clock: FakeClock) -> PromptStore:
    return PromptStore(ACME, container, clock)


async def templates(store: PromptStore, name: str = "p") -> list[StoredTemplate]:
    """Read every version from 1 on and check that each knows its number."""
    latest = (await store.read(name)).version
    found = [(await store.read(name, number)).version for number in range(1, latest.version + 1)]
    assert [item.version for item in found] == list(range(1, latest.version + 1))
    assert found[-1] == latest
    return [item.content.template for item in found]


async def test_each_save_is_a_version_and_none_ever_changes(store: PromptStore) -> None:
    for text in ("one", "two", "three"):
        await store.save("p", PromptDraft(template=text), None)

    assert await templates(store) == ["one", "two", "three"]


async def test_reading_the_latest_is_one_request_and_saving_two(
    store: PromptStore, cosmos: MemoryCosmos
) -> None:
    await store.save("p", PromptDraft(template="one"), None)
    saved = cosmos.transport.requests
    await store.read("p")

    assert (saved, cosmos.transport.requests - saved) == (2, 1)


async def test_the_label_latest_moves_by_itself(store: PromptStore) -> None:
    first = await store.save("p", PromptDraft(template="one"), None)
    assert first.labels == {"latest": 1}
    second = await store.save("p", PromptDraft(template="two"), first.head.etag)

    assert second.labels == {"latest": 2}
    assert (await store.read("p", 1)).labels == {"latest": 2}
    assert (await store.read("p", 2)).labels == {"latest": 2}


async def test_who_saved_a_version_and_when_is_kept(store: PromptStore, clock: FakeClock) -> None:
    await store.save("p", PromptDraft(template="one", description="why", tags=("a", "b")), None)
    saved = (await store.read("p", 1)).version

    assert (saved.change.by, saved.change.at) == (ACME.principal, clock.now())
    assert (saved.description, saved.tags) == ("why", ("a", "b"))


async def test_an_old_state_saves_nothing(store: PromptStore) -> None:
    first = await store.save("p", PromptDraft(template="one"), None)
    await store.save("p", PromptDraft(template="two"), first.head.etag)

    with pytest.raises(PreconditionFailedError):
        await store.save("p", PromptDraft(template="three"), first.head.etag)
    with pytest.raises(PreconditionFailedError):
        await store.save("new", PromptDraft(template="one"), first.head.etag)
    assert await templates(store) == ["one", "two"]
    with pytest.raises(PromptNotFoundError):
        await store.read("new")


async def test_a_writer_that_was_overtaken_takes_the_next_version(
    container: Container, store: PromptStore
) -> None:
    others = [lambda: store.save("p", PromptDraft(template="first"), None)] * 2
    slow = PromptStore(ACME, Interrupted(container, batches=others), FakeClock())

    saved = await slow.save("p", PromptDraft(template="mine"), None)

    assert (saved.version.version, await templates(store)) == (3, ["first", "first", "mine"])


async def test_a_writer_that_was_overtaken_does_not_save_over_what_it_has_not_seen(
    container: Container, store: PromptStore
) -> None:
    seen = (await store.save("p", PromptDraft(template="one"), None)).head.etag
    slow = PromptStore(
        ACME,
        Interrupted(container, batches=[lambda: store.save("p", PromptDraft(template="two"), None)]),
        FakeClock(),
    )

    with pytest.raises(PreconditionFailedError):
        await slow.save("p", PromptDraft(template="mine"), seen)
    assert await templates(store) == ["one", "two"]


async def test_a_head_that_changes_without_a_new_version_is_another_state_too(
    container: Container, store: PromptStore
) -> None:
    seen = (await store.save("p", PromptDraft(template="one"), None)).head.etag
    touched = Patch((PatchOperation("set", "/note", "changed"),))
    own = Partition.of(ACME, container)
    slow = PromptStore(
        ACME,
        Interrupted(container, batches=[lambda: own.patch(PromptSummary, "head:p", touched)]),
        FakeClock(),
    )

    with pytest.raises(PreconditionFailedError):
        await slow.save("p", PromptDraft(template="mine"), seen)
    assert await templates(store) == ["one"]


async def test_a_writer_that_is_overtaken_again_and_again_is_told(
    container: Container, store: PromptStore
) -> None:
    others = [lambda: store.save("p", PromptDraft(template="other"), None)] * 10
    slow = PromptStore(ACME, Interrupted(container, batches=others), FakeClock())

    with pytest.raises(ConflictError, match="saved by others"):
        await slow.save("p", PromptDraft(template="mine"), None)
    assert await templates(store) == ["other"] * 10


async def test_many_writers_leave_no_gap_and_lose_nothing_that_was_acknowledged(
    container: Container,
) -> None:
    stores = [PromptStore(ACME, container, FakeClock()) for _ in range(8)]

    async def write(number: int) -> str | None:
        try:
            await stores[number % 8].save("p", PromptDraft(template=f"t{number}"), None)
        except ConflictError:
            return None
        return f"t{number}"

    written = await asyncio.gather(*(write(number) for number in range(24)))

    acknowledged = {text for text in written if text is not None}
    kept = await templates(stores[0])
    assert len(kept) == len(acknowledged) > 0
    assert set(kept) == acknowledged


async def test_a_save_whose_answer_was_lost_is_one_version(
    container: Container, store: PromptStore, cosmos: MemoryCosmos
) -> None:
    async def lose_the_answer() -> None:
        cosmos.transport.lose_answers = 1

    unlucky = PromptStore(ACME, Interrupted(container, batches=[lose_the_answer]), FakeClock())
    saved = await unlucky.save("p", PromptDraft(template="one"), None)

    assert (saved.version.version, saved.labels) == (1, {"latest": 1})
    assert await templates(store) == ["one"]


async def test_a_lost_save_is_found_again_even_under_a_newer_one(
    container: Container, store: PromptStore
) -> None:
    """The batch is done, its answer is lost, and before it is asked for again others save on top."""

    class Overtaken(Interrupted):
        async def batch(
            self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
        ) -> list[Json]:
            await self._container.batch(key, operations, minimal=minimal)
            await store.save("p", PromptDraft(template="newer"), None)
            return await self._container.batch(key, operations, minimal=minimal)

    saved = await PromptStore(ACME, Overtaken(container)).save("p", PromptDraft(template="mine"), None)

    assert (saved.version.version, saved.content.template, saved.labels) == (1, "mine", {"latest": 2})
    assert await templates(store) == ["mine", "newer"]


async def test_a_refusal_that_is_nobody_elses_doing_is_not_tried_again(container: Container) -> None:
    with pytest.raises(BatchFailedError, match="refused"):
        await PromptStore(ACME, Refusing(container)).save("p", PromptDraft(template="one"), None)


async def test_a_template_that_cannot_be_rendered_is_not_stored(store: PromptStore) -> None:
    with pytest.raises(ValidationError):
        await store.save("p", PromptDraft(template="{a.b}"), None)
    with pytest.raises(PromptNotFoundError):
        await store.read("p")


async def test_what_a_newer_release_put_on_the_head_survives_a_save(
    container: Container, store: PromptStore
) -> None:
    await store.save("p", PromptDraft(template="one"), None)
    newer = Patch((PatchOperation("set", "/config", {"model": "gpt-6"}),))
    await Partition.of(ACME, container).patch(PromptSummary, "head:p", newer)
    await store.save("p", PromptDraft(template="two"), None)

    stored = await container.read(("acme",), "head:p")
    assert stored is not None
    assert (stored["config"], stored["version"]) == ({"model": "gpt-6"}, 2)


async def test_tenants_share_no_name(store: PromptStore, container: Container) -> None:
    await store.save("p", PromptDraft(template="of acme"), None)
    other = PromptStore(GLOBEX, container)

    for attempt in (other.read("p"), other.read("p", 1)):
        with pytest.raises(PromptNotFoundError):
            await attempt
    assert await other.list(None, 10) == []
    await other.save("p", PromptDraft(template="of globex"), None)
    assert await templates(store) == ["of acme"]


async def test_the_list_pages_by_name_and_shows_each_prompt_once(store: PromptStore) -> None:
    for name in ("b", "a", "c", "a"):
        await store.save(name, PromptDraft(template="text"), None)

    first = await store.list(None, 2)
    assert [(prompt.name, prompt.version) for prompt in first] == [("a", 2), ("b", 1)]
    assert [prompt.name for prompt in await store.list("b", 2)] == ["c"]
