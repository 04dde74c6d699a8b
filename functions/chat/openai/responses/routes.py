"""Bind the routes of the Responses API."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from functions.chat.composition import Chat
from functions.chat.openai.completions import call_headers
from functions.chat.openai.responses.background import LAST_EVENTS, BackgroundResponses, EventJson
from functions.chat.openai.responses.composition import OpenedResponses, open_responses, open_stored
from functions.chat.openai.responses.models import (
    CreateResponseRequest,
    DeletedResponseReply,
    InputItemPageQuery,
    InputItemPageReply,
    ResponsePath,
    ResponseReply,
    RetrieveResponseQuery,
)
from functions.chat.openai.responses.queue import open_background
from functions.chat.openai.responses.response_builder import ResponseEvent, repeat_events
from shared.http.inputs import ArrivedAt, OperationId
from shared.http.route import JsonReply
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.http.streaming import EventStream, StreamEnd, StreamEvent, render_event
from shared.tenancy.context import Role, TenantContext
from shared.tenancy.in_force import while_in_force
from shared.validation import refused_field

if TYPE_CHECKING:
    from shared.runtime import Runtime

_encode = json.JSONEncoder(separators=(",", ":")).encode


def bind_responses(runtime: "Runtime", chat: Chat, routes: Routes) -> None:
    """Bind the routes of responses."""
    _bind_making(runtime, chat, routes)
    _bind_stored(runtime, chat, routes)


def _bind_making(runtime: "Runtime", chat: Chat, routes: Routes) -> None:
    @routes.post("v1/responses", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def create_response(
        tenant: TenantContext,
        request: CreateResponseRequest,
        operation_id: OperationId | None,
        arrived_at: ArrivedAt,
    ) -> JsonReply[ResponseReply] | EventStream[ResponseReply]:
        """Make a response.

        It is OpenAI's `POST /responses`, whatever interface the model's provider has. The response is stored
        before the model is paid, and with its answer before that is returned, unless `store` is false; it can
        then be read, and gone on with by `previous_response_id`. It is kept as long as a conversation is.

        With `stream`, OpenAI's events come in their order, each with its `sequence_number`. Who leaves before
        the end stops the model.

        With `background`, it is accepted as `queued` and made after this request: ask for it again, cancel
        it, or, where it was asked for with `stream`, too, go on with its events by `starting_after`. One that
        the budget does not admit is made when it does, within 25 hours.
        """
        opened = await open_responses(chat, runtime, tenant)
        if request.background:
            background = open_background(runtime, tenant, opened)
            accepted = await background.accept(request, operation_id)
            if request.stream:
                check = runtime.authenticator.check_in_force
                return EventStream(while_in_force(tenant, check, _follow(background, accepted.id)))
            return JsonReply[ResponseReply](accepted.encode())
        if request.stream:
            headers: dict[str, str] = {}
            return EventStream(_stream(opened, request, operation_id, arrived_at, headers), headers)
        made = await opened.service.create(request, operation_id)
        return JsonReply[ResponseReply](made.encode(), _headers(opened, arrived_at))


def _bind_stored(runtime: "Runtime", chat: Chat, routes: Routes) -> None:
    async def _background(tenant: TenantContext) -> BackgroundResponses:
        return open_background(runtime, tenant, await open_responses(chat, runtime, tenant))

    @routes.get("v1/responses/{response_id}", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def get_response(
        tenant: TenantContext, path: ResponsePath, query: RetrieveResponseQuery
    ) -> ResponseReply | EventStream[ResponseReply]:
        """Show a response, or follow it.

        A user's token, or a key that is bound to a user, sees that user's alone. With `stream`, one that was
        created with `background` and `stream` is followed: its events come as they are made, those after
        `starting_after`. Where it is not over after 170 s, the stream ends without `response.completed`: ask
        again after the last event then.
        """
        if query.stream:
            after = -1 if query.starting_after is None else query.starting_after
            events = _follow(await _background(tenant), path.response_id, after)
            return EventStream(while_in_force(tenant, runtime.authenticator.check_in_force, events))
        if query.starting_after is not None:
            raise refused_field("query.starting_after", "is for a response that is followed: stream=true")
        return await open_stored(runtime, tenant).read(path.response_id)

    @routes.post("v1/responses/{response_id}/cancel", min_role=Role.USER)
    async def cancel_response(tenant: TenantContext, path: ResponsePath) -> ResponseReply:
        """Cancel a response that is made in the background.

        It is `cancelled` at once; where it is in work, the model is stopped within seconds. To cancel it
        twice is the same. One that is over otherwise, or is not made in the background, is a 400.
        """
        return await (await _background(tenant)).cancel(path.response_id)

    @routes.get("v1/responses/{response_id}/input_items", min_role=Role.USER)
    async def list_response_input_items(
        tenant: TenantContext, path: ResponsePath, query: InputItemPageQuery
    ) -> InputItemPageReply:
        """List the input items of a response.

        The last one comes first, unless `order` is `asc`. Those of the responses before it are not among
        them.
        """
        return await open_stored(runtime, tenant).list_input_items(path.response_id, query)

    @routes.delete("v1/responses/{response_id}", min_role=Role.USER, status=200)
    async def delete_response(tenant: TenantContext, path: ResponsePath) -> DeletedResponseReply:
        """Remove a response.

        Those that go on with it stay; their models are told nothing of it any more. A response in work is a
        409.
        """
        return await open_stored(runtime, tenant).delete(path.response_id)


def _headers(opened: OpenedResponses, arrived_at: float) -> dict[str, str]:
    """Return what is told of the call that was made; nothing where none was."""
    return call_headers(opened.calls.prepared[-1], arrived_at) if opened.calls.prepared else {}


async def _stream(
    opened: OpenedResponses,
    request: CreateResponseRequest,
    operation_id: OperationId | None,
    arrived_at: float,
    headers: dict[str, str],
) -> AsyncGenerator[StreamEvent | StreamEnd]:
    last: ResponseEvent | None = None
    async with aclosing(opened.service.stream(request, operation_id)) as events:
        async for event in events:
            if last is None:
                headers |= _headers(opened, arrived_at)
            last = event
            yield StreamEvent(event.type, _encode(event.as_json()))
    yield StreamEnd(b"", b"" if last is None or operation_id is None else _repeat(last))


async def _follow(
    background: BackgroundResponses, response_id: str, after: int = -1
) -> AsyncGenerator[StreamEvent | StreamEnd]:
    kept: list[EventJson] = []
    async with aclosing(background.follow(response_id, after)) as events:
        async for event in events:
            if not kept or event["type"] in LAST_EVENTS:
                kept.append(event)
            yield StreamEvent(str(event["type"]), _encode(event))
    yield StreamEnd(b"", b"".join(render_event(str(event["type"]), _encode(event)) for event in kept))


def _repeat(last: ResponseEvent) -> bytes:
    """Return the stream that a repeated request is answered with."""
    response = last.fields["response"]
    events = repeat_events(response) if isinstance(response, dict) else []
    return b"".join(render_event(event.type, _encode(event.as_json())) for event in events)
