"""Prompts beside others that are nearly called so: by name, by tenant and by scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.errors import PermissionDeniedError
from shared.prompts.batches import delete_many
from shared.prompts.edits import DeletePrompt, MoveLabel, PromptEdit
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import PromptDraft
from shared.prompts.store import HeadFilter
from shared.tenancy.context import Role
from shared.tenancy.source import Source
from tests.support.fakes import platform_context, tenant_context
from tests.unit_tests.prompts.library import Fallback, library_over

if TYPE_CHECKING:
    from shared.prompts.library import PromptLibrary
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

NAMES = ["p", "p.", "p-1", "p1", "p10", "P", "pp", "head", "version", "change"]
"""Each is nearly another one, or a word of the items' ids."""

TENANTS = [tenant_context(name, Role.TENANT_ADMIN) for name in ("acme", "acme-eu", "ac", "Acme2")]
ACME = TENANTS[0]
ADMIN = platform_context()
ACTING = tenant_context("acme", Role.ADMIN)
OWN, EVERYBODYS = Source.TENANT, Source.GLOBAL


@pytest.fixture
def library(cosmos: MemoryCosmos, clock: FakeClock) -> PromptLibrary:
    return library_over(cosmos.container("prompts"), clock)


async def save(library: PromptLibrary, name: str, text: str, source: Source = OWN) -> None:
    caller = ACME if source is OWN else ADMIN
    await library.of(caller).save(name, PromptDraft(template=text), source=source)


async def everything(library: PromptLibrary) -> None:
    """Give each tenant each name in two versions, each with its own text, and the platform too."""
    for version in (1, 2):
        for name in NAMES:
            for tenant in TENANTS:
                draft = PromptDraft(template=f"{tenant.tenant_id} {name} {version}")
                await library.of(tenant).save(name, draft)
            await save(library, name, f"global {name} {version}", EVERYBODYS)


@pytest.mark.slow
async def test_each_name_of_each_owner_has_its_own_versions_history_and_labels(
    library: PromptLibrary,
) -> None:
    await everything(library)
    for tenant in TENANTS:
        prompts = library.of(tenant)
        for name in NAMES:
            for version in (1, 2):
                for source, owner in (
                    (None, tenant.tenant_id),
                    (OWN, tenant.tenant_id),
                    (EVERYBODYS, "global"),
                ):
                    found = await prompts.read(name, version, source)
                    assert found.content.template == f"{owner} {name} {version}"
            listed = await prompts.versions(name, None, None, 10)
            assert [(one.name, one.version) for one in listed.versions] == [(name, 2), (name, 1)]
            assert [one.change.number for one in await prompts.history(name, None, None, 10)] == [2, 1]


@pytest.mark.slow
async def test_a_label_and_a_deletion_are_of_one_prompt_alone(library: PromptLibrary) -> None:
    await everything(library)
    prompts = library.of(ACME)
    await prompts.apply(PromptEdit("p1", MoveLabel("production", 1)))
    await prompts.apply(PromptEdit("p", DeletePrompt()))
    await delete_many(prompts, ["pp"], OWN)

    left = [head.name for head in await prompts.list(OWN, None, 100)]
    assert left == sorted(set(NAMES) - {"p", "pp"})
    assert [head.name for head in await prompts.list(OWN, None, 100, HeadFilter(deleted=True))] == ["p", "pp"]
    assert [head.labels for head in await prompts.list(OWN, None, 100) if head.labels] == [{"production": 1}]
    for tenant in TENANTS[1:]:
        assert (await library.of(tenant).read("p")).content.template == f"{tenant.tenant_id} p 2"
    assert (await prompts.read("p")).content.template == "global p 2"


async def test_an_old_version_is_its_scopes_whichever_was_read_first(library: PromptLibrary) -> None:
    for text in ("own 1", "own 2"):
        await save(library, "p", text)
    for text in ("global 1", "global 2"):
        await save(library, "p", text, EVERYBODYS)
    prompts = library.of(ACME)

    for source, text in ((OWN, "own 1"), (EVERYBODYS, "global 1"), (OWN, "own 1"), (None, "own 1")):
        assert (await prompts.read("p", 1, source)).content.template == text


async def test_a_prompt_that_was_deleted_leaves_no_old_version_under_its_global_namesake(
    library: PromptLibrary,
) -> None:
    for text in ("own 1", "own 2"):
        await save(library, "p", text)
    for text in ("global 1", "global 2"):
        await save(library, "p", text, EVERYBODYS)
    prompts = library.of(ACME)
    assert (await prompts.read("p", 1)).content.template == "own 1"
    await prompts.apply(PromptEdit("p", DeletePrompt()))

    assert (await prompts.read("p", 1)).content.template == "global 1"


async def test_a_cache_that_the_administrator_warmed_shows_a_tenant_without_the_fallback_nothing(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    library = library_over(cosmos.container("prompts"), clock, Fallback(on=False))
    for text in ("global 1", "global 2"):
        await save(library, "p", text, EVERYBODYS)
    for version in (None, 1, 2):
        await library.of(ACTING).read("p", version, EVERYBODYS)
    own = library.of(ACME)

    for version in (None, 1, 2):
        with pytest.raises(PermissionDeniedError):
            await own.read("p", version, EVERYBODYS)
        with pytest.raises(PromptNotFoundError):
            await own.read("p", version)
    for refused in (own.history("p", EVERYBODYS, None, 9), own.versions("p", EVERYBODYS, None, 9)):
        with pytest.raises(PermissionDeniedError):
            await refused
    for absent in (own.history("p", None, None, 9), own.versions("p", None, None, 9), own.resolve("p")):
        with pytest.raises(PromptNotFoundError):
            await absent
    assert (await own.read_all(["p"])).prompts == await own.prefetch(["p"]) == {}


async def test_an_edit_of_one_scope_is_seen_beside_its_namesake_in_the_other(library: PromptLibrary) -> None:
    await save(library, "p", "own 1")
    await save(library, "p", "global 1", EVERYBODYS)
    acting = library.of(ACTING)
    for source in (OWN, EVERYBODYS, None):
        await acting.read("p", None, source)

    await acting.save("p", PromptDraft(template="global 2"), source=EVERYBODYS)
    assert [(await acting.read("p", None, source)).content.template for source in (OWN, EVERYBODYS)] == [
        "own 1",
        "global 2",
    ]
    await acting.save("p", PromptDraft(template="own 2"))
    assert [(await acting.read("p", None, source)).content.template for source in (None, EVERYBODYS)] == [
        "own 2",
        "global 2",
    ]
