"""Every capability that asks a model leaves a record of each call, whose work it was and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call, StillClock
from tests.support.log_lines import kept_lines
from tests.support.whole_app import app_of
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme", clock=StillClock()) as app:
        await app.load_tokenizer()
        yield app


def told(lines: list[dict[str, Any]], *names: str) -> list[tuple[object, ...]]:
    """Return fields of the records in the lines."""
    fields = [line["extra"] | {"request_id": line["request_id"]} for line in lines]
    assert {(line["tenant_id"], line["extra"]["event"]) for line in lines} == {("acme", "model_call")}
    return [tuple(one[name] for name in names) for one in fields]


async def test_each_turn_of_a_bot_plain_streamed_or_again(app: WholeApp) -> None:
    key = await app.new_key("acme", Role.TENANT_ADMIN)
    await app.must("save_prompt", Call.of({"template": "Be brief."}, headers=key, name="p"))
    await app.must("save_bot", Call.of({"prompt": {"name": "p"}}, headers=key, bot_id="b"))
    said = {"message": "hi", "conversation_id": "c", "user_id": "ann"}
    with kept_lines("shared.llm.call_recorder") as lines:
        for request_id, body in (("plain", said), ("streamed", said | {"stream": True})):
            headers = key | {"x-request-id": request_id}
            await app.must("chat", Call.of(body, headers=headers, bot_id="b"))
        again = Call.of({}, headers=key | {"x-request-id": "again"}, bot_id="b", conversation_id="c")
        await app.must("regenerate_answer", again)

    assert told(lines, "request_id", "turn", "stream", "user_id") == [
        ("plain", 1, False, "ann"),
        ("streamed", 2, True, "ann"),
        ("again", 3, False, "ann"),
    ]
    whose = told(lines, "app_id", "bot_id", "conversation_id", "prompt_name", "prompt_version", "status")
    assert set(whose) == {("bot:b", "b", "c", "p", 1, "succeeded")}


async def test_each_step_of_a_job(app: WholeApp) -> None:
    key = await app.new_key("acme", Role.USER)
    await app.must("accept_job", Call.of({"id": "j", "text": "Why?"}, headers=key))
    ((_, _, message),) = app.runtime.sender.sent  # type: ignore[attr-defined]  # the one in memory
    with kept_lines("shared.llm.call_recorder") as lines:
        await app.functions["run_job"](FakeDelivery(message.body))

    assert told(lines, "app_id", "job_id", "step", "bot_id", "key_id") == [
        ("reasoner", "j", "reason", None, None),
        ("reasoner", "j", "summarise", None, None),
    ]
