"""A middleware of one's own, as docs/chat.md shows it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from functions.chat.composition import Chat
from functions.chat.conversations.middleware import TurnMiddleware
from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from functions.chat.conversations.middleware import TurnContext
    from functions.chat.conversations.models import ChatReply


class AnswerCounter(TurnMiddleware):
    """Counts answers and failures by tenant and bot."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    async def after_turn(self, turn: TurnContext, reply: ChatReply) -> None:
        """Count an answer by its reason to end."""
        self.counts[turn.tenant.tenant_id, turn.bot_id, reply.finish_reason or "unknown"] += 1

    async def on_error(self, turn: TurnContext, error: BaseException) -> None:
        """Count a failure by its kind."""
        self.counts[turn.tenant.tenant_id, turn.bot_id, type(error).__name__] += 1


async def test_answers_are_counted() -> None:
    counter = AnswerCounter()
    async with whole_app() as app:
        app.runtime.once(Chat).add_middleware(counter)
        await app.new_tenant("acme")
        key = await app.new_key("acme", Role.TENANT_ADMIN)
        await app.must("save_bot", Call.of({"system_prompt": "Be brief."}, headers=key, bot_id="b"))
        await app.must("chat", Call.of({"message": "hello"}, headers=key, bot_id="b"))

    assert counter.counts == {("acme", "b", "stop"): 1}
