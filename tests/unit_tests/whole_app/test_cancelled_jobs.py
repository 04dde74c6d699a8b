"""Jobs that are cancelled while they are in work, through the routes: nothing stays locked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shared.tenancy.context import Role
from tests.support.fakes import Call, StillClock
from tests.support.whole_app import EchoModel, whole_app
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.llm.chat_model import ChatPrompt, Completion


class InterruptedModel(EchoModel):
    """Lets something happen while it thinks."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def complete(self, prompt: ChatPrompt) -> Completion:
        await self._meanwhile()
        return await super().complete(prompt)


async def test_a_job_that_is_cancelled_during_its_call_leaves_nothing_locked() -> None:
    async with whole_app(StillClock()) as app:
        await app.load_tokenizer()
        await app.new_tenant("acme")
        key = await app.new_key("acme", Role.TENANT_ADMIN)
        locked_meanwhile: list[int] = []

        async def status() -> dict[str, Any]:
            call = Call(query="app_id=reasoner", headers=key)
            told: dict[str, Any] = (await app.must("get_token_status", call)).json()
            return told

        async def cancel() -> None:
            locked_meanwhile.append((await status())["locked_requests"])
            await app.must("cancel_job", Call({"job_id": "j1"}, headers=key))

        app.runtime.__dict__["chat_model"] = InterruptedModel(cancel)
        body = json.dumps({"tenant_id": "acme", "id": "j1", "text": "Why?"}).encode()
        for _ in range(2):  # the second delivery finds the job over
            await app.functions["run_job"](FakeDelivery(body))
        job = (await app.must("get_job", Call({"job_id": "j1"}, headers=key))).json()
        after = await status()

    assert locked_meanwhile == [1]
    assert (job["status"], job["usage"]["total_tokens"]) == ("cancelled", 10)
    assert (after["locked_requests"], after["locked_tokens"], after["used_tokens"]) == (0, 0, 10)
