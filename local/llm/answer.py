"""An answer as it is counted and told: cut at its limit, piece by piece, with its usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from local.llm.encodings import count, pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.llm.messages import Message
    from local.llm.request import ChatRequest
    from local.llm.speech import Speech

_TOKENS_PER_MESSAGE = 4
_TOKENS_BEFORE_ANSWER = 3
_TOKENS_PER_TOOL = 3


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an answer, in its tokens' pieces; a call has its id and name."""

    kind: Literal["content", "refusal", "call"]
    pieces: tuple[str, ...]
    call_id: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """Return the whole part."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer within its limit, and its counts: cached are some of the prompt's, reasoning of the rest."""

    parts: tuple[Part, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    finish_reason: str

    @property
    def text(self) -> str:
        """Return the whole text."""
        return "".join(part.text for part in self.parts if part.kind == "content")


def cut_and_count(request: ChatRequest, speech: Speech, prompt_tokens: int, cached_tokens: int) -> Answer:
    """Count a speech in the model's encoding, and cut it at the request's limit."""
    encoding = request.family.encoding
    meter = _Meter(request.limit, speech.reasoning_tokens)
    parts: list[Part] = []
    if speech.content is not None and not meter.cut:
        parts.append(Part("content", meter.take(encoding, speech.content)))
    if speech.refusal is not None and not meter.cut:
        parts.append(Part("refusal", meter.take(encoding, speech.refusal)))
    for call in speech.calls:
        if meter.cut:
            break
        meter.spend(count(encoding, call.name) + _TOKENS_PER_TOOL)
        parts.append(Part("call", meter.take(encoding, call.arguments), call.call_id, call.name))
    return Answer(
        parts=tuple(parts),
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        completion_tokens=meter.spent,
        reasoning_tokens=min(speech.reasoning_tokens, meter.spent),
        finish_reason="length" if meter.cut else speech.finish_reason,
    )


def count_prompt(request: ChatRequest) -> int:
    """Count a prompt: as OpenAI's cookbook does, and the tools and the schema as the JSON that they are."""
    encoding = request.family.encoding
    counted = count_messages(encoding, request.messages)
    counted += sum(_TOKENS_PER_TOOL + count(encoding, known.definition) for known in request.tools.functions)
    if request.format.schema:
        counted += count(encoding, str(request.format.schema))
    return counted


def count_messages(encoding: str, messages: Sequence[Message]) -> int:
    """Count a conversation: each message is framed, and the answer is begun."""
    counted = _TOKENS_BEFORE_ANSWER
    for message in messages:
        counted += _TOKENS_PER_MESSAGE + count(encoding, message.content)
        for call in message.calls:
            counted += _TOKENS_PER_TOOL + count(encoding, call.name) + count(encoding, call.arguments)
    return counted


class _Meter:
    """Counts what is said, up to a limit."""

    def __init__(self, limit: int | None, spent: int) -> None:
        self._limit = limit
        self.spent = 0
        self.cut = False
        self.spend(spent)

    def spend(self, tokens: int) -> bool:
        """Count tokens and tell whether they fitted; those that do not fill the limit."""
        if self._limit is not None and self.spent + tokens > self._limit:
            self.spent, self.cut = self._limit, True
            return False
        self.spent += tokens
        return True

    def take(self, encoding: str, text: str) -> tuple[str, ...]:
        """Give as much of a text as fits, in its tokens' pieces."""
        taken = []
        for piece, tokens in () if self.cut else pieces(encoding, text):
            if not self.spend(tokens):
                break
            taken.append(piece)
        return tuple(taken)
