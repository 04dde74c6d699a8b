"""A turn on a warm instance asks the store for its conversation and its budget, and for nothing else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from tests.support.fakes import Answer


@pytest.mark.parametrize("scope", ["", "scope=global"])
async def test_a_warm_turn_reads_no_bot_prompt_setting_or_key(scope: str) -> None:
    async with whole_app() as app:
        await app.new_tenant("acme")
        boss = await app.new_key("acme", Role.TENANT_ADMIN)
        editor = app.admin if scope else boss
        prompt = Call.of({"template": "You serve {who}."}, headers=editor, name="p")
        bot = Call.of({"prompt": {"name": "p"}}, headers=editor, bot_id="b")
        for operation, call in (("save_prompt", prompt), ("save_bot", bot)):
            await app.must(operation, Call(call.path, scope, call.headers, call.body))

        async def chat() -> Answer:
            said = {"message": "hi", "conversation_id": "c", "variables": {"who": "Ada"}}
            return await app.must("chat", Call.of(said, headers=boss, bot_id="b"))

        asked: Counter[str] = Counter()
        await chat()
        app.cosmos.transport.watch = lambda request: asked.update(
            [request.url.partition("/colls/")[2].partition("/")[0]]
        )
        await chat()

    assert asked == {"conversations": 2, "ledger": 2}
