"""The feedback capability in the whole app, with a model and a broker under control."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from shared.contracts import Usage
from shared.llm.chat_model import Completion
from shared.llm.structured_model import StructuredModel
from shared.messaging.consumer import HandlerEndedError
from tests.support.broker import MemoryBroker
from tests.support.fakes import Call
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpRequest

    from shared.llm.chat_model import ChatPrompt, StreamingChatModel
    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp

USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
ANALYSIS: dict[str, Any] = {
    "ai_hashtag": "#paper-jam",
    "hashtag": "#bug",
    "category": "complaint",
    "summary": "The printer jams.",
    "personal_data": [],
}


class KilledError(BaseException):
    """The worker's end, which nothing in the app may catch."""


@dataclass
class Analyst:
    """A model that answers with what it was told, and keeps what it was asked."""

    prompts: list[ChatPrompt] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    analysis: dict[str, Any] = field(default_factory=lambda: dict(ANALYSIS))

    async def complete(self, prompt: ChatPrompt) -> Completion:
        self.prompts.append(prompt)
        if self.failures:
            raise self.failures.pop(0)
        text = self.answers.pop(0) if self.answers else json.dumps(self.analysis)
        return Completion(text, USAGE, prompt.model, "stop")

    async def check(self) -> None:
        """It is there."""


class FeedbackApp:
    """The capability, called as its callers and the host call it.

    Attributes:
        user: A key of tenant `acme`.
    """

    def __init__(self, app: WholeApp, user: dict[str, str]) -> None:
        self.app, self.user = app, user
        self.model, self.broker = Analyst(), MemoryBroker()
        model = StructuredModel(cast("StreamingChatModel", self.model))
        app.runtime.__dict__.update(metered_model=lambda *_: model, sender=self.broker)

    async def accept(self, headers: dict[str, str] | None = None, **body: object) -> Answer:
        """Send a feedback."""
        sent = {"id": "f1", "language": "en", "text": "The printer jams."} | body
        return await self.app.client.call(
            "accept_feedback", Call.of(sent, headers=self.user | (headers or {}))
        )

    async def show(self, feedback_id: str = "f1") -> Any:  # noqa: ANN401  # JSON
        """Return a feedback as it stands."""
        call = Call({"feedback_id": feedback_id}, headers=self.user)
        return (await self.app.must("get_feedback", call)).json()

    async def ask(self, operation: str, query: str = "", **path: str) -> Answer:
        """Ask one of the reading routes."""
        return await self.app.client.call(operation, Call(path, query, self.user))

    async def deliver(self, **fields: object) -> None:
        """Let the queue hand a message over once."""
        body = {"tenant_id": "acme", "id": "f1", "language": "en", "text": "The printer jams."} | fields
        await self.app.functions["analyse_feedback"](FakeDelivery(json.dumps(body).encode()))

    def kill_at(self, nth: int, when: str) -> None:
        """Let the worker die before or after its nth request to the container of feedback."""
        transport = self.app.cosmos.transport
        asked = 0

        async def ask_nothing() -> None:
            raise KilledError

        def count(request: HttpRequest) -> None:
            nonlocal asked
            asked += "/colls/feedback/docs" in request.url
            if asked == nth:
                asked += 1
                transport.fault = ask_nothing
                raise KilledError

        setattr(transport, "watch" if when == "before" else "watch_done", count)

    async def deliver_until_settled(self) -> int:
        """Deliver again after each kill, as the broker does; returns how often it took."""
        for count in range(1, 5):
            try:
                await self.deliver()
            except HandlerEndedError:
                self.app.cosmos.transport.fault = None
                self.app.clock.advance(75)  # the message's lock ends, and the worker's lease
            else:
                return count
        raise AssertionError("the message was never settled")

    async def give_up(self, **fields: object) -> None:
        """Let the dead-letter queue hand a message over once."""
        body = {"tenant_id": "acme", "id": "f1", "language": "en", "text": "The printer jams."} | fields
        await self.app.functions["give_up_feedback"](FakeDelivery(json.dumps(body).encode()))

    async def deliver_what_was_sent(self) -> None:
        """Let the queue hand over, once each, all messages that the app has sent to it."""
        waiting = [message for queue, message in self.broker.sent if queue == "feedback-form-in"]
        self.broker.sent = [one for one in self.broker.sent if one[0] != "feedback-form-in"]
        for message in waiting:
            await self.app.functions["analyse_feedback"](FakeDelivery(message.body, message.message_id))

    async def quarantined(self, owner: str = "acme") -> list[dict[str, Any]]:
        """Return what is in the quarantine of the tenant, or of the platform."""
        from shared.cosmos.container import Query  # noqa: PLC0415  # used here only

        text = "SELECT c.id, c.reason, c.fields FROM c"
        found = await self.app.cosmos.container("quarantine").query((owner,), Query(text))
        return cast("list[dict[str, Any]]", found)
