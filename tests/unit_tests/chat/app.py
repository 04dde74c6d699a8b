"""The chat routes with callers of two tenants, over a store in memory and a model under control."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from functions.chat.composition import Chat
from functions.chat.conversations.repository import ConversationRepository
from functions.chat.conversations.summary import SUMMARY_STEP
from functions.chat.trigger import blueprint
from shared.caching.region import Cache
from shared.contracts import Usage
from shared.http.idempotency import Idempotency
from shared.llm.call_recorder import CallRecorder
from shared.llm.chat_model import Completion
from shared.llm.recorded_model import RecordedModel
from shared.llm.structured_model import StructuredModel
from shared.resilience.concurrency import Paces
from shared.tenancy.context import Role
from tests.support.fakes import (
    Call,
    FakeAuthenticator,
    FakeTenantSettings,
    RouteClient,
    generous_rates,
    platform_context,
    tenant_context,
)
from tests.support.models import FakeModels
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shared.llm.chat_model import AnswerStream, ChatPrompt, StreamingChatModel
    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme")
USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


class FakeModel:
    """Answers with what it was told, else the number of the call; keeps what it was asked, and for whom."""

    def __init__(self) -> None:
        self.prompts: list[ChatPrompt] = []
        self.callers: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.failure: Exception | None = None
        self.finish_reason: str | None = "stop"
        self.before_answering: Callable[[], Awaitable[object]] | None = None
        self.before_ending: Callable[[], Awaitable[object]] | None = None
        self.late_failure: Exception | None = None
        self.asked = asyncio.Event()
        self.closed = 0
        self.summaries: list[ChatPrompt] = []
        self.summarize: Callable[[ChatPrompt], str] = lambda _: "It was said before."
        self.summary_failure: Exception | None = None

    def opened_for(self, tenant: TenantContext, app_id: str) -> StreamingChatModel:
        self.callers.append((tenant.tenant_id, app_id))
        return self

    async def complete(self, prompt: ChatPrompt) -> Completion:
        if prompt.origin.step == SUMMARY_STEP:
            self.summaries.append(prompt)
            if self.summary_failure is not None:
                raise self.summary_failure
            prompt.progress.usage = USAGE
            return Completion(self.summarize(prompt), USAGE, prompt.model, "stop")
        self.prompts.append(prompt)
        number = len(self.prompts)
        if self.before_answering is not None:
            await self.before_answering()
        if self.failure is not None:
            prompt.progress.usage = getattr(self.failure, "usage", None)
            raise self.failure
        text = self.texts.pop(0) if self.texts else f"answer {number}"
        prompt.progress.usage = USAGE
        return Completion(text, USAGE, prompt.model, self.finish_reason)

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Give the same answer, word by word."""
        self.asked.set()
        try:
            yield self._say(await self.complete(prompt))
        finally:
            self.closed += 1

    async def _say(self, completion: Completion) -> AsyncIterator[str | Completion]:
        for word in re.findall(r"\S+\s*", completion.text):
            yield word
        if self.before_ending is not None:
            await self.before_ending()
        if self.late_failure is not None:
            raise self.late_failure
        yield completion

    @property
    def said(self) -> list[tuple[str, str]]:
        """The messages of the last call."""
        return [(message.role, message.content) for message in self.prompts[-1].messages]


class WordCounter:
    """Takes each word for a token; keeps what it counted."""

    def __init__(self) -> None:
        self.counted: list[str] = []

    async def count_text(self, text: str, model: str) -> int:
        assert model
        self.counted.append(text)
        return len(text.split())


class Trouble:
    """Makes the n-th request about items from now on fail, or its answer be lost, as often as it is tried."""

    def __init__(self, cosmos: MemoryCosmos) -> None:
        self._transport = cosmos.transport

    def at(self, nth: int, *, requests: int = 0, answers: int = 0) -> None:
        start = self._transport.requests

        def watch(_: object) -> None:
            if self._transport.requests == start + nth:
                self._transport.lose_requests = requests
                self._transport.lose_answers = answers

        self._transport.watch = watch


class App:
    """The chat routes, called as the host calls them."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos, self.clock, self.model, self.trouble = cosmos, clock, FakeModel(), Trouble(cosmos)
        self.models, self.counter = FakeModels(), WordCounter()
        self.authenticator = authenticator = FakeAuthenticator()
        self.editor = authenticator.add("editor", tenant_context("acme", Role.TENANT_ADMIN))
        self.user = authenticator.add("user", ACME)
        self.stranger = authenticator.add("stranger", tenant_context("globex", Role.TENANT_ADMIN))
        self.admin = authenticator.add("admin", platform_context())
        self.settings = FakeTenantSettings()
        library = library_over(cosmos.container("prompts"), clock)
        runtime = SimpleNamespace(
            routes=[],
            begin_with=lambda _: None,  # the client of models is of no use here
            job_queues={},
            rate_limiter=generous_rates(clock),
            paces=Paces(clock),
            idempotency=Idempotency(cosmos.container("idempotency"), clock),
            clock=clock,
            authenticator=authenticator,
            container=cosmos.container,
            prompts=library,
            settings=SimpleNamespace(openai_model="gpt-default"),
            metered_model=self._open_model,
            models=self.models,
            tenant_settings=self.settings,
            token_counter=self.counter,
            cache=Cache(clock),
        )
        self.runtime = cast("Runtime", runtime)
        self.composition = chat = Chat(cast("Runtime", runtime))
        runtime.once = lambda _: chat
        blueprint(cast("Runtime", runtime))
        self.client = RouteClient(cast("Runtime", runtime))
        self.prompts = library.of(ACME)

    def _open_model(self, tenant: TenantContext, app_id: str) -> StructuredModel:
        model = self.model.opened_for(tenant, app_id)
        return StructuredModel(RecordedModel(model, CallRecorder(tenant, app_id, "USD", self.clock)))

    async def save_bot(
        self, bot_id: str = "b", *, headers: dict[str, str] | None = None, query: str = "", **config: object
    ) -> Answer:
        body = json.dumps(config or {"system_prompt": "Be brief."}).encode()
        call = Call({"bot_id": bot_id}, query, headers or self.editor, body)
        return await self.client.call("save_bot", call)

    async def chat(
        self, message: str = "hi", *, headers: dict[str, str] | None = None, **body: object
    ) -> Answer:
        sent = {"message": message, "conversation_id": "c"} | body
        return await self.client.call("chat", Call.of(sent, headers=headers or self.user, bot_id="b"))

    async def on_conversation(
        self,
        route: str = "get_conversation",
        query: str = "",
        *,
        headers: dict[str, str] | None = None,
        conversation_id: str = "c",
    ) -> Answer:
        path = {"bot_id": "b", "conversation_id": conversation_id}
        return await self.client.call(route, Call(path=path, query=query, headers=headers or self.user))

    async def on_bot(
        self, route: str = "get_bot", query: str = "", *, headers: dict[str, str] | None = None
    ) -> Answer:
        return await self.client.call(
            route, Call(path={"bot_id": "b"}, query=query, headers=headers or self.user)
        )

    async def turns(self) -> list[tuple[int, str, str, str | None]]:
        """Read number, status, message and response of every turn."""
        shown = (await self.on_conversation(query="limit=100")).json()
        return [(turn["turn"], turn["status"], turn["message"], turn["response"]) for turn in shown["items"]]

    def conversation(self, conversation_id: str = "c") -> ConversationRepository:
        return ConversationRepository(
            ACME,
            self.cosmos.container("conversations"),
            self.clock,
            bot_id="b",
            conversation_id=conversation_id,
        )
