"""Request for chat completions that is passed on as it came, and what of it is counted before it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.json_values import texts_within
from shared.llm.image_tokens import PromptImage, read_image_size
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMAGE = "image_url"
# Tuples: what is looked up in them may be any JSON, and not all of that can be looked up in a set.
_PARTS = (_IMAGE, "refusal", "text")
_DETAILS = ("auto", "high", "low", None)
_ADDRESSES = ("https://", "data:image/")
_DEFINITIONS = ("tools", "functions", "response_format")
_TOOLS = ("function", "custom")
"""Tools that run at the caller's; those that run at the provider cost what no ledger here counts."""

_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedRequest:
    """Request of a caller's that a model is sent as it is, but for what is the app's to say.

    Attributes:
        fields: The body's fields, without the model, the limit, the stream and whom it is made for.
        counted: What of it the model counts.
        choices: How many answers are wanted.
        told_tokens: How many tokens the answer may tell of for each that it has, itself included.
        has_stops: Whether the answer is to end before a text.
        limit_name: What the caller calls the limit of the answer.
        stream_options: The caller's options of a stream.
        cache_key: The caller's own name for prompts that begin alike.
    """

    fields: Mapping[str, object]
    counted: CountedContent
    choices: int = 1
    told_tokens: int = 1
    has_stops: bool = False
    limit_name: str = "max_completion_tokens"
    stream_options: Mapping[str, object]
    cache_key: str | None = None


@dataclass(slots=True)
class CountedContent:
    """Countable content of a request: a bound of what the model will count, not its exact count.

    Attributes:
        texts: All that it counts as text.
        images: The images, each with its own count.
        framed: How many of its parts are framed by tokens of their own: messages and tools.
    """

    texts: list[str] = field(default_factory=list)
    images: list[PromptImage] = field(default_factory=list)
    framed: int = 0

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> CountedContent:
        """Collect it.

        Every text of a message counts, whatever it is called; tools, their calls and schemas count as the
        JSON that they are.

        Raises:
            ValidationError: A part of a message is neither a text nor an image, an image is not as it can be
                counted, or a tool runs at the provider; it is named.
        """
        content = cls()
        messages = fields.get("messages")
        for index, message in enumerate(messages if isinstance(messages, list) else ()):
            content.add_message(message, f"body.messages.{index}")
        _require_callers_tools(fields.get("tools"))
        content.add_definitions(fields)
        return content

    def add_definitions(self, fields: Mapping[str, object]) -> None:
        """Add the tools and the form of the answer that a request has."""
        self.texts += [_encode(fields[name]) for name in _DEFINITIONS if fields.get(name) is not None]
        offered = (fields.get(name) for name in ("tools", "functions"))
        self.framed += sum(len(one) for one in offered if isinstance(one, list))

    def add_message(self, message: Mapping[str, object], place: str) -> None:
        """Add one message.

        Raises:
            ValidationError: A part of it cannot be counted.
        """
        self.framed += 1
        for name, value in message.items():
            if name == "content" and isinstance(value, list):
                for number, part in enumerate(value):
                    self._add_part(part, f"{place}.content.{number}")
            elif value is not None:
                self.texts.append(value if isinstance(value, str) else _encode(value))

    def _add_part(self, part: object, place: str) -> None:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(part, dict) or kind not in _PARTS:
            raise refused_field(f"{place}.type", f"must be one of {', '.join(_PARTS)}")
        if kind == _IMAGE:
            self.images.append(_read_image(part.get(_IMAGE), f"{place}.{_IMAGE}"))
        else:
            self.texts += texts_within(part)


def _require_callers_tools(tools: object) -> None:
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if not isinstance(tool, dict) or tool.get("type") not in _TOOLS:
            raise refused_field(f"body.tools.{index}.type", f"must be one of {', '.join(_TOOLS)}")


def _read_image(image: object, place: str) -> PromptImage:
    """Read of an image what its tokens depend on.

    It is fetched by the provider: only from where everybody may, and with a detail whose count is known.
    """
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(image, dict) or not isinstance(url, str) or not url.startswith(_ADDRESSES):
        raise refused_field(f"{place}.url", "must begin with https:// or data:image/")
    detail = image.get("detail")
    if detail not in _DETAILS:
        raise refused_field(f"{place}.detail", "must be one of auto, high, low")
    return PromptImage(detail, read_image_size(url))
