"""The stand-in's words: the same for the same input, never passing for a real model's."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local.llm.errors import RefusedError
from local.llm.instances import NoInstanceError, instance
from local.llm.messages import Call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.llm.messages import Message
    from local.llm.request import ChatRequest
    from local.llm.tools import Function

_QUOTED = 60
_THOUGHTS = {"none": 0, "minimal": 8, "low": 16, "medium": 32, "high": 64, "xhigh": 128}
"""Tokens that a reasoning model is billed for before it speaks, by its effort."""
_SHORTEST_CUE = 4
_CLOSINGS = (
    "A real model would weigh that and answer in full; I can only show that your words arrived.",
    "With a real deployment behind this endpoint you would read its answer here.",
    "Point AZURE_OPENAI_ENDPOINT at a real resource and the same call gets a real answer.",
    "Nothing left this machine to produce this sentence, and nothing was paid for it.",
)


@dataclass(frozen=True, slots=True)
class Speech:
    """Words of an answer, before any limit cuts them.

    Attributes:
        content: The text.
        refusal: Why the model would not answer.
        calls: What it calls.
        finish_reason: How it ends, unless a limit ends it.
        reasoning_tokens: What it thought before it spoke.
    """

    content: str | None = None
    refusal: str | None = None
    calls: tuple[Call, ...] = ()
    finish_reason: str = "stop"
    reasoning_tokens: int = 0


def speak(request: ChatRequest) -> Speech:
    """Answer a request; a reasoning model thinks before.

    Raises:
        RefusedError: There is no answer that keeps to the schema.
    """
    thoughts = _THOUGHTS[request.effort or "medium"] if request.family.reasoning else 0
    return replace(_speak(request), reasoning_tokens=thoughts)


def _speak(request: ChatRequest) -> Speech:
    seed = _seed(request.messages)
    chosen = _chosen(request)
    if chosen:
        reason = "stop" if request.choice.mode == "named" else "tool_calls"
        calls = tuple(_call(function, f"{seed}{index}") for index, function in enumerate(chosen))
        return Speech(calls=calls, finish_reason=reason)
    if request.format.kind == "json_schema":
        said = _asked(request.messages)[-1:]
        return Speech(content=_instance(request.format.schema, seed, "response_format", *said))
    if request.format.kind == "json_object":
        asked = _asked(request.messages)
        words = {"stand_in_for": request.model, "message": len(asked), "quoted": _quoted(asked)}
        return Speech(content=json.dumps(words, ensure_ascii=False))
    return Speech(content=_before(request.stops, _text(request.model, request.messages, seed)))


def _chosen(request: ChatRequest) -> tuple[Function, ...]:
    """Choose what to call: of the allowed functions those that the last message, if a user's, names."""
    choice = request.choice
    if choice.mode == "none" or not request.tools.functions:
        return ()
    allowed = [
        function
        for function in request.tools.functions
        if choice.allowed is None or function.name in choice.allowed
    ]
    if choice.mode == "named":
        return tuple(allowed)
    last = request.messages[-1]
    said = set(re.findall(r"\w+", last.content.lower())) if last.role == "user" else set[str]()
    named = [function for function in allowed if _cues(function.name) & said]
    if choice.mode == "required":
        named = named or allowed[:1]
    return tuple(named if request.tools.parallel else named[:1])


def _cues(name: str) -> set[str]:
    """Give the words of a name that a sentence may have: `get_weather` is named by "weather"."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
    return {word.lower() for word in words if len(word) >= _SHORTEST_CUE} | {name.lower()}


def _call(function: Function, seed: str) -> Call:
    digest = hashlib.sha256(f"{seed}{function.definition}".encode()).hexdigest()
    arguments = _instance(function.parameters, seed, "tools") if function.parameters else "{}"
    return Call(f"call_{digest[:24]}", function.name, arguments)


def _instance(schema: Mapping[str, object], seed: str, param: str, said: str = "") -> str:
    try:
        return json.dumps(instance(schema, seed, said), ensure_ascii=False)
    except NoInstanceError as error:
        raise RefusedError(f"The local model finds no answer for this schema: {error}", param) from error


def _text(model: str, messages: Sequence[Message], seed: str) -> str:
    last = messages[-1]
    if last.role == "tool":
        answers = [message for message in messages if message.role == "tool"]
        words = len(last.content.split())
        told = f"The last of {len(answers)} tool answers has {words} words: “{_cut(last.content)}”."
    else:
        asked = _asked(messages)
        words = len(asked[-1].split()) if asked else 0
        told = f"Message {len(asked)} of this conversation has {words} words: “{_quoted(asked)}”."
    instructions = sum(len(m.content.split()) for m in messages if m.role in {"system", "developer"})
    closing = _CLOSINGS[int(seed[:8], 16) % len(_CLOSINGS)]
    return f"[stand-in for {model}] {told} My instructions have {instructions} words. {closing}"


def _asked(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages if message.role == "user"]


def _quoted(asked: Sequence[str]) -> str:
    return _cut(asked[-1]) if asked else ""


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1].rstrip() + "…"


def _before(stops: Sequence[str], text: str) -> str:
    return text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]


def _seed(messages: Sequence[Message]) -> str:
    said = [(m.role, m.content, [(call.name, call.arguments) for call in m.calls]) for m in messages]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
