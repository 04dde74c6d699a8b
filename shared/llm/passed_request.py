"""Request for chat completions that is passed on as it came, and what of it is counted before it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TEXT_PARTS = frozenset({"text", "refusal"})
_DEFINITIONS = ("tools", "functions", "response_format")
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedRequest:
    """Request of a caller's that a model is sent as it is, but for what is the app's to say.

    Attributes:
        fields: The body's fields, without the model, the limit, the stream and whom it is made for.
        texts: All of it that the model counts as text: a bound of what it will count, not its exact count.
        framed: How many of its parts are framed by tokens of their own: messages and tools.
        choices: How many answers are wanted.
        told_tokens: How many tokens the answer may tell of for each that it has, itself included.
        has_stops: Whether the answer is to end before a text.
        limit_name: What the caller calls the limit of the answer.
        stream_options: The caller's options of a stream.
        cache_key: The caller's own name for prompts that begin alike.
    """

    fields: Mapping[str, object]
    texts: Sequence[str]
    framed: int
    choices: int = 1
    told_tokens: int = 1
    has_stops: bool = False
    limit_name: str = "max_completion_tokens"
    stream_options: Mapping[str, object]
    cache_key: str | None = None


def count_framed(fields: Mapping[str, object]) -> int:
    """Return how many parts of a request are framed: its messages, and the tools that it offers."""
    lists = (fields.get(name) for name in ("messages", "tools", "functions"))
    return sum(len(one) for one in lists if isinstance(one, list))


def collect_texts(fields: Mapping[str, object]) -> list[str]:
    """Return all of a request that a model counts as text.

    Every text of a message counts, whatever it is called; tools and schemas count as the JSON that they are.

    Raises:
        ValidationError: A part of a message's content is no text, which nobody here could count; it is named.
    """
    texts: list[str] = []
    messages = fields.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        texts += _texts_within(message)
        content = message.get("content") if isinstance(message, dict) else None
        for number, part in enumerate(content if isinstance(content, list) else ()):
            _refuse_uncounted(part, f"body.messages.{index}.content.{number}")
    texts += [_encode(fields[name]) for name in _DEFINITIONS if fields.get(name) is not None]
    return texts


def _refuse_uncounted(part: object, place: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in _TEXT_PARTS:
        raise refused_field(f"{place}.type", f"must be one of {', '.join(sorted(_TEXT_PARTS))}")


def _texts_within(value: object) -> Iterator[str]:
    """Give each text in a piece of JSON; how deep that is nested, the edge has bounded."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts_within(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts_within(member)
