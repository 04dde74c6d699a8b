"""Rendering of stored responses, and of pages of their inputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from functions.chat.openai.responses.models import CreateResponseRequest, InputItemPageReply, ResponseReply
from functions.chat.openai.responses.response_object import describe_request, write_usage
from functions.chat.openai.responses.stored_models import ResponseFault, ResponseStatus
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from functions.chat.openai.responses.models import InputItemPageQuery
    from functions.chat.openai.responses.stored_models import ResponseItem
    from shared.clock import Clock
    from shared.errors import JsonValue

LONGEST_QUEUED_SECONDS = 26 * 3600
"""A background job is put off for 25 hours at most: what is queued after this is not worked on any more."""

_DIED = ResponseFault(code="server_error", message="The answer was not finished: its worker died.")


def restore_request(stored: Mapping[str, JsonValue], items: Sequence[JsonValue]) -> CreateResponseRequest:
    """Return a stored request with its input, as items whose references are resolved."""
    return CreateResponseRequest.model_validate_json(json.dumps({**stored, "input": list(items)}))


def render_response(item: ResponseItem, clock: Clock) -> ResponseReply:
    """Render a response as it is stored; one whose worker died has failed."""
    described = describe_request(item.request)
    error, status = item.error, item.status
    if is_abandoned(item, clock):
        error, status = _DIED, ResponseStatus.FAILED
    reason = item.incomplete_reason
    return ResponseReply.model_validate(
        {
            **described,
            "id": str(item.response_id),
            "object": "response",
            "created_at": item.created_at,
            "completed_at": item.completed_at,
            "status": str(status),
            "error": None if error is None else error.model_dump(),
            "incomplete_details": None if reason is None else {"reason": reason},
            "output": item.output,
            "usage": None if item.usage is None else write_usage(item.usage),
        }
    )


def is_abandoned(item: ResponseItem, clock: Clock) -> bool:
    """Tell whether nobody works on a response any more that is not over."""
    now = clock.now().timestamp()
    if item.status.is_over:
        return False
    if item.request.get("background"):
        return now > item.created_at + LONGEST_QUEUED_SECONDS
    return item.lease_until <= now


def page_items(items: Sequence[JsonValue], query: InputItemPageQuery) -> InputItemPageReply:
    """Return a page of a response's input items.

    Raises:
        ValidationError: No item has the id after which the page is to begin.
    """
    ordered = list(items) if query.order == "asc" else list(reversed(items))
    ids = [str(item.get("id")) if isinstance(item, dict) else "" for item in ordered]
    begin = 0
    if query.after is not None:
        if query.after not in ids:
            raise refused_field("query.after", "is the id of no input item of this response")
        begin = ids.index(query.after) + 1
    shown, shown_ids = ordered[begin : begin + query.limit], ids[begin : begin + query.limit]
    return InputItemPageReply(
        data=shown,
        first_id=shown_ids[0] if shown_ids else None,
        last_id=shown_ids[-1] if shown_ids else None,
        has_more=begin + query.limit < len(ordered),
    )
