"""OpenAI's dialect as the Responses API speaks it: its refusals, and streams of named events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from functions.chat.openai.dialect import OPENAI

_STREAM = (
    "One server-sent event, where `stream` asks for a stream: its name, and its data's `type`, are OpenAI's;"
    " `sequence_number` counts them from 0. The last is `response.completed`, `response.incomplete` or"
    " `response.failed`; where it failed on the way, `error` follows, with the body of a refusal. A comment"
    " comes after 15 s of silence. Repeated under its Idempotency-Key, a stream is its first and last event."
)


def _describe_events(reply: dict[str, Any], refusal: dict[str, Any]) -> dict[str, Any]:
    """Describe one event of a stream."""
    name = {"type": "string", "description": "The event's type, or `error`"}
    data = {"type": "string", "description": "JSON: the event; those of the whole have it as `response`"}
    return {
        "description": _STREAM,
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": name, "data": data},
        "x-response": reply,
        "x-error": refusal,
    }


RESPONSES = replace(OPENAI, failure_event="error", describe_events=_describe_events)
"""The dialect of the routes of responses."""
