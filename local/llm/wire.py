"""Answers as JSON or as events, in OpenAI's way and with what Azure adds to it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.llm.answer import Answer, Part

_SAFE = {"filtered": False, "severity": "safe"}
_UNFILTERED = {"hate": _SAFE, "self_harm": _SAFE, "sexual": _SAFE, "violence": _SAFE}
_PROMPT_UNFILTERED = [{"prompt_index": 0, "content_filter_results": _UNFILTERED}]
DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Fields that all of one answer's JSON begins with."""

    model: str
    created: int
    azure: bool = False
    """Whether to tell what Azure's content filter found, as Azure does."""

    def __call__(self, kind: str) -> dict[str, Any]:
        """Begin a piece of JSON."""
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_stand_in",
        }


def usage_of(answer: Answer) -> dict[str, Any]:
    """Write what an answer is counted as."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(head: Letterhead, answer: Answer, usage: Mapping[str, Any]) -> dict[str, Any]:
    """Write a whole answer."""
    texts = {
        kind: "".join(part.text for part in answer.parts if part.kind == kind)
        for kind in ("content", "refusal")
    }
    said = {part.kind for part in answer.parts}
    calls = [part for part in answer.parts if part.kind == "call"]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": texts["content"] if "content" in said or not said else None,
        "refusal": texts["refusal"] if "refusal" in said else None,
        "annotations": [],
    }
    if calls:
        message["tool_calls"] = [_call(part, part.text) for part in calls]
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
    written = head("chat.completion") | {"choices": [choice], "usage": usage}
    if head.azure:
        choice["content_filter_results"] = _UNFILTERED
        written["prompt_filter_results"] = _PROMPT_UNFILTERED
    return written


def chunks(head: Letterhead, answer: Answer, usage: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Write an answer piece by piece, with its usage at the end where there is one."""
    envelope = head("chat.completion.chunk")
    # Where usage is asked for, each chunk has the field, and only the last one a value.
    more = {} if usage is None else {"usage": None}
    filtered = {"content_filter_results": _UNFILTERED} if head.azure else {}

    def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return envelope | {"choices": [choice | filtered]} | more

    if head.azure:
        unnamed = {"id": "", "object": "", "created": 0, "model": ""}
        yield unnamed | {"choices": [], "prompt_filter_results": _PROMPT_UNFILTERED} | more
    texts = [part for part in answer.parts if part.kind != "call"]
    yield chunk({"role": "assistant", "content": "" if texts or not answer.parts else None, "refusal": None})
    for part in texts:
        for piece in part.pieces:
            yield chunk({part.kind: piece})
    for index, part in enumerate(part for part in answer.parts if part.kind == "call"):
        yield chunk({"tool_calls": [{"index": index} | _call(part, "")]})
        for piece in part.pieces:
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, answer.finish_reason)
    if usage is not None:
        yield envelope | {"choices": [], "usage": usage}


def event(data: object) -> str:
    """Write one server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}\n\n"


def _call(part: Part, arguments: str) -> dict[str, Any]:
    return {"id": part.call_id, "type": "function", "function": {"name": part.name, "arguments": arguments}}
