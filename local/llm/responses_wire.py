"""Answers of the Responses interface: the response as JSON, and the events that tell it piece by piece."""

from __future__ import annotations

import itertools
import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.llm.answer import Answer, Part
    from local.llm.wire import Letterhead

_CUT = "length"


def usage_of(answer: Answer) -> dict[str, Any]:
    """Write what an answer is counted as."""
    return {
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": answer.cached_tokens},
        "output_tokens": answer.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def response(
    head: Letterhead, answer: Answer, usage: Mapping[str, Any], echoed: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a whole response."""
    cut = answer.finish_reason == _CUT
    return _begin(head, echoed) | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": _items(answer, "incomplete" if cut else "completed"),
        "usage": dict(usage),
    }


def events(
    head: Letterhead, answer: Answer, usage: Mapping[str, Any], echoed: Mapping[str, Any]
) -> Iterator[str]:
    """Write a response piece by piece."""
    numbers = itertools.count()
    whole = response(head, answer, usage, echoed)
    begun = whole | {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}

    def event(kind: str, **told: object) -> str:
        data = {"type": kind, "sequence_number": next(numbers)} | told
        return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"

    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    parts = iter(answer.parts)
    for index, item in enumerate(whole["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        match item["type"]:
            case "message":
                added = item | {"status": "in_progress", "content": []}
                yield event("response.output_item.added", output_index=index, item=added)
                for at, content in enumerate(item["content"]):
                    yield from _tell_content(event, place | {"content_index": at}, content, next(parts))
            case "function_call":
                added = item | {"status": "in_progress", "arguments": ""}
                yield event("response.output_item.added", output_index=index, item=added)
                for piece in next(parts).pieces:
                    yield event("response.function_call_arguments.delta", **place, delta=piece)
                done = {"arguments": item["arguments"], "name": item["name"]}
                yield event("response.function_call_arguments.done", **place, **done)
            case _:
                yield event("response.output_item.added", output_index=index, item=item)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{whole['status']}", response=whole)


def _tell_content(
    event: Any,  # noqa: ANN401  # of any fields
    place: Mapping[str, Any],
    content: Mapping[str, Any],
    part: Part,
) -> Iterator[str]:
    field = "refusal" if part.kind == "refusal" else "text"
    kind = "response.refusal" if part.kind == "refusal" else "response.output_text"
    more: dict[str, object] = {} if part.kind == "refusal" else {"logprobs": []}
    yield event("response.content_part.added", **place, part={**content, field: ""})
    for piece in part.pieces:
        yield event(f"{kind}.delta", **place, delta=piece, **more)
    yield event(f"{kind}.done", **place, **{field: content[field]}, **more)
    yield event("response.content_part.done", **place, part=content)


def _begin(head: Letterhead, echoed: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": head.created,
        "model": head.model,
        "error": None,
        "service_tier": "default",
        **echoed,
    }


def _items(answer: Answer, status: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.reasoning_tokens:
        items.append({"id": f"rs_{uuid.uuid4().hex}", "type": "reasoning", "summary": []})
    contents = [_content(part) for part in answer.parts if part.kind != "call"]
    if contents:
        message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant"}
        items.append(message | {"status": status, "content": contents})
    for part in answer.parts:
        if part.kind == "call":
            call = {"call_id": part.call_id, "name": part.name, "arguments": part.text, "status": status}
            items.append({"id": f"fc_{uuid.uuid4().hex}", "type": "function_call"} | call)
    return items


def _content(part: Part) -> dict[str, Any]:
    if part.kind == "refusal":
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
