"""Bounds of work and of answers: in bytes, values and levels, before the work begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError as PydanticValidationError

from functions.prompts.models import MAX_ANSWER_BYTES
from shared.contracts import ChatMessage
from shared.cosmos.partition import Partition
from shared.errors import ValidationError
from shared.prompts.batch_commit import cut_batches
from shared.prompts.batches import parse_draft
from shared.prompts.commits import Editor
from shared.prompts.edits import PromptEdit, SaveVersion
from shared.prompts.models import MAX_CONFIG_BYTES, MAX_CONFIG_VALUES, MAX_CONTENT_BYTES, PromptDraft
from shared.prompts.rendering import MAX_RENDERED_BYTES, MAX_RENDERED_CHARACTERS, render_prompt
from shared.prompts.store import PromptStore
from shared.prompts.stored_models import PromptContent, PromptSummary
from shared.tenancy.source import Source
from tests.support.fakes import Call, platform_context, tenant_context
from tests.unit_tests.prompts.interrupted import Interrupted
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.cosmos.container import BatchOperation, Json, Key, Query
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.prompts.app import App

ACME = tenant_context("acme")
ADMIN = platform_context()
LARGE = [{"role": "user", "content": "x" * 170_000}] * 5
"""A chat of 850 kB."""

type Config = dict[str, Any]


class Measured(Interrupted):
    """Counts the bytes that are sent in each batch, and those that come back."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # those of `Interrupted`
        super().__init__(*arguments, **options)
        self.sent: list[int] = []
        self.received = 0

    async def batch(
        self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
    ) -> list[Json]:
        bodies = [
            [one.body, one.patch and [step.as_json() for step in one.patch.operations]] for one in operations
        ]
        self.sent.append(len(json.dumps(bodies)))
        return await super().batch(key, operations, minimal=minimal)

    async def query(self, key: Key, query: Query) -> list[Json]:
        found = await super().query(key, query)
        self.received += len(json.dumps(found))
        return found

    async def read(self, key: Key, item_id: str) -> Json | None:
        found = await super().read(key, item_id)
        self.received += len(json.dumps(found))
        return found


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "config",
    [
        {"a": "x" * MAX_CONFIG_BYTES},
        {"a": "\N{OWL}" * (MAX_CONFIG_BYTES // 12 + 1)},
        {"a": [0] * MAX_CONFIG_VALUES},
        {"a": nested(16)},
        {"x" * MAX_CONFIG_BYTES: 1},
    ],
    ids=["text", "owls", "numbers", "levels", "key"],
)
async def test_a_config_that_is_too_large_is_refused_alone_and_in_a_batch(app: App, config: Config) -> None:
    alone = await app.save(config=config)
    batch = await app.batch(
        "batch_save_prompts", {"prompts": [{"name": "p", "template": "x", "config": config}]}
    )

    assert (alone.status, list(alone.json()["detail"]["fields"])) == (422, ["body.config"])
    failure = batch.json()["results"][0]["failure"]
    assert (failure["status"], list(failure["detail"]["fields"])) == (422, ["config"])
    assert (await app.get()).status == 404


@pytest.mark.parametrize(
    "config",
    [
        {"a": "x" * (MAX_CONFIG_BYTES - 10)},
        {"a": [0] * (MAX_CONFIG_VALUES - 2)},
        {"a": nested(15)},
    ],
    ids=["text", "numbers", "levels"],
)
async def test_a_config_of_the_largest_size_is_kept_as_it_is(app: App, config: Config) -> None:
    assert (await app.save(config=config)).status == 200
    assert (await app.get("fresh=true")).json()["config"] == config


async def test_a_name_that_is_asked_for_twice_is_answered_once(app: App) -> None:
    await app.save("p")

    results = (await app.batch("batch_get_prompts", {"names": ["p", "p", "q", "p"]})).json()["results"]

    assert [result["name"] for result in results] == ["p", "p", "q", "p"]
    assert [result["failure"] and result["failure"]["status"] for result in results] == [None, 422, 404, 422]
    assert "twice" in results[1]["failure"]["message"]


async def test_a_large_prompt_asked_for_500_times_is_answered_once(app: App) -> None:
    assert (await app.save("big", template=LARGE)).status == 200

    answer = await app.batch("batch_get_prompts", {"names": ["big"] * 500})

    assert len(answer.body) < 1_100_000
    assert sum(result["prompt"] is not None for result in answer.json()["results"]) == 1


@pytest.mark.slow
async def test_many_large_prompts_are_answered_as_far_as_there_is_room_and_the_rest_says_so(app: App) -> None:
    names = [f"big{number:02}" for number in range(12)]
    for name in names:
        assert (await app.save(name, template=LARGE)).status == 200
    await app.save("small")

    answer = await app.batch("batch_get_prompts", {"names": [*names, "small", "never"]})

    assert len(answer.body) <= MAX_ANSWER_BYTES
    results = answer.json()["results"]
    told = [result["failure"] and result["failure"]["status"] for result in results]
    assert told == [None] * 9 + [413] * 3 + [None, 404]
    assert results[9]["failure"]["detail"] == {"name": "big09", "max_bytes": MAX_ANSWER_BYTES}
    again = await app.batch("batch_get_prompts", {"names": names[9:]})
    assert [result["failure"] for result in again.json()["results"]] == [None] * 3


@pytest.mark.slow
async def test_an_answer_of_many_small_prompts_full_of_names_and_warnings_is_bounded(app: App) -> None:
    template = "".join(f"{{{'v' * 58}_{number:03}}}" for number in range(200))
    names = [f"p{number:03}" for number in range(500)]
    for start in range(0, 500, 50):
        items = [{"name": name, "template": template} for name in names[start : start + 50]]
        saved = (await app.batch("batch_save_prompts", {"prompts": items})).json()
        assert saved["succeeded"] == 50

    answer = await app.batch("batch_get_prompts", {"names": names})

    assert len(answer.body) <= MAX_ANSWER_BYTES
    told = {result["failure"]["status"] if result["failure"] else 200 for result in answer.json()["results"]}
    assert told == {200, 413}


@pytest.mark.slow
async def test_what_an_answer_has_no_room_for_is_not_even_read(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = Measured(cosmos.container("prompts"))
    prompts = library_over(container, clock).of(ACME)
    for number in range(40):
        draft = PromptDraft.model_validate({"template": LARGE}, strict=False)
        await prompts.save(f"big{number:02}", draft)
    container.received = 0

    read = await prompts.read_all([f"big{number:02}" for number in range(40)], max_bytes=2_000_000)

    assert (len(read.prompts), len(read.left_out)) == (2, 38)
    assert container.received < 2_000_000


@pytest.mark.slow
async def test_a_tenants_own_prompt_without_room_is_not_answered_by_its_global_namesake(app: App) -> None:
    names = [f"p{number:02}" for number in range(12)]
    for name in names:
        await app.save_global(name, template="everybody's")
        await app.save(name, template=LARGE)

    results = (await app.batch("batch_get_prompts", {"names": names})).json()["results"]

    assert {result["prompt"]["source"] for result in results if result["prompt"]} == {"tenant"}


async def test_once_there_is_no_room_left_no_content_is_read_any_more(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = Measured(cosmos.container("prompts"))
    prompts = library_over(container, clock).of(ACME)
    names = [f"p{number:03}" for number in range(120)]
    draft = PromptDraft(template="x" * 20_000)
    await prompts.apply_all([PromptEdit(name, SaveVersion(draft)) for name in names])
    container.received = 0

    read = await prompts.read_all(names, max_bytes=100_000)

    assert len(read.prompts) == 4
    assert container.received < 100 * 20_000 + 120 * 1_000


async def test_the_own_and_the_global_prompts_of_an_answer_share_its_room(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    library = library_over(cosmos.container("prompts"), clock)
    prompts = library.of(ACME)
    names = [f"p{number}" for number in range(6)]
    for name in names:
        text = "x" * (10 if name < "p3" else 1_000)
        await library.of(ADMIN).save(name, PromptDraft(template=text), source=Source.GLOBAL)
    for name in names[:3]:
        await prompts.save(name, PromptDraft(template="y" * 1_000))

    read = await prompts.read_all(names, max_bytes=2_500)
    more = await prompts.read_all(names, max_bytes=4_500)

    assert ([*read.prompts], read.left_out) == (names[:2], {*names[2:]})
    assert ([*more.prompts], more.left_out) == (names[:4], {*names[4:]})
    assert [prompt.source for prompt in more.prompts.values()] == ["tenant"] * 3 + ["global"]


async def test_heads_that_an_older_release_stored_without_their_size_are_read_too(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = cosmos.container("prompts")
    prompts = library_over(container, clock).of(ACME)
    await prompts.save("p", PromptDraft(template="text"))
    stored = await container.read(("acme",), "head:p")
    assert stored is not None
    del stored["size"]
    await container.upsert(("acme",), {name: value for name, value in stored.items() if name[0] != "_"})

    read = await prompts.read_all(["p"])

    assert read.prompts["p"].content.template == "text"


async def test_two_large_prompts_are_two_batches_that_the_store_takes(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = Measured(cosmos.container("prompts"))
    store = PromptStore(ACME, container, clock)
    draft = PromptDraft.model_validate(
        {"template": [{"role": "user", "content": "x" * 175_000}] * 4}, strict=False
    )

    outcomes = await store.commit_all([PromptEdit(name, SaveVersion(draft)) for name in ("a", "b")])

    assert all(isinstance(outcome, PromptSummary) for outcome in outcomes)
    assert len(container.sent) == 2
    assert max(container.sent) < 2 * 1024 * 1024


async def test_the_largest_prompt_fits_into_one_batch_also_when_it_is_saved_again(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    container = Measured(cosmos.container("prompts"))
    store = PromptStore(ACME, container, clock)
    texts = ["\x00" * 29_000] * 5
    draft = PromptDraft.model_validate(
        {
            "template": [{"role": "user", "content": text} for text in texts],
            "description": "\N{OWL}" * 500,
            "reason": "\x01" * 500,
        },
        strict=False,
    )
    assert MAX_CONTENT_BYTES - 30_000 < draft.size <= MAX_CONTENT_BYTES

    for version in (1, 2):
        assert (await store.save("p", draft, None)).version.version == version
    assert max(container.sent) < 2 * 1024 * 1024


def rendered_bytes(content: PromptContent, *arguments: Any) -> int:  # noqa: ANN401  # those of `render_prompt`
    rendered = render_prompt(content, *arguments)
    messages = [message.model_dump() for message in rendered.messages or ()]
    return len(json.dumps({"text": rendered.text, "messages": messages}, ensure_ascii=False).encode())


@pytest.mark.parametrize("character", ["x", "\x01", "\N{OWL}", "\N{CJK UNIFIED IDEOGRAPH-4E00}", '"'])
@pytest.mark.parametrize("chat", [False, True])
def test_a_rendered_text_is_bounded_in_characters_and_in_bytes(character: str, *, chat: bool) -> None:
    template = "{a}{b}" * 100
    content = PromptContent.model_validate(
        {"template": [{"role": "user", "content": template}] if chat else template}
    )
    bytes_each = {"x": 1, "\x01": 6, "\N{OWL}": 4, "\N{CJK UNIFIED IDEOGRAPH-4E00}": 3, '"': 2}[character]
    fits = min(MAX_RENDERED_CHARACTERS, (MAX_RENDERED_BYTES - 1_000) // bytes_each) // 200

    assert rendered_bytes(content, {"a": character * fits, "b": character * fits}) < MAX_ANSWER_BYTES
    with pytest.raises(ValidationError, match="longer than"):
        render_prompt(content, {"a": character * (fits + 10), "b": character * (fits + 10)})


def test_many_large_variables_are_refused_before_they_are_put_together() -> None:
    content = PromptContent(template="".join(f"{{v{number}}}" for number in range(200)))

    with pytest.raises(ValidationError, match="longer than") as refused:
        render_prompt(content, {f"v{number}": "x" * 5_001 for number in range(200)})

    assert refused.value.detail == {"max_characters": MAX_RENDERED_CHARACTERS}
    assert len(render_prompt(content, {f"v{n}": "x" * 5_000 for n in range(200)}).text) == 1_000_000


def test_the_bound_counts_the_messages_too_however_short_they_are() -> None:
    parts = [{"placeholder": "history"}] * 100
    content = PromptContent.model_validate({"template": parts})
    history = [ChatMessage(role="user", content="x")] * 30_000

    with pytest.raises(ValidationError, match="longer than"):
        render_prompt(content, {}, {"history": history})


async def test_the_largest_rendering_is_an_answer_within_the_bound(app: App) -> None:
    await app.save(template=[{"role": "user", "content": "{a}" * 50}], config={"a": "x" * 90_000})
    most = MAX_RENDERED_BYTES // 6 // 50 - 10
    call = Call.of({"variables": {"a": "\x01" * most}}, headers=app.user, name="p")

    answer = await app.client.call("render_prompt", call)

    assert answer.status == 200
    assert 7_000_000 < len(answer.body) <= MAX_ANSWER_BYTES


def refusal_of(draft: dict[str, object]) -> ValidationError:
    with pytest.raises(ValidationError) as refused:
        parse_draft(PromptDraft, draft)
    return refused.value


@pytest.mark.parametrize("value", [[], {}, 0, "x"], ids=["lists", "objects", "numbers", "texts"])
def test_a_config_of_too_many_values_is_refused_whatever_they_are(value: object) -> None:
    refused = refusal_of({"template": "x", "config": {"a": [value] * MAX_CONFIG_VALUES}})

    assert refused.detail == {"fields": {"config": "at most 10000 values, objects and lists"}}


@pytest.mark.parametrize("config", [{"a": "\ud800"}, {"a": ["x", {"b": "\udfff"}]}], ids=["text", "inside"])
def test_a_config_with_half_a_character_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(PydanticValidationError, match="texts have no lone surrogates"):
        PromptDraft.model_validate({"template": "x", "config": config})


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([750_000, 750_000], [2]),
        ([750_000, 750_001], [1, 1]),
        ([1_500_001], [1]),
        ([1_500_000, 1], [1, 1]),
        ([1, 1_499_999, 1_500_000], [2, 1]),
    ],
)
def test_batches_hold_a_million_and_a_half_bytes(
    cosmos: MemoryCosmos, clock: FakeClock, sizes: list[int], batches: list[int]
) -> None:
    plans = Editor(Partition.of(ACME, cosmos.container("prompts")), "somebody")
    commit = plans.prepare(PromptEdit("p", SaveVersion(PromptDraft(template="x"))), None, clock.now())

    cut = list(cut_batches(commit._replace(size=size) for size in sizes))

    assert [len(batch) for batch in cut] == batches


@pytest.mark.parametrize(
    ("draft", "problem"),
    [
        ({"template": [[]] * 5_000}, "template: at most 100 items"),
        ({"template": "x", "tags": [[]] * 5_000}, "tags: at most 50 items"),
        ({"template": "x", "examples": [[]] * 5_000}, "examples: at most 50 items"),
        ({"template": "x", "declared_variables": {f"v{n}": [] for n in range(201)}}, "at most 200 items"),
    ],
    ids=["template", "tags", "examples", "declarations"],
)
def test_a_list_that_is_too_long_is_one_problem_and_not_one_for_each_item(
    draft: dict[str, object], problem: str
) -> None:
    assert refusal_of(draft).message.endswith(problem)


@pytest.mark.parametrize("field", ["config", "template", "tags", "unknown"])
def test_a_draft_of_countless_values_is_refused_before_it_is_validated(field: str) -> None:
    refused = refusal_of({"template": "x", field: [[]] * 100_000})

    assert refused.message == "Invalid prompt: it has more than 12000 values, objects and lists"


async def test_the_draft_that_has_most_values_is_saved_in_a_batch_too(app: App) -> None:
    names = [f"v{number}" for number in range(100)]
    draft = {
        "template": [{"role": "user", "content": f"{{{name}}}"} for name in names[:50]]
        + [{"role": "user", "content": "".join(f"{{{name}}}" for name in names)}] * 49
        + [{"placeholder": "examples"}],
        "tags": [f"t{number}" for number in range(50)],
        "config": {"a": [0] * (MAX_CONFIG_VALUES - 2)},
        "declared_variables": {name: {"description": "d", "default": "x"} for name in names},
        "examples": [{"input": "a", "output": "b"}] * 50,
    }

    (result,) = (await app.batch("batch_save_prompts", {"prompts": [{"name": "p", **draft}]})).json()[
        "results"
    ]

    assert result["failure"] is None
