"""Bots beside the catalogue: whose models may answer, and names that are models' already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
