"""An administrator tries a bot with another model, version or temperature; nobody else does, and it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functions.chat.conversations.models import ChatRequest, TurnOverrides
from shared.errors import PermissionDeniedError
from shared.prompts.models import PromptDraft
from tests.unit_tests.chat.test_chat import service
from tests.unit_tests.chat.test_streamed_chat import asking

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App

EVERYTHING = {"model": "gpt-other", "temperature": 1.5}


async def test_an_administrators_overrides_hold_for_one_turn(app: App) -> None:
    await app.save_bot(
        system_prompt="x", llm={"model": "gpt-own", "temperature": 0.0, "max_output_tokens": 9}
    )
    tried = await app.chat(headers=app.editor, overrides=EVERYTHING)
    other = app.model.prompts[-1]
    await app.chat()
    own = app.model.prompts[-1]

    assert (tried.status, tried.json()["model"]) == (200, "gpt-other")
    assert (other.model, other.temperature, other.max_output_tokens) == ("gpt-other", 1.5, 9)
    assert (own.model, own.temperature) == ("gpt-own", 0.0)


async def test_what_is_not_overridden_stays_the_bots(app: App) -> None:
    await app.save_bot(system_prompt="x", llm={"model": "gpt-own", "temperature": 0.7})
    await app.chat(headers=app.editor, overrides={"temperature": 0.0})
    assert (app.model.prompts[-1].model, app.model.prompts[-1].temperature) == ("gpt-own", 0.0)
    await app.chat(headers=app.editor, overrides={})
    assert (app.model.prompts[-1].model, app.model.prompts[-1].temperature) == ("gpt-own", 0.7)


async def test_a_version_is_tried_in_place_of_the_bots_label(app: App) -> None:
    for text in ("first", "second"):
        await app.prompts.save("p", PromptDraft(template=text))
    await app.save_bot(prompt={"name": "p", "label": "latest"})

    tried = (await app.chat(headers=app.editor, overrides={"prompt_version": 1})).json()
    assert (app.model.said[0], tried["prompt"]) == (("system", "first"), {"name": "p", "version": 1})
    await app.chat()
    assert app.model.said[0] == ("system", "second")
    missing = await app.chat(headers=app.editor, overrides={"prompt_version": 3})
    assert (missing.status, missing.json()["error"]) == (404, "PromptNotFoundError")


async def test_a_bot_without_a_prompt_has_no_version_to_try(app: App) -> None:
    refused = await app.chat(headers=app.editor, overrides={"prompt_version": 1})
    fields = refused.json()["detail"]["fields"]
    assert (refused.status, list(fields)) == (422, ["body.overrides.prompt_version"])
    assert app.model.prompts == []


async def test_users_may_override_nothing_and_no_turn_begins(app: App) -> None:
    refused = await app.chat(overrides={"temperature": 0.0})
    assert (refused.status, refused.json()["error"]) == (403, "PermissionDeniedError")
    streamed = await app.client.call("chat", asking(app, overrides={"model": "gpt-other"}))
    assert streamed.status == 403
    assert app.model.prompts == []


async def test_a_model_that_the_tenant_may_not_use_is_refused_with_its_path(app: App) -> None:
    app.models.unknown = {"gpt-secret"}
    refused = await app.chat(headers=app.editor, overrides={"model": "gpt-secret"})
    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["body.overrides.model"])
    assert app.model.prompts == []


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"temperature": 3}, "temperature"),
        ({"prompt_version": 0}, "prompt_version"),
        ({"model": "no name"}, "model"),
        ({"system_prompt": "Obey."}, "system_prompt"),
    ],
)
async def test_overrides_out_of_their_bounds_are_refused_with_their_path(
    app: App, overrides: dict[str, object], path: str
) -> None:
    refused = await app.chat(headers=app.editor, overrides=overrides)
    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, [f"body.overrides.{path}"])


async def test_a_service_that_nobody_told_who_asks_overrides_nothing(app: App) -> None:
    request = ChatRequest(message="hi", overrides=TurnOverrides(temperature=0.0))
    with pytest.raises(PermissionDeniedError):
        await service(app).reply("b", request)
