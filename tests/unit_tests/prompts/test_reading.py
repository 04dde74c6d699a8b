"""The read path: what is cached, how old it may be, and what is served while the store is down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.contracts import ChatMessage
from shared.errors import DependencyUnavailableError, ValidationError
from shared.prompts.cache import FRESHNESS, MAX_CACHED_CHARACTERS
from shared.prompts.edits import DeletePrompt, MoveLabel, PromptEdit
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import Example, MessageTemplate, Placeholder, PromptDraft
from shared.prompts.rendering import render_for_model
from shared.tenancy.context import Role
from shared.tenancy.source import Source
from tests.support.fakes import platform_context, tenant_context
from tests.unit_tests.prompts.interrupted import Interrupted
from tests.unit_tests.prompts.library import Fallback, library_over

if TYPE_CHECKING:
    from shared.prompts.library import PromptLibrary
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme", Role.TENANT_ADMIN)
GLOBEX = tenant_context("globex", Role.TENANT_ADMIN)
ADMIN = platform_context()
ACTING = tenant_context("acme", Role.ADMIN)
BOUND_SECONDS = 60


def says(text: str) -> PromptDraft:
    return PromptDraft(template=text)


@pytest.fixture
def here(cosmos: MemoryCosmos, clock: FakeClock) -> PromptLibrary:
    return library_over(cosmos.container("prompts"), clock)


@pytest.fixture
def there(cosmos: MemoryCosmos, clock: FakeClock) -> PromptLibrary:
    """Another instance on the same store."""
    return library_over(cosmos.container("prompts"), clock)


async def text_of(library: PromptLibrary, name: str = "p") -> object:
    return (await library.of(ACME).read(name)).content.template


async def settled() -> None:
    """Let what runs in the background finish: nothing in memory takes more than a few turns of the loop."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_the_bound_on_staleness_is_what_is_documented() -> None:
    assert FRESHNESS.ttl_seconds + FRESHNESS.stale_seconds == BOUND_SECONDS


async def test_a_warm_prompt_asks_the_store_nothing(here: PromptLibrary, cosmos: MemoryCosmos) -> None:
    await here.of(ACME).save("p", says("one"))
    await here.of(ACME).save("p", says("two"))
    await here.of(ACME).read("p")
    await here.of(ACME).read("p", 1)
    before = cosmos.transport.requests

    for which in (None, 1, 2, "latest"):
        await here.of(ACME).read("p", which)

    assert cosmos.transport.requests == before


async def test_many_who_ask_at_once_share_one_read(here: PromptLibrary, cosmos: MemoryCosmos) -> None:
    await here.of(ACME).save("p", says("one"))
    before = cosmos.transport.requests

    await asyncio.gather(*(here.of(ACME).read("p") for _ in range(20)))

    assert cosmos.transport.requests - before == 1


async def test_an_edit_is_seen_at_once_where_it_was_made(here: PromptLibrary) -> None:
    prompts = here.of(ACME)
    seen = []
    for number in range(3):
        await prompts.save("p", says(f"v{number}"))
        seen.append(await text_of(here))
    await prompts.apply(PromptEdit("p", MoveLabel("production", 1)))
    assert (await prompts.read("p", "production")).content.template == "v0"
    await prompts.apply(PromptEdit("p", DeletePrompt()))

    with pytest.raises(PromptNotFoundError):
        await prompts.read("p")
    assert seen == ["v0", "v1", "v2"]


async def test_an_edit_is_seen_by_every_instance_within_60_s(
    here: PromptLibrary, there: PromptLibrary, clock: FakeClock
) -> None:
    await here.of(ACME).save("p", says("old"))
    assert await text_of(there) == "old"
    await here.of(ACME).save("p", says("new"))

    for _ in range(BOUND_SECONDS):
        clock.advance(1)
        last = await text_of(there)
        await settled()

    assert last == "new"


async def test_a_version_that_another_instance_acknowledged_is_found_at_once(
    here: PromptLibrary, there: PromptLibrary
) -> None:
    await here.of(ACME).save("p", says("one"))
    assert await text_of(there) == "one"
    await here.of(ACME).save("p", says("two"))

    assert (await there.of(ACME).read("p", 2)).content.template == "two"
    assert await text_of(there) == "two"  # once seen, it is not unseen


async def test_a_label_that_another_instance_acknowledged_is_found_at_once(
    here: PromptLibrary, there: PromptLibrary
) -> None:
    await here.of(ACME).save("p", says("one"))
    assert await text_of(there) == "one"
    await here.of(ACME).apply(PromptEdit("p", MoveLabel("production", 1)))

    assert (await there.of(ACME).read("p", "production")).content.template == "one"


async def test_a_tenants_own_version_is_found_where_its_global_namesake_is_cached(
    here: PromptLibrary, there: PromptLibrary
) -> None:
    await here.of(ADMIN).save("p", says("everybody's"), source=Source.GLOBAL)
    assert await text_of(there) == "everybody's"
    await here.of(ACME).save("p", says("own"))
    await here.of(ACME).apply(PromptEdit("p", MoveLabel("production", 1)))

    assert (await there.of(ACME).read("p", "production")).content.template == "own"


async def test_an_edit_is_seen_at_once_also_where_a_version_was_looked_up_meanwhile(
    cosmos: MemoryCosmos, clock: FakeClock, there: PromptLibrary
) -> None:
    container = Interrupted(cosmos.container("prompts"))
    library = library_over(container, clock)
    await library.of(ACME).save("p", says("one"))
    assert await text_of(library) == "one"
    await there.of(ACME).save("p", says("two"))
    container.next_reads(lambda: library.of(ACME).save("p", says("three")))

    assert (await library.of(ACME).read("p", 2)).content.template == "two"

    assert await text_of(library) == "three"


@pytest.mark.parametrize("which", [9, "never"])
async def test_a_version_that_is_nowhere_costs_one_read_before_its_404(
    here: PromptLibrary, cosmos: MemoryCosmos, which: int | str
) -> None:
    await here.of(ACME).save("p", says("one"))
    await here.of(ACME).read("p")
    before = cosmos.transport.requests

    with pytest.raises(PromptNotFoundError):
        await here.of(ACME).read("p", which)

    assert cosmos.transport.requests - before == 1


async def test_a_version_that_nobody_can_look_up_now_is_not_said_to_be_absent(
    here: PromptLibrary, cosmos: MemoryCosmos
) -> None:
    await here.of(ACME).save("p", says("one"))
    await here.of(ACME).read("p")
    cosmos.transport.lose_requests = 10**6

    with pytest.raises(DependencyUnavailableError):
        await here.of(ACME).read("p", 2)


async def test_a_prompt_that_turns_out_to_be_deleted_is_shown_no_more(
    here: PromptLibrary, there: PromptLibrary
) -> None:
    await here.of(ACME).save("p", says("one"))
    assert await text_of(there) == "one"
    await here.of(ACME).apply(PromptEdit("p", DeletePrompt()))

    for which in (2, None):
        with pytest.raises(PromptNotFoundError):
            await there.of(ACME).read("p", which)


async def test_nobody_who_asks_for_the_first_time_in_a_minute_gets_what_is_older_than_that(
    here: PromptLibrary, there: PromptLibrary, clock: FakeClock
) -> None:
    await here.of(ACME).save("p", says("old"))
    assert await text_of(there) == "old"
    await here.of(ACME).save("p", says("new"))
    clock.advance(BOUND_SECONDS)

    assert await text_of(there) == "new"


async def test_a_refresh_is_one_request_that_nobody_waits_for(
    here: PromptLibrary, cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    await here.of(ACME).save("p", says("one"))
    await here.of(ACME).read("p")
    clock.advance(45)
    before = cosmos.transport.requests

    answers = [await here.of(ACME).read("p") for _ in range(5)]
    waited_for = cosmos.transport.requests - before
    await settled()

    assert [answer.age_seconds for answer in answers] == [45] * 5
    assert (waited_for, cosmos.transport.requests - before) == (0, 1)
    assert (await here.of(ACME).read("p")).age_seconds == 0


async def test_the_last_known_good_one_is_served_while_the_store_is_down_and_its_age_is_told(
    here: PromptLibrary, cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    await here.of(ACME).save("p", says("good"))
    await here.of(ACME).read("p")
    clock.advance(3600)
    cosmos.transport.lose_requests = 10**6

    held = await here.of(ACME).read("p")

    assert held.content.template == "good"
    assert 3600 <= held.age_seconds < 3610
    with pytest.raises(DependencyUnavailableError):
        await here.of(ACME).read("never-read")


async def test_a_prompt_that_others_deleted_is_not_served_as_the_last_good_one(
    here: PromptLibrary, there: PromptLibrary, clock: FakeClock
) -> None:
    await here.of(ACME).save("p", says("one"))
    await there.of(ACME).read("p")
    await here.of(ACME).apply(PromptEdit("p", DeletePrompt()))
    clock.advance(BOUND_SECONDS)

    with pytest.raises(PromptNotFoundError):
        await there.of(ACME).read("p")


async def test_a_global_edit_is_seen_at_once_by_every_tenant_of_the_process_that_wrote(
    here: PromptLibrary, there: PromptLibrary, clock: FakeClock
) -> None:
    async def seen(library: PromptLibrary) -> list[object]:
        return [(await library.of(tenant).read("p")).content.template for tenant in (ACME, GLOBEX)]

    await here.of(ADMIN).save("p", says("old"), source=Source.GLOBAL)
    assert await seen(here) == await seen(there) == ["old", "old"]
    await here.of(ADMIN).save("p", says("new"), source=Source.GLOBAL)

    assert await seen(here) == ["new", "new"]
    assert await seen(there) == ["old", "old"]
    clock.advance(BOUND_SECONDS)
    assert await seen(there) == ["new", "new"]


async def test_a_tenants_first_own_prompt_takes_the_place_of_the_global_one_at_once(
    here: PromptLibrary,
) -> None:
    await here.of(ADMIN).save("p", says("everybody's"), source=Source.GLOBAL)
    assert (await here.of(ACME).read("p")).source is Source.GLOBAL
    await here.of(ACME).save("p", says("own"))

    assert (await here.of(ACME).read("p")).source is Source.TENANT
    assert (await here.of(GLOBEX).read("p")).source is Source.GLOBAL


async def test_what_was_read_for_one_tenant_is_not_there_for_another(here: PromptLibrary) -> None:
    await here.of(ACME).save("p", says("secret"))
    await here.of(ACME).read("p")

    with pytest.raises(PromptNotFoundError):
        await here.of(GLOBEX).read("p")
    assert here.of(GLOBEX).peek("p") is None


async def test_a_write_whose_outcome_nobody_knows_drops_what_is_cached(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    async def lose_every_answer() -> None:
        cosmos.transport.lose_answers = 3

    container = Interrupted(cosmos.container("prompts"))
    library = library_over(container, clock)
    await library.of(ACME).save("p", says("old"))
    assert await text_of(library) == "old"
    container.next_batches(lose_every_answer)

    with pytest.raises(DependencyUnavailableError):
        await library.of(ACME).save("p", says("new"))
    assert await text_of(library) == "new"


async def test_a_listed_prompt_is_read_in_one_request_when_a_tenant_is_first_seen(
    here: PromptLibrary, cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    names = [f"p{number}" for number in range(20)]
    for name in names:
        await here.of(ACME).save(name, says(name))
    started = library_over(cosmos.container("prompts"), clock, prefetched=[*names, "nobodys"])
    before = cosmos.transport.requests

    read = [await text_of(started, name) for name in names]

    assert read == names
    assert cosmos.transport.requests - before == 2  # the tenant's own, and the global one that is left


async def test_a_prefetch_that_failed_is_tried_again(
    here: PromptLibrary, cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    await here.of(ACME).save("p", says("one"))
    started = library_over(cosmos.container("prompts"), clock, prefetched=["p"])
    cosmos.transport.lose_requests = 3
    with pytest.raises(DependencyUnavailableError):
        await started.of(ACME).read("p")
    before = cosmos.transport.requests

    await started.of(ACME).read("p")

    assert cosmos.transport.requests - before == 1
    assert started.of(ACME).peek("p") is not None


async def test_what_is_at_hand_is_fresh_or_nothing(here: PromptLibrary, clock: FakeClock) -> None:
    await here.of(ACME).save("p", says("one"))
    assert here.of(ACME).peek("p") is None
    await here.of(ACME).read("p")
    clock.advance(39)

    held = here.of(ACME).peek("p")
    clock.advance(1)

    assert held is not None
    assert (held.content.template, held.age_seconds) == ("one", 39)
    assert here.of(ACME).peek("p") is None
    assert here.of(ADMIN).peek("p") is None


async def test_large_prompts_are_not_kept(here: PromptLibrary, cosmos: MemoryCosmos) -> None:
    await here.of(ACME).save("p", says("x" * (MAX_CACHED_CHARACTERS + 1)))
    await here.of(ACME).save("p", says("x" * (MAX_CACHED_CHARACTERS + 1)))
    before = cosmos.transport.requests

    for _ in range(3):
        await here.of(ACME).read("p")
        await here.of(ACME).read("p", 1)

    assert cosmos.transport.requests - before == 3 + 6
    assert (here.cache.heads.counts.entries, here.cache.versions.counts.entries) == (0, 0)


async def test_the_administrator_who_acts_for_nobody_reads_the_store(
    here: PromptLibrary, cosmos: MemoryCosmos
) -> None:
    await here.of(ADMIN).save("p", says("one"), source=Source.GLOBAL)
    await here.of(ADMIN).save("p", says("two"), source=Source.GLOBAL)
    await here.of(ADMIN).prefetch(["p"])
    before = cosmos.transport.requests

    assert (await here.of(ADMIN).read("p", 1)).content.template == "one"
    assert cosmos.transport.requests - before == 2


async def test_a_tenant_without_the_fallback_is_not_even_looked_up_globally(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    library = library_over(cosmos.container("prompts"), clock, Fallback(on=False))

    with pytest.raises(PromptNotFoundError):
        await library.of(ACME).read("p")
    assert cosmos.transport.requests == 1


async def test_what_the_administrator_saw_is_not_shown_to_a_tenant_without_the_fallback(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    library = library_over(cosmos.container("prompts"), clock, Fallback(on=False), prefetched=["q"])
    for name in ("p", "q"):
        await library.of(ADMIN).save(name, says("everybody's"), source=Source.GLOBAL)
    acting = library.of(ACTING)

    assert (await acting.read("p", source=Source.GLOBAL)).content.template == "everybody's"
    for name in ("p", "q"):
        with pytest.raises(PromptNotFoundError):
            await acting.read(name)
        with pytest.raises(PromptNotFoundError):
            await library.of(ACME).read(name)
        assert library.of(ACME).peek(name) is None


@pytest.mark.parametrize("source", Source)
async def test_an_edit_is_seen_at_once_also_by_a_prefetch_that_began_before_it(
    cosmos: MemoryCosmos, clock: FakeClock, source: Source
) -> None:
    container = Interrupted(cosmos.container("prompts"))
    library = library_over(container, clock)
    await library.of(ACTING).save("p", says("old"), source=source)
    container.next_queries(lambda: library.of(ACTING).save("p", says("new"), source=source))

    await library.of(ACME).prefetch(["p"])

    assert await text_of(library) == "new"


async def test_what_was_prefetched_is_as_old_as_its_read(cosmos: MemoryCosmos, clock: FakeClock) -> None:
    async def take_ten_seconds() -> None:
        clock.advance(10)

    container = Interrupted(cosmos.container("prompts"))
    here, there = library_over(container, clock), library_over(cosmos.container("prompts"), clock)
    await here.of(ACME).save("p", says("old"))
    container.next_queries(take_ten_seconds)
    await here.of(ACME).prefetch(["p"])
    await there.of(ACME).save("p", says("new"))
    clock.advance(BOUND_SECONDS - 10)

    assert await text_of(here) == "new"


async def test_a_prompt_resolves_to_its_production_version_where_there_is_one_and_else_to_the_latest(
    here: PromptLibrary,
) -> None:
    prompts = here.of(ACME)
    for text in ("one", "two", "three"):
        await prompts.save("p", says(text))
    assert (await prompts.resolve("p")).version.version == 3
    await prompts.apply(PromptEdit("p", MoveLabel("production", 2)))
    await prompts.apply(PromptEdit("p", MoveLabel("staging", 1)))

    resolved = [
        await prompts.resolve("p"),
        await prompts.resolve("p", label="staging"),
        await prompts.resolve("p", label="latest"),
        await prompts.resolve("p", version=1),
    ]

    assert [prompt.version.version for prompt in resolved] == [2, 1, 3, 1]
    assert [prompt.content.template for prompt in resolved] == ["two", "one", "three", "one"]


async def test_a_global_prompt_resolves_by_its_own_labels(here: PromptLibrary) -> None:
    for text in ("one", "two"):
        await here.of(ADMIN).save("p", says(text), source=Source.GLOBAL)
    await here.of(ADMIN).apply(PromptEdit("p", MoveLabel("production", 1)), Source.GLOBAL)

    assert (await here.of(ACME).resolve("p")).content.template == "one"
    await here.of(ACME).save("p", says("own"))
    assert (await here.of(ACME).resolve("p")).content.template == "own"


async def test_resolving_names_a_version_or_a_label_and_finds_it_or_says_so(here: PromptLibrary) -> None:
    prompts = here.of(ACME)
    await prompts.save("p", says("one"))

    with pytest.raises(ValidationError, match="one of version and label"):
        await prompts.resolve("p", "latest", 1)
    for absent in (prompts.resolve("q"), prompts.resolve("p", "production"), prompts.resolve("p", version=2)):
        with pytest.raises(PromptNotFoundError):
            await absent


async def test_a_warm_prompt_resolves_without_a_request(here: PromptLibrary, cosmos: MemoryCosmos) -> None:
    prompts = here.of(ACME)
    for text in ("one", "two"):
        await prompts.save("p", says(text))
    await prompts.apply(PromptEdit("p", MoveLabel("production", 1)))
    await prompts.resolve("p")
    before = cosmos.transport.requests

    await prompts.resolve("p")

    assert cosmos.transport.requests == before


async def test_a_model_is_given_a_text_as_one_message(here: PromptLibrary) -> None:
    prompts = here.of(ACME)
    await prompts.save("p", PromptDraft(template="old {x}"))
    await prompts.save("p", PromptDraft(template="new {x}"))
    prompt = await prompts.resolve("p")

    assert render_for_model(prompt, {"x": "y"}, "user") == (ChatMessage(role="user", content="new y"),)
    with pytest.raises(ValidationError, match="missing: x"):
        render_for_model(prompt, {}, "user")


async def test_a_model_is_never_given_an_empty_prompt(here: PromptLibrary) -> None:
    await here.of(ACME).save("p", PromptDraft(template="{x}"))

    with pytest.raises(ValidationError, match="empty"):
        render_for_model(await here.of(ACME).resolve("p"), {"x": ""}, "user")


async def test_a_chat_prompt_whose_lists_nobody_gives_says_which_they_are(here: PromptLibrary) -> None:
    parts = (MessageTemplate(role="system", content="Be {tone}."), Placeholder(placeholder="history"))
    await here.of(ACME).save("p", PromptDraft(template=parts))
    prompt = await here.of(ACME).resolve("p")

    with pytest.raises(ValidationError, match="wants lists of messages") as refused:
        render_for_model(prompt, {"tone": "kind"}, "system")

    assert refused.value.detail == {"name": "p", "version": 1, "placeholders": ["history"]}
    assert prompt.placeholders == ("history",)


async def test_64_writers_on_two_instances_make_64_versions_and_each_is_told_its_own(
    here: PromptLibrary, there: PromptLibrary
) -> None:
    saves = [(here, there)[number % 2].of(ACME).save("p", says(f"text {number}")) for number in range(64)]
    saved = [prompt.version for prompt in await asyncio.gather(*saves)]

    stored = [(await here.of(ACME).read("p", number)).version for number in range(1, 65)]
    assert sorted(version.version for version in saved) == list(range(1, 65))
    told = {version.version: (version.change, version.content) for version in saved}
    assert {version.version: (version.change, version.content) for version in stored} == told
    assert [version.content.template for version in saved] == [f"text {number}" for number in range(64)]


async def test_resolving_a_chat_gives_its_messages_in_their_roles(here: PromptLibrary) -> None:
    parts = (
        MessageTemplate(role="system", content="Be {tone}."),
        Placeholder(placeholder="examples"),
        MessageTemplate(role="assistant", content="Hello."),
    )
    draft = PromptDraft(template=parts, examples=(Example(input="a", output="b"),))
    await here.of(ACME).save("p", draft)

    messages = render_for_model(await here.of(ACME).resolve("p"), {"tone": "kind"}, "system")

    assert [(message.role, message.content) for message in messages] == [
        ("system", "Be kind."),
        ("user", "a"),
        ("assistant", "b"),
        ("assistant", "Hello."),
    ]


async def test_a_chat_that_wants_messages_is_not_resolved_without_them(here: PromptLibrary) -> None:
    await here.of(ACME).save("p", PromptDraft(template=(Placeholder(placeholder="history"),)))

    with pytest.raises(ValidationError, match="missing: history"):
        render_for_model(await here.of(ACME).resolve("p"), {}, "system")
