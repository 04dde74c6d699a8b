"""Bots are saved, shown, listed and removed, each in its tenant's own name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.bots.models import MAX_BOT_ID
from functions.chat.bots.repository import BotRepository
from functions.chat.bots.stored_models import StoredBotConfig
from shared.cosmos.container import Patch, PatchOperation
from shared.errors import ConflictError
from shared.prompts.models import Example, Placeholder, PromptDraft
from tests.support.fakes import Call
from tests.unit_tests.chat.app import ACME
from tests.unit_tests.prompts.interrupted import Interrupted

if TYPE_CHECKING:
    from shared.cosmos.container import Json, Key
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App

MINE = StoredBotConfig(system_prompt="mine", max_output_tokens=512, history_turns=10)
THEIRS = MINE.model_copy(update={"system_prompt": "theirs"})


async def test_a_saved_bot_is_shown_with_its_defaults(app: App) -> None:
    saved = await app.save_bot(name="Help", prompt_name="p", temperature=0.5)
    shown = await app.on_bot()

    assert (
        shown.json()
        == saved.json()
        == {
            "bot_id": "b",
            "config": {
                "name": "Help",
                "description": None,
                "prompt_name": "p",
                "prompt": None,
                "system_prompt": None,
                "model": None,
                "temperature": 0.5,
                "max_output_tokens": 512,
                "history_turns": 10,
            },
            "updated_at": "2026-01-31T10:30:00Z",
            "etag": saved.headers["etag"],
        }
    )


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"name": "neither"}, "body"),
        ({"system_prompt": "a", "prompt_name": "b"}, "body"),
        ({"prompt": {"name": "a"}, "prompt_name": "b"}, "body"),
        ({"prompt": {"name": "a"}, "system_prompt": "b"}, "body"),
        ({"prompt": {"name": "a", "label": "b", "version": 1}}, "body.prompt"),
        ({"prompt": {"name": "a b"}}, "body.prompt.name"),
        ({"prompt": {"name": "a", "version": 0}}, "body.prompt.version"),
        ({"prompt": {"name": "a", "version": "1"}}, "body.prompt.version"),
        ({"prompt": {"name": "a", "tag": "b"}}, "body.prompt.tag"),
        ({"system_prompt": ""}, "body.system_prompt"),
        ({"prompt_name": "a b"}, "body.prompt_name"),
        ({"system_prompt": "a", "temperature": 2.1}, "body.temperature"),
        ({"system_prompt": "a", "max_output_tokens": 0}, "body.max_output_tokens"),
        ({"system_prompt": "a", "max_output_tokens": "9"}, "body.max_output_tokens"),
        ({"system_prompt": "a", "history_turns": 51}, "body.history_turns"),
        ({"system_prompt": "a", "stream": True}, "body.stream"),
        ({"system_prompt": "a", "tenant_id": "globex"}, "body.tenant_id"),
    ],
)
async def test_an_invalid_bot_is_refused_by_field_and_the_old_one_stays(
    app: App, config: dict[str, object], field: str
) -> None:
    before = (await app.on_bot()).json()
    refused = await app.client.call("save_bot", Call.of(config, headers=app.editor, bot_id="b"))

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, [field])
    assert (await app.on_bot()).json() == before


async def test_a_bot_id_is_plain_and_leaves_room_for_its_name_in_the_ledger(app: App) -> None:
    for bot_id in ("", ".b", "a/b", "a b", "x" * (MAX_BOT_ID + 1)):
        assert (await app.save_bot(bot_id)).status == 422
    assert (await app.save_bot("x" * MAX_BOT_ID)).status == 200


async def test_if_match_saves_and_removes_only_the_state_it_names(app: App) -> None:
    seen = (await app.on_bot()).headers["etag"]
    newer = (await app.save_bot(headers=app.editor | {"if-match": seen})).headers["etag"]

    assert (await app.save_bot(headers=app.editor | {"if-match": seen})).status == 412
    assert (await app.on_bot("delete_bot", headers=app.editor | {"if-match": seen})).status == 412
    assert (await app.save_bot("new", headers=app.editor | {"if-match": seen})).status == 412
    assert (await app.on_bot("delete_bot", headers=app.editor | {"if-match": newer})).status == 204
    assert (await app.on_bot()).status == 404


async def test_removing_what_is_not_there_is_a_404(app: App) -> None:
    assert (await app.on_bot("delete_bot", headers=app.editor)).status == 204
    again = await app.on_bot("delete_bot", headers=app.editor)
    assert (again.status, again.json()["error"]) == (404, "BotNotFoundError")


async def test_bots_are_listed_by_id_in_pages(app: App) -> None:
    for bot_id in ("d", "a", "c"):
        await app.save_bot(bot_id)

    first = (await app.client.call("list_bots", Call(query="limit=3", headers=app.user))).json()
    rest = Call(query=f"limit=3&cursor={first['next_cursor']}", headers=app.user)
    second = (await app.client.call("list_bots", rest)).json()
    assert [bot["bot_id"] for bot in first["items"]] == ["a", "b", "c"]
    assert ([bot["bot_id"] for bot in second["items"]], second["next_cursor"]) == (["d"], None)


async def test_users_do_not_write_bots(app: App) -> None:
    assert (await app.save_bot(headers=app.user)).status == 403
    assert (await app.on_bot("delete_bot")).status == 403


async def test_what_a_newer_release_stored_is_tolerated_and_kept(app: App, cosmos: MemoryCosmos) -> None:
    container = cosmos.container("bots")
    newer = (PatchOperation("set", "/config/tools", ["search"]), PatchOperation("set", "/source", "global"))
    await container.patch(("acme",), "b", Patch(newer))

    assert (await app.on_bot()).status == 200
    assert (await app.save_bot()).status == 200
    assert (await container.read(("acme",), "b") or {})["source"] == "global"


@pytest.fixture
def bots(cosmos: MemoryCosmos, clock: FakeClock) -> BotRepository:
    return BotRepository(ACME, cosmos.container("bots"), clock)


async def test_a_bot_that_others_create_meanwhile_is_saved_over(
    cosmos: MemoryCosmos, clock: FakeClock, bots: BotRepository
) -> None:
    other = Interrupted(cosmos.container("bots"), creates=[lambda: bots.save("b", THEIRS, None)])

    await BotRepository(ACME, other, clock).save("b", MINE, None)

    assert (await bots.read("b")).config.system_prompt == MINE.system_prompt


async def test_a_bot_that_comes_and_goes_is_given_up_on(
    cosmos: MemoryCosmos, clock: FakeClock, bots: BotRepository
) -> None:
    class ComesAndGoes(Interrupted):
        async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
            await self.delete(key, item_id, None)
            return await super().patch(key, item_id, patch)

    comes = [lambda: bots.save("b", THEIRS, None)] * 3
    other = ComesAndGoes(cosmos.container("bots"), creates=comes)

    with pytest.raises(ConflictError, match="saved by others"):
        await BotRepository(ACME, other, clock).save("b", MINE, None)


@pytest.mark.parametrize(
    ("field", "source"),
    [
        ("body.prompt_name", {"prompt_name": "p"}),
        ("body.prompt", {"prompt": {"name": "p"}}),
        ("body.prompt", {"prompt": {"name": "p", "version": 2}}),
        ("body.prompt", {"prompt": {"name": "p", "label": "latest"}}),
    ],
)
async def test_a_prompt_that_wants_what_no_turn_gives_is_refused_by_its_field(
    app: App, field: str, source: dict[str, Any]
) -> None:
    await app.prompts.save("p", PromptDraft(template="Hello {who}."))
    await app.prompts.save("p", PromptDraft(template=(Placeholder(placeholder="history"),)))

    refused = await app.save_bot(**source)

    assert refused.status == 422
    assert "version 2 wants lists of messages" in refused.json()["detail"]["fields"][field]
    assert (await app.on_bot()).json()["config"]["system_prompt"] == "Be brief."


@pytest.mark.parametrize(
    "source",
    [
        {"prompt_name": "filled"},
        {"prompt_name": "examples"},
        {"prompt_name": "later"},
        {"prompt": {"name": "p", "version": 1}},
        {"prompt": {"name": "p", "version": 9}},
        {"system_prompt": "{history}"},
    ],
)
async def test_a_prompt_whose_variables_are_each_turns_or_that_comes_later_is_taken(
    app: App, source: dict[str, Any]
) -> None:
    await app.prompts.save("filled", PromptDraft(template="Hello {who}."))
    example = Example(input="a", output="b")
    examples = PromptDraft(template=(Placeholder(placeholder="examples"),), examples=(example,))
    await app.prompts.save("examples", examples)
    await app.prompts.save("p", PromptDraft(template="Hello {who}."))
    await app.prompts.save("p", PromptDraft(template=(Placeholder(placeholder="history"),)))

    assert (await app.save_bot(**source)).status == 200
