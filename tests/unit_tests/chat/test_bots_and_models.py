"""Bots beside the catalogue: whose models may answer, and names that are models' already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call, StillClock
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App

AZURE = {"provider": "azure", "model": "llama"}


async def test_a_bot_of_azures_takes_no_model_of_another_provider(app: App) -> None:
    app.models.not_azures = {"llama"}

    refused = await app.save_bot(system_prompt="x", llm=AZURE)
    taken = await app.save_bot(system_prompt="x", llm=AZURE | {"provider": "openai"})

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["body.llm.model"])
    assert taken.status == 200


@pytest.mark.parametrize("provider", ["azure", "openai"])
@pytest.mark.parametrize("stream", [False, True])
async def test_each_turn_says_whether_only_azure_may_be_shown_it(
    app: App, provider: str, *, stream: bool
) -> None:
    await app.save_bot(system_prompt="x", llm={"provider": provider})
    assert (await app.chat(stream=stream)).status == 200
    assert app.model.prompts[-1].only_azure is (provider == "azure")


async def test_nobody_tries_an_azure_bot_with_a_model_of_another_provider(app: App) -> None:
    app.models.not_azures = {"llama"}
    await app.save_bot(system_prompt="x", llm={"provider": "azure"})

    refused = await app.chat(headers=app.editor, overrides={"model": "llama"})

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["body.overrides.model"])
    assert app.model.prompts == []
    await app.save_bot(system_prompt="x", llm={"provider": "openai"})
    assert (await app.chat(headers=app.editor, overrides={"model": "llama"})).status == 200


async def test_no_new_bot_has_the_name_of_a_model(app: App) -> None:
    refused = await app.save_bot("gpt-4o")
    of_everybody = await app.save_bot("gpt-4o", headers=app.admin, query="scope=global")

    for answer in (refused, of_everybody):
        assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["path.bot_id"])
    assert (await app.save_bot("gpt-4o-support")).status == 200


async def test_a_bot_that_was_there_before_a_model_of_its_name_goes_on_and_can_be_changed(app: App) -> None:
    app.models.names.add("b")

    assert (await app.chat()).status == 200
    changed = await app.save_bot("b", system_prompt="Be kind.")

    assert (changed.status, changed.json()["config"]["system_prompt"]) == (200, "Be kind.")
    assert (await app.on_bot("delete_bot", headers=app.editor)).status == 204
    assert (await app.save_bot("b")).status == 422


@pytest.mark.slow
async def test_a_conversation_of_an_azure_bot_is_shown_to_nobody_else_whatever_became_of_its_model() -> None:
    async with whole_app(StillClock()) as whole:
        await whole.new_tenant("acme")
        boss = await whole.new_key("acme", Role.TENANT_ADMIN)
        elsewhere = {"provider": "openai-compatible", "base_url": "https://models.example/v1"}
        await whole.must("put_model", Call.of({}, headers=whole.admin, name="ours"))
        for bot_id, llm in (
            ("azures", {"provider": "azure", "model": "ours"}),
            ("anyones", {"model": "ours"}),
        ):
            body = {"system_prompt": "x", "llm": llm}
            await whole.must("save_bot", Call.of(body, headers=boss, bot_id=bot_id))
        await whole.must("put_model", Call.of(elsewhere, headers=whole.admin, name="ours"))

        refused = [
            await whole.client.call("chat", Call.of(body, headers=boss, bot_id="azures"))
            for body in ({"message": "hi"}, {"message": "hi", "stream": True})
        ]
        answered = await whole.client.call("chat", Call.of({"message": "hi"}, headers=boss, bot_id="anyones"))
        used = (await whole.must("get_usage", Call(headers=boss))).json()["total"]

    plain, streamed = refused
    assert (plain.status, plain.json()["error"]) == (409, "ModelUnavailableError")
    assert "Azure" in plain.json()["message"]
    assert b"ModelUnavailableError" in streamed.body
    assert answered.status == 200
    assert used["requests"] == 1
