"""Many prompts at once: a result per item, and requests to the store that are counted and bounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pydantic
import pytest

from shared.cosmos.container import BatchFailedError, BatchFailure
from shared.errors import ConflictError, DependencyUnavailableError
from shared.prompts.batches import SaveItem, delete_many, save_many
from shared.prompts.edits import DeletePrompt, MoveLabel, PromptEdit, RestorePrompt, SaveVersion
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import PromptDraft
from shared.prompts.store import PromptStore
from shared.prompts.stored_models import PromptSummary
from shared.tenancy.context import Role
from shared.tenancy.source import Source
from tests.support.fakes import tenant_context
from tests.unit_tests.prompts.interrupted import Interrupted
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.cosmos.container import BatchOperation, Json, Key
    from shared.errors import APIError
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.prompts.app import App

ACME = tenant_context("acme")
EDITOR = tenant_context("acme", Role.TENANT_ADMIN)
OWN = Source.TENANT


def items(count: int, **more: object) -> list[dict[str, object]]:
    return [{"name": f"p{number:03}", "template": f"text {number}"} | more for number in range(count)]


async def test_250_prompts_with_3_bad_ones_are_247_saved_and_3_named(app: App, cosmos: MemoryCosmos) -> None:
    batch = items(250)
    batch[7]["template"] = "{a.b}"
    batch[99] = {"name": "../etc", "template": "x"}
    batch[200]["tenant_id"] = "victim"

    reply = (await app.batch("batch_save_prompts", {"prompts": batch})).json()

    assert (reply["succeeded"], reply["failed"]) == (247, 3)
    failures = {r["index"]: (r["name"], r["failure"]) for r in reply["results"] if r["failure"]}
    assert [(index, name) for index, (name, _) in failures.items()] == [
        (7, "p007"),
        (99, "../etc"),
        (200, "p200"),
    ]
    assert "single '{'" in failures[7][1]["message"]
    assert list(failures[99][1]["detail"]["fields"]) == ["name"]
    assert list(failures[200][1]["detail"]["fields"]) == ["tenant_id"]
    assert cosmos.transport.requests == math.ceil(247 / 100) + math.ceil(250 / 25)
    listed = [
        name
        for cursor in ("", "&cursor=p100", "&cursor=p201")
        for name in [p["name"] for p in (await app.ask("list_prompts", f"limit=100{cursor}")).json()["items"]]
    ]
    assert len(set(listed)) == 247


async def test_reading_many_is_one_request_for_each_100(app: App, cosmos: MemoryCosmos) -> None:
    await app.batch("batch_save_prompts", {"prompts": items(150)})
    before = cosmos.transport.requests
    names = [f"p{number:03}" for number in range(150)]

    reply = (await app.batch("batch_get_prompts", {"names": names})).json()

    assert [result["prompt"]["template"] for result in reply["results"]] == [
        f"text {number}" for number in range(150)
    ]
    assert cosmos.transport.requests - before == 2


async def test_each_name_is_answered_also_those_that_are_not_there(app: App) -> None:
    await app.save("mine")
    await app.save_global("everybodys")
    await app.save("gone")
    await app.batch("batch_delete_prompts", {"names": ["gone"]})

    names = ["mine", "everybodys", "gone", "never", "a/b", "mine"]
    reply = (await app.batch("batch_get_prompts", {"names": names})).json()

    told = [r["prompt"]["source"] if r["prompt"] else r["failure"]["status"] for r in reply["results"]]
    assert [result["name"] for result in reply["results"]] == names
    assert told == ["tenant", "global", 404, 404, 422, 422]


async def test_deleting_many_says_what_happened_to_each(app: App) -> None:
    await app.batch("batch_save_prompts", {"prompts": items(3)})

    reply = (await app.batch("batch_delete_prompts", {"names": ["p000", "never", "p000", "p002"]})).json()

    assert [r["failure"] and r["failure"]["status"] for r in reply["results"]] == [None, 404, 422, None]
    assert [p["name"] for p in (await app.ask("list_prompts")).json()["items"]] == ["p001"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"name": "p"}, "template"),
        ({"name": "p", "template": ""}, "at least 1"),
        ({"template": "x"}, "name"),
        ({"name": 7, "template": "x"}, "name"),
        ({"name": "p", "template": "x", "id": "head:q"}, "id"),
        ({"name": "p", "template": "x", "_etag": "y"}, "_etag"),
        ({"name": "p", "template": "x", "if_match": "never"}, "changed meanwhile"),
    ],
)
async def test_a_bad_item_is_named_and_stops_no_other(app: App, item: dict[str, object], said: str) -> None:
    reply = (await app.batch("batch_save_prompts", {"prompts": [item, *items(1)]})).json()

    assert (reply["succeeded"], reply["failed"]) == (1, 1)
    assert said in reply["results"][0]["failure"]["message"]
    assert reply["results"][1]["version"] == 1


async def test_an_item_of_nothing_but_problems_is_not_answered_at_length(app: App) -> None:
    unknown = {str(number): 0 for number in range(10_000)}

    answer = await app.batch("batch_save_prompts", {"prompts": [unknown | {"name": "p", "template": "x"}]})

    (result,) = answer.json()["results"]
    assert result["failure"]["message"].startswith("Invalid prompt: has 10000 problems")
    assert len(answer.body) < 1_000


async def test_of_two_items_of_one_name_the_first_is_saved(app: App) -> None:
    reply = (await app.batch("batch_save_prompts", {"prompts": items(1) + items(1, template="b")})).json()

    assert [r["version"] for r in reply["results"]] == [1, None]
    assert "twice" in reply["results"][1]["failure"]["message"]


async def test_of_two_items_of_one_name_the_first_counts_also_where_it_is_a_bad_one(app: App) -> None:
    reply = (await app.batch("batch_save_prompts", {"prompts": [{"name": "p000"}, *items(1)]})).json()

    assert reply["succeeded"] == 0
    assert "template" in reply["results"][0]["failure"]["message"]
    assert "twice" in reply["results"][1]["failure"]["message"]


async def test_a_batch_without_items_or_with_too_many_is_refused_whole(app: App) -> None:
    bodies: list[object] = [{"prompts": []}, {"prompts": items(501)}, {"prompts": ["x"]}, {}]
    for body in bodies:
        assert (await app.batch("batch_save_prompts", body)).status == 422
    assert (await app.batch("batch_save_prompts", {"prompts": items(1)}, headers=app.user)).status == 403


def saves(count: int, text: str = "mine") -> list[PromptEdit]:
    save = SaveVersion(PromptDraft(template=text))
    return [PromptEdit(f"p{number:03}", save) for number in range(count)]


def made(outcomes: Sequence[PromptSummary | APIError]) -> list[int]:
    return [outcome.version for outcome in outcomes if isinstance(outcome, PromptSummary)]


@pytest.mark.parametrize(
    ("item", "field", "problem"),
    [
        ({"template": ["no"]}, "template.messages.0.message", "Input should be an object"),
        ({"template": "x", "tags": "t"}, "tags", "Input should be a valid array"),
        ({"template": "x", "examples": [1]}, "examples.0", "Input should be an object"),
    ],
)
async def test_what_is_wrong_is_told_in_the_words_of_json(
    app: App, item: dict[str, object], field: str, problem: str
) -> None:
    reply = (await app.batch("batch_save_prompts", {"prompts": [{"name": "p", **item}]})).json()

    assert reply["results"][0]["failure"]["detail"]["fields"][field] == problem


async def test_one_that_was_overtaken_is_worked_out_again_with_its_batch(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = cosmos.container("prompts")
    other = PromptStore(ACME, container, clock)
    overtake = Interrupted(container, batches=[lambda: other.save("p007", PromptDraft(template="x"), None)])

    outcomes = await PromptStore(ACME, overtake, clock).commit_all(saves(50))

    assert made(outcomes) == [1] * 7 + [2] + [1] * 42
    read_and_two_batches, other_save, looked_for_read_and_batch = 3, 2, 3
    assert cosmos.transport.requests == read_and_two_batches + other_save + looked_for_read_and_batch


async def test_one_that_is_always_overtaken_is_told_and_holds_up_no_other(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = cosmos.container("prompts")
    other = PromptStore(ACME, container, clock)
    events = [lambda: other.save("p007", PromptDraft(template="x"), None)] * 4

    outcomes = await PromptStore(ACME, Interrupted(container, batches=events), clock).commit_all(saves(25))

    assert isinstance(outcomes[7], ConflictError)
    assert len(made(outcomes)) == 24
    assert (await other.read("p007")).version.version == 4


async def test_a_batch_whose_answer_was_lost_is_made_once(cosmos: MemoryCosmos, clock: FakeClock) -> None:
    async def lose_the_answer() -> None:
        cosmos.transport.lose_answers = 1

    container = Interrupted(cosmos.container("prompts"), batches=[lose_the_answer])
    store = PromptStore(ACME, container, clock)

    assert made(await store.commit_all(saves(50))) == [1] * 50
    assert [one.version for one in await store.versions("p000", 99, 9)] == [1]


async def test_one_that_the_store_refuses_is_left_out_and_the_others_run_again(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    class RefusingOne(Interrupted):
        async def batch(
            self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
        ) -> list[Json]:
            for index, operation in enumerate(operations):
                if operation.item_id == "head:p007":
                    raise BatchFailedError(index, BatchFailure.REFUSED)
            return await super().batch(key, operations, minimal=minimal)

    outcomes = await PromptStore(ACME, RefusingOne(cosmos.container("prompts")), clock).commit_all(saves(50))

    assert isinstance(outcomes[7], BatchFailedError)
    assert len(made(outcomes)) == 49


@pytest.mark.parametrize("text", ["x" * 190_000, "\n" * 190_000, "\0" * 140_000, "\N{OWL}" * 70_000])
async def test_large_prompts_are_cut_into_batches_that_the_store_takes(
    cosmos: MemoryCosmos, clock: FakeClock, text: str
) -> None:
    store = PromptStore(ACME, cosmos.container("prompts"), clock)

    assert made(await store.commit_all(saves(10, text))) == [1] * 10


def test_a_text_whose_json_is_too_large_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="at most 900000 bytes as JSON"):
        PromptDraft(template="\N{OWL}" * 80_000)


async def test_when_the_store_is_down_for_all_the_batch_fails_as_one_call_would(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    async def go_down() -> None:
        cosmos.transport.lose_requests = 10**6

    container = Interrupted(cosmos.container("prompts"), batches=[go_down])
    with pytest.raises(DependencyUnavailableError):
        await PromptStore(ACME, container, clock).commit_all(
            [PromptEdit("bad", SaveItem({"template": 7})), *saves(60)]
        )


async def test_when_the_store_goes_down_midway_what_was_saved_is_told(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    async def nothing() -> None:
        pass

    async def go_down() -> None:
        cosmos.transport.lose_requests = 10**6

    container = Interrupted(cosmos.container("prompts"), batches=[nothing, go_down])
    outcomes = await PromptStore(ACME, container, clock).commit_all(saves(60))

    assert made(outcomes) == [1] * 25
    assert all(isinstance(outcome, DependencyUnavailableError) for outcome in outcomes[25:])


async def test_what_is_told_of_many_is_what_is_stored(cosmos: MemoryCosmos, clock: FakeClock) -> None:
    store = PromptStore(ACME, cosmos.container("prompts"), clock)
    saved = await store.commit_all(saves(3))
    labelled = await store.commit_all([PromptEdit("p000", MoveLabel("live", 1))])
    deleted = await store.commit_all([PromptEdit("p001", DeletePrompt(), reason="old")])
    again = PromptDraft(template="x", description="why", tags=("t",))
    resaved = await store.commit_all([PromptEdit("p000", SaveVersion(again)), *saves(2)[1:]])

    stored = [await store.head(name) for name in ("p000", "p001", "p002")]
    expected = [PromptSummary.model_validate(dict(head) | {"etag": head.etag}) for head in stored if head]
    assert [*resaved, saved[2]] == expected
    assert [made(outcome) for outcome in (labelled, deleted, resaved)] == [[1], [1], [2, 2]]


async def test_where_the_store_tells_no_etags_they_are_read(cosmos: MemoryCosmos, clock: FakeClock) -> None:
    class Silent(Interrupted):
        async def batch(
            self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
        ) -> list[Json]:
            return [{} for _ in await super().batch(key, operations, minimal=minimal)]

    outcomes = await PromptStore(ACME, Silent(cosmos.container("prompts")), clock).commit_all(saves(2))

    assert made(outcomes) == [1, 1]
    heads = [await PromptStore(ACME, cosmos.container("prompts")).head(name) for name in ("p000", "p001")]
    assert [one.etag for one in outcomes if isinstance(one, PromptSummary)] == [h.etag for h in heads if h]


async def test_deleting_many_that_others_deleted_meanwhile_says_so(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = cosmos.container("prompts")
    other = PromptStore(ACME, container, clock)
    await other.commit_all(saves(2))
    gone = [lambda: other.commit(PromptEdit("p001", DeletePrompt()))]
    wanted = [PromptEdit(name, DeletePrompt()) for name in ("p000", "p001")]

    outcomes = await PromptStore(ACME, Interrupted(container, batches=gone), clock).commit_all(wanted)

    assert isinstance(outcomes[0], PromptSummary)
    assert isinstance(outcomes[1], PromptNotFoundError)


async def test_what_another_instance_did_since_refuses_nothing_of_a_batch(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = cosmos.container("prompts")
    here, there = (library_over(container, clock).of(EDITOR) for _ in range(2))
    await save_many(here, [{"name": "p", "template": "one"}, {"name": "q", "template": "one"}], OWN)
    await delete_many(here, ["q"], OWN)
    newer = (await there.save("p", PromptDraft(template="two"))).head.etag
    await there.apply(PromptEdit("q", RestorePrompt()))

    saved = await save_many(here, [{"name": "p", "template": "three", "if_match": newer}], OWN)
    deleted = await delete_many(here, ["q"], OWN)

    assert [told.outcome.version for told in saved if isinstance(told.outcome, PromptSummary)] == [3]
    assert [told.outcome.deleted for told in deleted if isinstance(told.outcome, PromptSummary)] == [True]


async def test_what_was_saved_is_told_also_where_nobody_can_look_after_the_rest(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = cosmos.container("prompts")
    other = PromptStore(ACME, container, clock)

    async def nothing() -> None:
        pass

    async def overtake_and_go_down() -> None:
        await other.save("p030", PromptDraft(template="x"), None)
        cosmos.transport.watch_done = lambda _: setattr(cosmos.transport, "lose_requests", 10**6)

    overtaken = Interrupted(container, batches=[nothing, overtake_and_go_down])
    outcomes = await PromptStore(ACME, overtaken, clock).commit_all(saves(50))

    assert made(outcomes) == [1] * 25
    assert all(isinstance(outcome, DependencyUnavailableError) for outcome in outcomes[25:])


async def test_where_the_store_tells_no_etags_and_goes_down_what_others_saved_is_told(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    class SilentOnce(Interrupted):
        async def batch(
            self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
        ) -> list[Json]:
            told = await super().batch(key, operations, minimal=minimal)
            if operations[0].item_id == "head:p000":
                return told
            cosmos.transport.lose_requests = 10**6
            return [{} for _ in told]

    outcomes = await PromptStore(ACME, SilentOnce(cosmos.container("prompts")), clock).commit_all(saves(50))

    assert made(outcomes) == [1] * 25
    assert all(isinstance(outcome, DependencyUnavailableError) for outcome in outcomes[25:])
