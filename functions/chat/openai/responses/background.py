"""Responses that are made in the background: taken in, cancelled, followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from functions.chat.openai.responses.errors import ResponseNotCancellableError, ResponseNotFollowedError
from functions.chat.openai.responses.rendering import is_abandoned, render_response
from functions.chat.openai.responses.repository import NewResponse, ResponseEnd
from functions.chat.openai.responses.response_builder import ResponseBuilder, name_last_event
from functions.chat.openai.responses.response_object import store_request
from functions.chat.openai.responses.service import write_items
from functions.chat.openai.responses.stored_models import ResponseStatus
from shared.contracts import ResponsesIn
from shared.jobs.following import FOLLOW_SECONDS
from shared.jobs.messages import write_request
from shared.jobs.models import JobItem, JobKind, JobState
from shared.jobs.repository import JobRepository

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from functions.chat.openai.responses.models import CreateResponseRequest, ResponseReply
    from functions.chat.openai.responses.service import ResponseService
    from functions.chat.openai.responses.stored_models import ResponseItem
    from shared.errors import JsonValue
    from shared.jobs.intake import JobIntake
    from shared.jobs.models import JobMessage

type EventJson = dict[str, JsonValue]

_SHORTEST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 2.0
LAST_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponseOutcome(BaseModel):
    """Result of a job that made a response: the response itself is stored with its conversation."""

    model_config = ConfigDict(frozen=True)

    status: ResponseStatus


type ResponseJob = JobItem[ResponsesIn, ResponseOutcome]
type ResponseJobs = JobRepository[ResponsesIn, ResponseOutcome]

RESPONSES = JobKind(JobItem[ResponsesIn, ResponseOutcome], JobState[ResponseOutcome])


def request_message(request: ResponsesIn, not_before: datetime | None = None) -> JobMessage:
    """Return the message that puts a response on its queue, from a time on; the queue has no sessions."""
    return write_request(request, not_before=not_before)


@dataclass(frozen=True, slots=True)
class BackgroundResponses:
    """Responses of one tenant that are made in the background.

    Attributes:
        service: The tenant's responses.
        intake: Stores a job for each with its message, and sends that.
    """

    service: ResponseService
    intake: JobIntake[ResponsesIn, ResponseOutcome]

    async def accept(self, request: CreateResponseRequest, operation_id: str | None = None) -> ResponseReply:
        """Store a response that is to be made, and put it on its queue.

        Raises:
            OperationReusedError: The operation's response is there, and answers another request.
            PreviousResponseError: The response that it goes on with is not there, or has no answer.
            ReferencedItemError: An item that the input refers to is not there.
            APIError: There is no such model for the tenant, or the store is down.
        """
        service = self.service
        await service.chat.require_model(request.model)
        previous = await service.find_previous(request)
        items = await service.resolve(request.input)
        new = NewResponse(
            request=store_request(request),
            user_id=service.tenant.user_named(request.user),
            operation_id=operation_id,
            previous=previous,
            status=ResponseStatus.QUEUED,
            retention_days=service.retention_days,
        )
        item, _ = await service.responses.create(new, write_items(items))
        if not item.status.is_over:
            if request.stream and await service.responses.read_events(item.response_id, -1) is None:
                begun = ResponseBuilder(item.response_id, request, item.created_at).queue()
                await service.responses.add_events(item, [event.as_json() for event in begun], 0)
            job = ResponsesIn(tenant_id=service.tenant.tenant_id, id=str(item.response_id))
            await self.intake.accept(job, request_message(job))
        return render_response(item, service.clock)

    async def cancel(self, response_id: str) -> ResponseReply:
        """End a response that is made in the background; whoever works on it stops within seconds.

        Raises:
            ResponseNotFoundError: The tenant, or user, has none of this id.
            ResponseNotCancellableError: It is over, or is not made in the background.
        """
        responses = self.service.responses
        item = await responses.read(response_id)
        if not item.request.get("background"):
            raise ResponseNotCancellableError(response_id, "is not made in the background")
        if not item.status.is_over:
            item = await responses.end(item, ResponseEnd(status=ResponseStatus.CANCELLED))
        if item.status is not ResponseStatus.CANCELLED:
            raise ResponseNotCancellableError(response_id, f"is over: {item.status}")
        return render_response(item, self.service.clock)

    async def follow(self, response_id: str, after: int = -1) -> AsyncGenerator[EventJson]:
        """Give the events of a response after a number, until the last one, or its follower's time is over.

        Raises:
            ResponseNotFoundError: The tenant, or user, has none of this id.
            ResponseNotFollowedError: It is not made in the background as a stream.
        """
        responses, clock = self.service.responses, self.service.clock
        item = await responses.read(response_id)
        if not (item.request.get("background") and item.request.get("stream")):
            raise ResponseNotFollowedError(response_id)
        ends_at = clock.monotonic() + FOLLOW_SECONDS
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            is_over = item.status.is_over or is_abandoned(item, clock)
            found = await responses.read_events(item.response_id, after)
            if found is not None:
                pause = _SHORTEST_PAUSE_SECONDS
                for number, event in enumerate(found.events, found.first):
                    if number > after and isinstance(event, dict):
                        yield dict(event)
                        if event.get("type") in LAST_EVENTS:
                            return
                after = found.last
                continue
            if is_over:
                number = await self._find_last_number(item)
                if after < number:
                    yield self._write_last(item, number)
                return
            if clock.monotonic() >= ends_at:
                return
            await clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            item = await responses.read(response_id)

    async def _find_last_number(self, item: ResponseItem) -> int:
        """Return the number of the last event of a response that is over: the first that is not stored."""
        last = await self.service.responses.read_last_events(item.response_id)
        return 0 if last is None else last.last + 1

    def _write_last(self, item: ResponseItem, number: int) -> EventJson:
        """Return the last event of a response, which is not stored: it is the response as that is."""
        shown = render_response(item, self.service.clock)
        return {
            "type": name_last_event(shown.status),
            "sequence_number": number,
            "response": shown.model_dump(mode="json"),
        }
