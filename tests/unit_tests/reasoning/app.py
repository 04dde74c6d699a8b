"""The reasoning capability over a store in memory, with a queue and a model under control."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, cast

import azure.functions as func

from functions.reasoning.inputs import JobInputs
from functions.reasoning.messages import session_of
from functions.reasoning.stored_models import REASONING
from functions.reasoning.trigger import blueprint
from shared.contracts import Usage
from shared.errors import DependencyUnavailableError
from shared.jobs.contents import JobContents
from shared.jobs.messages import open_outbox
from shared.jobs.places import JobOutbox
from shared.jobs.repository import JobRepository
from shared.llm.chat_model import Completion
from shared.llm.structured_model import StructuredModel
from shared.messaging.consumer import HandlerEndedError
from shared.messaging.quarantine import Quarantine
from shared.resilience.concurrency import Paces
from shared.tenancy.context import Role, parse_tenant_id
from shared.tenancy.purges import Purges
from tests.support.fakes import Call, FakeAuthenticator, RouteClient, generous_rates, tenant_context
from tests.support.models import FakeModels
from tests.support.whole_app import MemoryBlobs
from tests.unit_tests.messaging.deliveries import FakeDelivery
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shared.llm.chat_model import ChatModel, ChatPrompt, StreamingChatModel
    from shared.messaging.sender import OutgoingMessage
    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext, TenantId
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme")
HOLD_SECONDS = 75.0
USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


class KilledError(BaseException):
    """The worker's end, which nothing in the app may catch."""


@dataclass
class FakeSender:
    """A broker in memory; down when told, killing its caller when told."""

    sent: list[tuple[str, OutgoingMessage]] = field(default_factory=list)
    is_down: bool = False
    after_sending: Callable[[], None] = lambda: None

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        if self.is_down:
            raise DependencyUnavailableError("Service Bus")
        assert json.loads(message.body)["tenant_id"] == tenant.tenant_id
        self.sent.append((queue, message))
        self.after_sending()

    def results(self) -> list[Any]:
        """Return what went to the out queue."""
        return [json.loads(message.body) for queue, message in self.sent if queue == "reasoner-out"]


async def _at_once() -> None:
    """Think no longer than that."""


class FakeModel:
    """Answers with what it is, or what it is for a step; keeps what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[ChatPrompt] = []
        self.failures: list[BaseException] = []
        self.text = "a sound answer"
        self.answers: dict[str, str] = {}
        self.callers: list[tuple[str, str]] = []
        self.think: Callable[[], Awaitable[None]] = _at_once

    def opened_for(self, tenant: TenantContext, app_id: str) -> ChatModel:
        self.callers.append((tenant.tenant_id, app_id))
        return StructuredModel(cast("StreamingChatModel", self))

    async def complete(self, prompt: ChatPrompt) -> Completion:
        self.prompts.append(prompt)
        await self.think()
        if self.failures:
            raise self.failures.pop(0)
        if prompt.cap is not None:
            prompt.cap.add(USAGE)
        text = self.answers.get(prompt.origin.step or "", self.text)
        return Completion(text, USAGE, prompt.model, "stop")


@dataclass
class FakeDirectory:
    """Lists the tenants that the authenticator knows, one to a page."""

    authenticator: FakeAuthenticator
    also: tuple[str, ...] = ()

    async def ids(self) -> AsyncIterator[list[TenantId]]:
        for tenant_id in (*self.also, *self.authenticator.tenants):
            yield [parse_tenant_id(tenant_id)]


class App:
    """The capability, called as the host calls it."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos, self.clock, self.model, self.sender = cosmos, clock, FakeModel(), FakeSender()
        self.models, self.blobs = FakeModels(), MemoryBlobs()
        self.authenticator = authenticator = FakeAuthenticator()
        self.user = authenticator.add("user", ACME)
        self.stranger = authenticator.add("stranger", tenant_context("globex", Role.TENANT_ADMIN))
        self.directory = FakeDirectory(authenticator)
        library = library_over(cosmos.container("prompts"), clock)
        self.runtime = SimpleNamespace(
            routes=[],
            rate_limiter=generous_rates(clock),
            paces=Paces(clock),
            clock=clock,
            authenticator=authenticator,
            container=cosmos.container,
            prompts=library,
            settings=SimpleNamespace(
                openai_model="gpt-default",
                reasoner_in_queue="reasoner-in",
                reasoner_out_queue="reasoner-out",
                reasoner_hold_seconds=HOLD_SECONDS,
            ),
            metered_model=self.model.opened_for,
            job_blobs=self.blobs,
            models=self.models,
            sender=self.sender,
            tenants=self.directory,
            quarantine=Quarantine(cosmos.container("quarantine"), clock),
            purges=Purges(cosmos.container("tenants"), clock),
            job_queues={},
        )
        app = func.FunctionApp()
        app.register_functions(blueprint(cast("Runtime", self.runtime)))
        self.functions: dict[str, Callable[..., Awaitable[None]]] = {
            str(function.get_function_name()): function.get_user_function()
            for function in app.get_functions()
        }
        self.client = RouteClient(cast("Runtime", self.runtime))
        self.jobs = JobRepository(ACME, cosmos.container("jobs"), clock, REASONING)
        queues = {"request": "reasoner-in", "result": "reasoner-out"}
        self.outbox = JobOutbox(self.jobs, open_outbox(ACME, self.jobs, self.sender, queues))
        self.inputs = JobInputs(JobContents(ACME, lambda: self.blobs))
        self.prompts = library.of(ACME)
        self.is_dead = False

    def die(self) -> NoReturn:
        """End the worker here and now: from now on, until the next delivery, it asks nothing of anybody."""

        async def ask_nothing() -> None:
            raise KilledError

        self.is_dead, self.cosmos.transport.fault = True, ask_nothing
        raise KilledError

    async def accept(self, headers: dict[str, str] | None = None, **body: object) -> Answer:
        return await self.client.call("accept_job", Call.of(body, headers=headers or self.user))

    async def show(self, job_id: str, headers: dict[str, str] | None = None) -> Answer:
        return await self.client.call("get_job", Call({"job_id": job_id}, headers=headers or self.user))

    async def until(self, moment: float) -> None:
        """Wait while others move the clock."""
        while self.clock.monotonic() < moment:  # noqa: ASYNC110  # a test's clock tells nobody that it moves
            await asyncio.sleep(0)

    async def deliver(self, message: dict[str, object] | bytes, message_id: str = "m-1") -> None:
        """Let the queue hand a message over once."""
        try:
            await self.functions["run_job"](FakeDelivery(_body(message), message_id))
        except HandlerEndedError:
            if not self.is_dead:
                raise
            self.is_dead, self.cosmos.transport.fault = False, None
            raise KilledError from None  # a process that was killed has no edge that says so

    async def give_up(self, message: dict[str, object] | bytes, message_id: str = "m-1") -> None:
        """Let the dead-letter queue hand a message over once."""
        reason = {"DeadLetterReason": "MaxDeliveryCountExceeded"}
        await self.functions["give_up_job"](
            FakeDelivery(_body(message), message_id, application_properties=reason)
        )

    async def deliver_what_was_put_off(self) -> None:
        """Let the broker deliver the latest request at its time."""
        queue, request = self.sender.sent[-1]
        assert (queue, request.session_id) == (
            "reasoner-in",
            session_of("acme", request.message_id.removeprefix("acme:")),
        )
        assert request.not_before is not None
        self.clock.advance((request.not_before - self.clock.now()).total_seconds())
        await self.deliver(request.body, request.message_id)

    async def sweep(self) -> None:
        """Let the sweeper's timer fire."""
        await self.functions["sweep_outbox"](None)

    async def deliver_until_settled(self, message: dict[str, object], times: int = 20) -> int:
        """Deliver again after each kill, as the broker does; returns how often it took."""
        for count in range(1, times + 1):
            try:
                await self.deliver(message)
            except KilledError:
                self.clock.advance(HOLD_SECONDS)  # the message's lock ends, and the worker's lease
            else:
                return count
        raise AssertionError("the message was never settled")

    async def quarantined(self, key: str = "acme") -> list[dict[str, object]]:
        from shared.cosmos.container import Query  # noqa: PLC0415  # used here only

        text = "SELECT c.id, c.reason, c.detail, c.body, c.queue FROM c ORDER BY c.id"
        return await self.cosmos.container("quarantine").query((key,), Query(text))


def _body(message: dict[str, object] | bytes) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def message(**fields: object) -> dict[str, object]:
    """Build a message of the in queue."""
    return {"tenant_id": "acme", "id": "j1", "text": "Why?"} | fields
