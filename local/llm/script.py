"""Scripts and faults: tests have the model say something of theirs, or fail."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from local.llm.messages import Call
from local.llm.speech import Speech

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.llm.request import ChatRequest

_LONGEST_DELAY_MS = 600_000


class _Description(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Asking(Protocol):
    """A request, as far as it can be told from others."""

    @property
    def model(self) -> str:
        """The model."""
        ...

    @property
    def user(self) -> str | None:
        """Whom the call is made for."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """All that is said in it."""
        ...


class Mark(_Description):
    """Which requests something is about: those that have all that is named here.

    Attributes:
        model: The model, or the deployment's.
        user: The request's `user`: whom the app makes the call for.
        contains: A text in one of the messages, or in what is embedded.
    """

    model: str | None = None
    user: str | None = None
    contains: str | None = None

    def fits(self, request: Asking) -> bool:
        """Tell whether a request is one of these."""
        return (
            self.model in {None, request.model}
            and self.user in {None, request.user}
            and (self.contains is None or any(self.contains in text for text in request.texts))
        )


class ScriptedCall(_Description):
    """A call of a function; arguments as text are sent as they are, broken JSON too."""

    name: str
    arguments: str | dict[str, Any] = Field(default_factory=dict)
    id: str | None = None


class ScriptedAnswer(_Description):
    """One answer.

    Attributes:
        content: The text.
        refusal: Why the model would not answer.
        tool_calls: What it calls; the request need not offer it.
        finish_reason: How it ends; by default as a model would.
        reasoning_tokens: What it is billed for thinking; counts towards the limit.
        filtered_prompt: Whether Azure's content filter refuses the prompt instead.
        body: The whole answer as it is, any JSON or, as a text, none.
        events: The data of a stream's events as they are.
    """

    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ScriptedCall, ...] = ()
    finish_reason: str | None = None
    reasoning_tokens: int = Field(default=0, ge=0)
    filtered_prompt: bool = False
    body: Any = None
    events: tuple[Any, ...] | None = None

    def speech(self) -> Speech:
        """Give what is to be said."""
        calls = tuple(
            Call(
                call.id or f"call_scripted_{index + 1}",
                call.name,
                call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
            )
            for index, call in enumerate(self.tool_calls)
        )
        reason = self.finish_reason or ("tool_calls" if calls else "stop")
        return Speech(self.content, self.refusal, calls, reason, self.reasoning_tokens)


class Script(Mark):
    """Answers, given one after the other to the requests that fit; with `repeat` the last one for ever."""

    answers: tuple[ScriptedAnswer, ...] = Field(min_length=1)
    repeat: bool = False


class Fault(Mark):
    """Something that goes wrong.

    Attributes:
        status: The status to refuse with.
        retry_after_ms: What a refused client is told to wait.
        delay_ms: How long to wait before anything else.
        piece_delay_ms: How long to wait before each piece of a stream.
        drop: Whether to cut the connection instead of answering.
        drop_after: Cut the connection after so many pieces of a stream; a whole answer in its middle.
        truncate_after: End a stream after so many pieces, as if that were all.
        usage: What to report instead of the true usage; the model's own count stays true.
        skip: How many fitting requests pass first.
        every: One of so many fitting requests is hit.
        count: How many are hit, None for all.
    """

    status: int | None = Field(default=None, ge=400, le=599)
    retry_after_ms: int | None = Field(default=None, ge=0)
    delay_ms: int = Field(default=0, ge=0, le=_LONGEST_DELAY_MS)
    piece_delay_ms: int = Field(default=0, ge=0, le=_LONGEST_DELAY_MS)
    drop: bool = False
    drop_after: int | None = Field(default=None, ge=0)
    truncate_after: int | None = Field(default=None, ge=0)
    usage: dict[str, Any] | None = None
    skip: int = Field(default=0, ge=0)
    every: int = Field(default=1, ge=1)
    count: int | None = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        wrong = (self.status, self.drop_after, self.truncate_after, self.usage)
        if not (self.delay_ms or self.piece_delay_ms or self.drop) and all(one is None for one in wrong):
            raise ValueError(
                "a fault needs a status, a delay_ms, a piece_delay_ms, drop, drop_after, truncate_after or "
                "usage"
            )
        return self


class Scripts:
    """The scripts in force; the first one that fits and has something left is taken from."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Script, deque[ScriptedAnswer]]] = []

    def add(self, script: Script) -> None:
        """Have the answers given."""
        self._waiting.append((script, deque(script.answers)))

    def clear(self) -> None:
        """Have no more of them given."""
        self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """List what is still to be given."""
        return [
            script.model_dump(exclude={"answers"})
            | {"answers": [answer.model_dump(exclude_defaults=True) for answer in left]}
            for script, left in self._waiting
        ]

    def take(self, request: ChatRequest) -> ScriptedAnswer | None:
        """Give the answer to a request, and count it as given."""
        for index, (script, left) in enumerate(self._waiting):
            if script.fits(request):
                answer = left[0] if script.repeat and len(left) == 1 else left.popleft()
                if not left:
                    del self._waiting[index]
                return answer
        return None


class Faults:
    """The faults in force; the first one that hits a request decides."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []

    def add(self, fault: Fault) -> None:
        """Put a fault into force."""
        self._rules.append(_Rule(fault))

    def clear(self) -> None:
        """Take all faults back."""
        self._rules.clear()

    def listed(self) -> list[dict[str, Any]]:
        """List the faults with how often each has hit."""
        return [
            rule.fault.model_dump(exclude_defaults=True) | {"count": rule.fault.count, "hits": rule.hits}
            for rule in self._rules
        ]

    def hit(self, request: Asking) -> Fault | None:
        """Give the fault that hits a request, and count it."""
        return next((rule.fault for rule in self._rules if rule.fault.fits(request) and rule.take()), None)


class _Rule:
    """A fault and how often it came into question."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self._seen = 0

    def take(self) -> bool:
        self._seen += 1
        passed = self._seen - self.fault.skip
        if passed <= 0 or passed % self.fault.every != 0:
            return False
        if self.fault.count is not None and self.hits >= self.fault.count:
            return False
        self.hits += 1
        return True
