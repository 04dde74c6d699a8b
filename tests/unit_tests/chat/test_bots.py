"""Bots are saved, shown, listed and removed, each in its tenant's own name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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
    from shared.errors import JsonValue
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.chat.app import App

MINE = StoredBotConfig(system_prompt="mine")
THEIRS = MINE.model_copy(update={"system_prompt": "theirs"})


async def test_a_saved_bot_is_shown_with_its_defaults(app: App) -> None:
    saved = await app.save_bot(prompt={"name": "p"}, llm={"temperature": 0.5}, tags=["help"])
    shown = await app.on_bot()

    assert (
        shown.json()
        == saved.json()
        == {
            "bot_id": "b",
            "config": {
                "llm": {
                    "provider": "openai",
                    "model": None,
                    "temperature": 0.5,
                    "max_output_tokens": None,
                    "reasoning_effort": None,
                },
                "system_prompt": None,
                "prompt": {"name": "p", "label": None, "version": None},
                "conversation_storage": {"backend": "cosmos"},
                "memory": {"type": "buffer", "max_tokens": 4000, "summary_model": None},
                "response_format": None,
                "limits": {"max_message_characters": 100_000, "turns_per_minute": None},
                "retention_days": None,
                "description": None,
                "tags": ["help"],
            },
            "source": "tenant",
            "updated_at": "2026-01-31T10:30:00Z",
            "etag": saved.headers["etag"],
        }
    )


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"description": "neither"}, "body"),
        ({"prompt": {"name": "a"}, "system_prompt": "b"}, "body"),
        ({"prompt": {"name": "a", "label": "b", "version": 1}}, "body.prompt"),
        ({"prompt": {"name": "a b"}}, "body.prompt.name"),
        ({"prompt": {"name": "a", "version": 0}}, "body.prompt.version"),
        ({"prompt": {"name": "a", "version": "1"}}, "body.prompt.version"),
        ({"prompt": {"name": "a", "tag": "b"}}, "body.prompt.tag"),
        ({"system_prompt": ""}, "body.system_prompt"),
        ({"system_prompt": "a", "llm": {"temperature": 2.1}}, "body.llm.temperature"),
        ({"system_prompt": "a", "llm": {"max_output_tokens": 0}}, "body.llm.max_output_tokens"),
        ({"system_prompt": "a", "llm": {"max_output_tokens": "9"}}, "body.llm.max_output_tokens"),
        ({"system_prompt": "a", "llm": {"provider": "elsewhere"}}, "body.llm.provider"),
        ({"system_prompt": "a", "llm": {"model": "a b"}}, "body.llm.model"),
        ({"system_prompt": "a", "llm": {"reasoning_effort": "much"}}, "body.llm.reasoning_effort"),
        ({"system_prompt": "a", "llm": {"api_key": "x"}}, "body.llm.api_key"),
        (
            {"system_prompt": "a", "conversation_storage": {"backend": "disk"}},
            "body.conversation_storage.backend",
        ),
        ({"system_prompt": "a", "memory": {"type": "vector"}}, "body.memory.type"),
        ({"system_prompt": "a", "memory": {"max_tokens": -1}}, "body.memory.max_tokens"),
        ({"system_prompt": "a", "memory": {"type": "summary", "max_tokens": 999}}, "body.memory"),
        ({"system_prompt": "a", "memory": {"summary_model": "gpt-4o-mini"}}, "body.memory"),
        ({"system_prompt": "a", "memory": {"turns": 5}}, "body.memory.turns"),
        ({"system_prompt": "a", "limits": {"turns_per_minute": 0}}, "body.limits.turns_per_minute"),
        ({"system_prompt": "a", "retention_days": 0}, "body.retention_days"),
        ({"system_prompt": "a", "tags": [""]}, "body.tags.0"),
        ({"system_prompt": "a", "history_turns": 5}, "body.history_turns"),
        ({"system_prompt": "a", "prompt_name": "b"}, "body.prompt_name"),
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


async def test_bots_are_found_by_the_beginning_of_their_id(app: App) -> None:
    for bot_id in ("sup", "support", "support.de", "Support", "my-support"):
        await app.save_bot(bot_id)

    async def found(query: str) -> list[str]:
        answer = await app.client.call("list_bots", Call(query=query, headers=app.user))
        return [bot["bot_id"] for bot in answer.json()["items"]]

    assert await found("prefix=support") == ["support", "support.de"]
    assert await found("prefix=support&cursor=support") == ["support.de"]
    assert await found("prefix=zz") == []
    refused = await app.client.call("list_bots", Call(query="prefix=%25", headers=app.user))
    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["query.prefix"])


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


FLAT: dict[str, JsonValue] = {
    "name": "Help",
    "model": "gpt-4o",
    "temperature": 0.5,
    "max_output_tokens": 99,
    "history_turns": 0,
}
NEW: dict[str, JsonValue] = {
    "description": "Help",
    "memory": {"type": "buffer", "max_tokens": 0, "summary_model": None},
}


@pytest.mark.parametrize(
    ("flat", "config"),
    [
        (FLAT | {"system_prompt": "Be brief."}, NEW | {"system_prompt": "Be brief."}),
        (FLAT | {"prompt_name": "p"}, NEW | {"prompt": {"name": "p", "label": None, "version": None}}),
        (
            FLAT | {"prompt": {"name": "p", "version": 2}},
            {"prompt": {"name": "p", "label": None, "version": 2}},
        ),
        (FLAT | {"description": "Helps", "system_prompt": "x"}, {"description": "Helps"}),
        (
            {"system_prompt": "x", "max_output_tokens": 512, "history_turns": 10},
            {"memory": {"type": "buffer", "max_tokens": 4000, "summary_model": None}},
        ),
    ],
)
async def test_a_bot_that_is_stored_in_the_flat_shape_is_read_as_a_new_one_and_saved_as_one(
    app: App, cosmos: MemoryCosmos, flat: dict[str, JsonValue], config: dict[str, JsonValue]
) -> None:
    container = cosmos.container("bots")
    await container.patch(("acme",), "b", Patch((PatchOperation("set", "/config", flat),)))

    shown = (await app.on_bot()).json()["config"]
    assert shown | config == shown
    assert shown["llm"]["max_output_tokens"] == flat["max_output_tokens"]
    assert shown["llm"]["model"] == flat.get("model")

    sent = {name: value for name, value in shown.items() if value is not None}
    assert (await app.save_bot(**sent)).json()["config"] == shown
    stored = cast("dict[str, Any]", (await container.read(("acme",), "b") or {})["config"])
    assert stored["llm"] == shown["llm"]
    assert not {"max_output_tokens", "history_turns", "prompt_name", "name"} & set(stored)


async def test_a_bot_that_is_stored_with_an_output_limit_keeps_it(app: App, cosmos: MemoryCosmos) -> None:
    config: JsonValue = {"system_prompt": "x", "llm": {"provider": "openai", "max_output_tokens": 512}}
    await cosmos.container("bots").patch(("acme",), "b", Patch((PatchOperation("set", "/config", config),)))

    assert (await app.on_bot()).json()["config"]["llm"]["max_output_tokens"] == 512


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


@pytest.mark.parametrize("more", [{}, {"version": 2}, {"label": "latest"}])
async def test_a_prompt_that_wants_what_no_turn_gives_is_refused_by_its_field(
    app: App, more: dict[str, Any]
) -> None:
    await app.prompts.save("p", PromptDraft(template="Hello {who}."))
    await app.prompts.save("p", PromptDraft(template=(Placeholder(placeholder="history"),)))

    refused = await app.save_bot(prompt={"name": "p"} | more)

    assert refused.status == 422
    assert "version 2 wants lists of messages" in refused.json()["detail"]["fields"]["body.prompt"]
    assert (await app.on_bot()).json()["config"]["system_prompt"] == "Be brief."


@pytest.mark.parametrize(
    "source",
    [
        {"prompt": {"name": "filled"}},
        {"prompt": {"name": "examples"}},
        {"prompt": {"name": "later"}},
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
