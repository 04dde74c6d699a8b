"""The responses of a tenant with a model, a broker and a worker under control."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from functions.chat.openai.responses.background import RESPONSES, BackgroundResponses
from functions.chat.openai.responses.models import CreateResponseRequest
from functions.chat.openai.responses.repository import ResponseRepository
from functions.chat.openai.responses.service import ResponseService
from functions.chat.openai.responses.stored_responses import StoredResponses
from functions.chat.openai.responses.worker import ResponseWorker
from shared.contracts import ResponsesIn
from shared.jobs.claims import JobClaims
from shared.jobs.intake import JobIntake
from shared.jobs.messages import open_outbox
from shared.jobs.places import JobOutbox
from shared.jobs.repository import JobRepository
from tests.support.broker import MemoryBroker
from tests.support.fakes import tenant_context
from tests.unit_tests.responses.fake_chat import FakeChat

if TYPE_CHECKING:
    from functions.chat.openai.responses.background import EventJson, ResponseJobs
    from functions.chat.openai.responses.models import ResponseReply
    from functions.chat.openai.responses.response_builder import ResponseEvent
    from shared.tenancy.context import TenantContext
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ACME = tenant_context("acme")
QUEUE = "responses-in"


def request(text: object = "hello", **fields: object) -> CreateResponseRequest:
    """Read what a caller asks."""
    body = {"model": "gpt-4o", "input": text} | fields
    return CreateResponseRequest.model_validate_json(json.dumps(body))


class Desk:
    """The responses of a tenant, with a model that says what it is told to.

    Attributes:
        chat: The model.
        broker: Where messages are sent.
        own: The tenant's responses.
    """

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock, tenant: TenantContext = ACME) -> None:
        self.chat = FakeChat()
        self.broker = MemoryBroker()
        self.cosmos = cosmos
        self.clock = clock
        self.own = self.of(tenant)

    def of(self, tenant: TenantContext) -> ResponseService:
        """Return the responses of a tenant."""
        return ResponseService(tenant, self._repository(tenant), self.chat, self.clock)

    def stored(self, tenant: TenantContext = ACME) -> StoredResponses:
        """Return what is stored of a tenant's responses."""
        return StoredResponses(self._repository(tenant), self.clock)

    def background(self, tenant: TenantContext = ACME) -> BackgroundResponses:
        """Return a tenant's responses that are made in the background."""
        jobs = self._jobs(tenant)
        return BackgroundResponses(self.of(tenant), JobIntake(jobs, self._outbox(tenant, jobs)))

    def worker(self, tenant: TenantContext = ACME) -> ResponseWorker:
        """Return a worker on a tenant's responses."""
        jobs = self._jobs(tenant)
        claims = JobClaims(jobs, 75.0, self.clock)
        return ResponseWorker(self.of(tenant), jobs, self._outbox(tenant, jobs), claims)

    async def ask(
        self, text: object = "hello", operation_id: str | None = None, **fields: object
    ) -> ResponseReply:
        """Make a response."""
        return await self.own.create(request(text, **fields), operation_id)

    async def stream(self, text: object = "hello", **fields: object) -> list[ResponseEvent]:
        """Make a response, and return its events."""
        return [event async for event in self.own.stream(request(text, **fields))]

    async def accept(self, text: object = "hello", **fields: object) -> ResponseReply:
        """Ask for a response that is made in the background."""
        return await self.background().accept(request(text, background=True, **fields))

    async def deliver(self) -> None:
        """Hand over, once each, all messages that were sent."""
        waiting, self.broker.sent = self.broker.on(QUEUE), []
        for message in waiting:
            await self.worker().work(ResponsesIn.model_validate_json(message.body))

    async def follow(self, response_id: str, after: int = -1) -> list[EventJson]:
        """Return the events that a follower is given."""
        return [event async for event in self.background().follow(response_id, after)]

    def _repository(self, tenant: TenantContext) -> ResponseRepository:
        return ResponseRepository(tenant, self.cosmos.container("conversations"), self.clock)

    def _jobs(self, tenant: TenantContext) -> ResponseJobs:
        return JobRepository(tenant, self.cosmos.container("responses"), self.clock, RESPONSES)

    def _outbox(self, tenant: TenantContext, jobs: ResponseJobs) -> JobOutbox:
        return JobOutbox(jobs, open_outbox(tenant, jobs, self.broker, {"request": QUEUE}))
