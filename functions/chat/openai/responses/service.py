"""Responses of one tenant as they are made, while their caller waits."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from functions.chat.openai.responses.chat_request import build_chat_request, drop_unasked_outputs
from functions.chat.openai.responses.errors import (
    PreviousResponseError,
    ReferencedItemError,
    ResponseNotFoundError,
)
from functions.chat.openai.responses.input_items import STORED_ITEM, ItemReference
from functions.chat.openai.responses.models import ResponseReply
from functions.chat.openai.responses.rendering import render_response
from functions.chat.openai.responses.repository import NewResponse, ResponseEnd
from functions.chat.openai.responses.response_builder import (
    ResponseBuilder,
    ResponseEvent,
    name_last_event,
    repeat_events,
)
from functions.chat.openai.responses.response_ids import ItemId, ResponseId
from functions.chat.openai.responses.response_object import store_request
from functions.chat.openai.responses.stored_models import ResponseFault, ResponseStatus
from shared.cosmos.container import ItemChangedError
from shared.errors import APIError, ConflictError, PayloadTooLargeError
from shared.llm.chat_model import Completion, PassedChunk
from shared.logging.logger import get_logger
from shared.resilience.run_to_completion import run_to_completion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from functions.chat.openai.responses.chat_request import TranslatedRequest
    from functions.chat.openai.responses.input_items import InputItem, StoredInputItem
    from functions.chat.openai.responses.models import CreateResponseRequest
    from functions.chat.openai.responses.repository import ResponseRepository
    from functions.chat.openai.responses.stored_models import ResponseItem
    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.errors import JsonValue
    from shared.llm.chat_model import AnswerStream
    from shared.tenancy.context import TenantContext

WORK_SECONDS = 240.0
"""How long a response that its caller waits for may be its worker's: longer than any request runs."""

MOST_REFERENCES = 100
_FEW_ITEMS = 50
"""Items up to which a conversation is read on the event loop."""


_logger = get_logger(__name__)


class ChatCall(Protocol):
    """A chat completion that is ready to be asked for."""

    async def complete(self) -> Completion:
        """Ask for it; its `answer` is the whole JSON.

        Raises:
            APIError: As chat completions do.
        """
        ...

    def stream(self) -> AbstractAsyncContextManager[AnswerStream]:
        """Ask for it in parts, each with the event that brought it.

        Raises:
            APIError: As chat completions do.
        """
        ...


class PreparesCalls(Protocol):
    """Chat completions of one tenant, within its budget."""

    async def prepare(self, request: TranslatedRequest) -> ChatCall:
        """Find the model, or the bot, that a request names.

        Raises:
            APIError: There is none, or it does not take the request.
        """
        ...

    async def require_model(self, model: str) -> None:
        """Refuse the name of a model, or a bot, that the tenant may not use.

        Raises:
            ModelNotFoundError: It may not, or there is none.
        """
        ...


@dataclass(slots=True)
class ResponseInWork:
    """One response that is being made.

    Attributes:
        builder: What it has become so far.
        call: The chat completion that answers it.
        item: It as it is stored; None where it is not.
        completion: The chat completion's end, once it is there.
        is_told: Whether its id has been told to anybody.
    """

    builder: ResponseBuilder
    call: ChatCall
    item: ResponseItem | None = None
    completion: Completion | None = None
    is_told: bool = False
    unanswered: AsyncExitStack = field(default_factory=AsyncExitStack)


@dataclass(frozen=True, slots=True)
class ResponseService:
    """Responses of one tenant.

    Attributes:
        tenant: The tenant.
        responses: Its stored responses.
        chat: What answers.
        clock: Dates them.
        retention_days: The days for which they are kept; None for ever.
    """

    tenant: TenantContext
    responses: ResponseRepository
    chat: PreparesCalls
    clock: Clock
    retention_days: int | None = None

    async def create(self, request: CreateResponseRequest, operation_id: str | None = None) -> ResponseReply:
        """Make a response; where it is stored, it is before it is returned.

        Args:
            request: What is asked.
            operation_id: The id that the caller's Idempotency-Key stands for: a response that was made under
                it, before a crash kept that from the caller, is neither made nor paid again.

        Raises:
            OperationReusedError: The operation's response is there, and answers another request.
            PreviousResponseError: The response that it goes on with is not there, or has no answer.
            ReferencedItemError: An item that the input refers to is not there.
            APIError: As chat completions do, and where the store is down.
        """
        async with self._begin(request, operation_id) as begun:
            if isinstance(begun, ResponseReply):
                return begun
            begun.completion = await begun.call.complete()
            begun.builder.take_completion(begun.completion.answer or {})
            last = (await self._finish(begun))[-1]
        return ResponseReply.model_validate(last.fields["response"])

    async def stream(
        self, request: CreateResponseRequest, operation_id: str | None = None
    ) -> AsyncGenerator[ResponseEvent]:
        """Make a response, and give its events; where it is stored, it is before the last of them is given.

        One that was made before under this operation's id is given as its first and last event alone. One
        that fails on the way ends with `response.failed`, and then with the error.

        Raises:
            APIError: As for `create`; what stops the model in its midst, after some events.
        """
        async with self._begin(request, operation_id) as begun:
            if isinstance(begun, ResponseReply):
                for event in repeat_events(begun.model_dump(mode="json")):
                    yield event
                return
            builder = begun.builder
            try:
                async with begun.call.stream() as answer:
                    begun.is_told = True
                    for event in builder.begin():
                        yield event
                    async with aclosing(read_events(answer, begun)) as events:
                        async for event in events:
                            yield event
                last = await self._finish(begun)
            except APIError as error:
                if begun.is_told:
                    for event in builder.fail(name_fault(error), error.message):
                        yield event
                raise
            for event in last:
                yield event

    @asynccontextmanager
    async def _begin(
        self, request: CreateResponseRequest, operation_id: str | None
    ) -> AsyncIterator[ResponseInWork | ResponseReply]:
        """Store what is asked, unless it was answered before; left without an answer, it is marked so."""
        previous = await self.find_previous(request)
        items = await self.resolve(request.input)
        told = await self.remember(previous, items)
        call = await self.chat.prepare(build_chat_request(request, told, len(told) - len(items)))
        item: ResponseItem | None = None
        if request.is_stored:
            item, is_new = await self._store(request, items, previous, operation_id)
            if not is_new and item.status.is_over:
                yield render_response(item, self.clock)
                return
            if not is_new:
                item = await self._take_over(item)
        now = int(self.clock.now().timestamp())
        place = ResponseId.new() if item is None else item.response_id
        builder = ResponseBuilder(place, request, now if item is None else item.created_at)
        begun = ResponseInWork(builder, call, item)
        async with begun.unanswered as unanswered:
            unanswered.push_async_callback(self._abandon, begun)
            yield begun

    async def find_previous(self, request: CreateResponseRequest) -> ResponseItem | None:
        """Return the response that one goes on with; None where it begins a conversation.

        Raises:
            PreviousResponseError: It is not there, or has no answer.
        """
        wanted = request.previous_response_id
        if wanted is None:
            return None
        try:
            found = await self.responses.read(wanted)
        except ResponseNotFoundError:
            found = None
        if found is None:
            raise PreviousResponseError(wanted, "not found", "previous_response_not_found")
        if not found.status.has_answer:
            raise PreviousResponseError(wanted, f"has no answer to go on with: it is {found.status}")
        return found

    async def resolve(self, items: Sequence[InputItem]) -> list[StoredInputItem]:
        """Return the items of an input, those that it refers to in the place of the references.

        Raises:
            ReferencedItemError: One of them is not there.
        """
        known: dict[str, Sequence[JsonValue]] = {}
        resolved: list[StoredInputItem] = []
        for number, item in enumerate(items):
            if not isinstance(item, ItemReference):
                resolved.append(item)
                continue
            path = f"body.input.{number}.id"
            found = ItemId.parse(item.id)
            if found is None:
                raise ReferencedItemError(item.id, path)
            key = f"{found.response}{found.is_input}"
            if key not in known and len(known) < MOST_REFERENCES:
                known[key] = await self._read_items(found)
            stored = next((one for one in known.get(key, ()) if _has_id(one, item.id)), None)
            if stored is None:
                raise ReferencedItemError(item.id, path)
            resolved.append(STORED_ITEM.validate_python(stored))
        return resolved

    async def remember(
        self, previous: ResponseItem | None, items: Sequence[StoredInputItem]
    ) -> list[StoredInputItem]:
        """Return what a model is told: all that leads to a response, and what is said now.

        Raises:
            PreviousResponseError: That is more than any model takes.
        """
        if previous is None:
            return list(items)
        before = await self.responses.read_history(previous)
        if len(before) <= _FEW_ITEMS:
            return [*_read_items(before), *items]
        return [*await asyncio.to_thread(_read_items, before), *items]

    async def _read_items(self, place: ItemId) -> Sequence[JsonValue]:
        try:
            response = await self.responses.read(str(place.response))
        except ResponseNotFoundError:
            return ()
        return await self.responses.read_input(place.response) if place.is_input else response.output

    async def _store(
        self,
        request: CreateResponseRequest,
        items: Sequence[StoredInputItem],
        previous: ResponseItem | None,
        operation_id: str | None,
    ) -> tuple[ResponseItem, bool]:
        new = NewResponse(
            request=store_request(request),
            user_id=self.tenant.user_named(request.user),
            operation_id=operation_id,
            previous=previous,
            lease_until=self.clock.now().timestamp() + WORK_SECONDS,
            retention_days=self.retention_days,
        )
        return await self.responses.create(new, write_items(items))

    async def _take_over(self, item: ResponseItem) -> ResponseItem:
        """Begin a response anew that was begun under the same key, by a worker that died since."""
        try:
            return await self.responses.take_over(item, self.clock.now().timestamp() + WORK_SECONDS)
        except ItemChangedError as error:
            raise ConflictError("The response is being made", retry_after=1.0) from error

    async def _finish(self, begun: ResponseInWork) -> list[ResponseEvent]:
        """Store a response whose answer is whole, and return its last events.

        Where it is stored as failed, because its answer is too large for the store, the last event tells so.
        """
        completion, builder = begun.completion, begun.builder
        assert completion is not None  # noqa: S101  # a stream without one has raised
        *events, last = builder.complete(completion.usage, int(self.clock.now().timestamp()))
        begun.unanswered.pop_all()
        if begun.item is None:
            return [*events, last]
        stored = await run_to_completion(store_end(self.responses, begun.item, builder, completion.usage))
        if stored.status != builder.response["status"]:
            shown = render_response(stored, self.clock)
            fields = {"response": shown.model_dump(mode="json")}
            last = ResponseEvent(name_last_event(shown.status), last.sequence_number, fields)
        return [*events, last]

    async def _abandon(self, begun: ResponseInWork) -> None:
        """End a response that has no answer; one whose id nobody knows leaves nothing."""
        if begun.item is None:
            return
        await run_to_completion(self._end_unanswered(begun.item, is_told=begun.is_told))

    async def _end_unanswered(self, item: ResponseItem, *, is_told: bool) -> None:
        """Mark it, or remove it; where that fails, it has failed when its worker's time is over."""
        fault = ResponseFault(code="server_error", message="The answer was not finished.")
        try:
            if is_told:
                end = ResponseEnd(status=ResponseStatus.FAILED, error=fault)
                await self.responses.end(item, end)
            else:
                await self.responses.forget(item)
        except APIError as error:
            _logger.warning(
                "A response without an answer was not closed", extra={"error": type(error).__name__}
            )


def _read_items(stored: Sequence[JsonValue]) -> list[StoredInputItem]:
    """Return stored items that make a conversation."""
    return drop_unasked_outputs([STORED_ITEM.validate_python(one) for one in stored])


async def read_events(answer: AnswerStream, begun: ResponseInWork) -> AsyncGenerator[ResponseEvent]:
    """Give the events that an answer's parts make; keep its end."""
    async for part in answer:
        if isinstance(part, Completion):
            begun.completion = part
        elif isinstance(part, PassedChunk):
            for event in begun.builder.take_chunk(part.event):
                yield event


async def store_end(
    responses: ResponseRepository, item: ResponseItem, builder: ResponseBuilder, usage: Usage
) -> ResponseItem:
    """Store a response's answer, or where the store does not take it, that it has none.

    Raises:
        APIError: The store is down.
    """
    told = builder.response
    end = ResponseEnd(
        status=ResponseStatus(str(told["status"])),
        output=builder.output,
        usage=usage,
        incomplete_reason=builder.incomplete_reason,
        completed_at=builder.completed_at,
    )
    try:
        return await responses.end(item, end)
    except PayloadTooLargeError:
        fault = ResponseFault(code="server_error", message="The answer is larger than what is stored.")
        return await responses.end(item, ResponseEnd(status=ResponseStatus.FAILED, usage=usage, error=fault))


def write_items(items: Sequence[StoredInputItem]) -> list[JsonValue]:
    """Return items as they are stored, and shown."""
    return [item.model_dump(mode="json", exclude_none=True) | {"status": "completed"} for item in items]


def name_fault(error: APIError) -> str:
    """Return what OpenAI calls the reason for which a response failed."""
    return "rate_limit_exceeded" if error.status == 429 else "server_error"  # noqa: PLR2004  # the status itself


def _has_id(item: JsonValue, item_id: str) -> bool:
    return isinstance(item, dict) and item.get("id") == item_id
