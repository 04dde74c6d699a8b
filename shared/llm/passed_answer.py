"""Answer that is passed on as it came: all that is read of it is what it used, and whether it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.llm.chat_model import Completion, PassedChunk, TruncatedAnswerError, UnusableAnswerError
from shared.llm.completion_parsing import as_object, read_name, read_text, read_usage
from shared.llm.passed_json import read_passed_json
from shared.llm.streamed_answer import DONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shared.contracts import Usage

_TEXTS = frozenset({"content", "refusal", "reasoning_content", "reasoning"})
"""Members of a part that hold words of the model; the last two are of providers that show its thoughts."""


def parse_passed_answer(answer: object, model: str) -> Completion:
    """Read as much of a chat completion as has to be known of one that is passed on.

    Args:
        answer: The JSON that the provider sent.
        model: The model that was asked, for an answer that names none.

    Raises:
        UnusableAnswerError: It has no choice, or does not tell what it used.
    """
    fields = as_object(answer)
    usage = read_usage(as_object(fields.get("usage")))
    choices = _choices_of(fields)
    if usage is None or not choices:
        raise UnusableAnswerError("gave a malformed answer", usage)
    reason = read_name(choices[0].get("finish_reason"))
    return Completion("", usage, read_name(fields.get("model")) or model, reason, answer=fields)


class PassedAnswer:
    """Streamed answer that is passed on, one part for each of its events.

    Args:
        model: The model that was asked, for a stream that names none.
        choices: How many answers were asked for.

    Attributes:
        usage: The tokens that it used, once they are told.
        is_over: Whether the provider said that nothing more comes.
        fault: The reason for which it is not whole; nothing more of it is passed on.
    """

    def __init__(self, model: str, choices: int = 1) -> None:
        self.usage: Usage | None = None
        self.is_over = False
        self.fault: str | None = None
        self._model = model
        self._choices = choices
        self._finish_reasons: dict[int, str | None] = {}

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing that is needed of it is still to come."""
        return self._has_ends and self.usage is not None

    @property
    def _has_ends(self) -> bool:
        """Tell whether each answer has its end: all that were asked for, unless the provider gives fewer."""
        expected = 1 if self.is_over else self._choices
        return len(self._finish_reasons) >= expected and None not in self._finish_reasons.values()

    def take_all(self, events: Iterable[bytes]) -> Sequence[PassedChunk]:
        """Read the data of some events, and return the parts to pass on."""
        return [chunk for data in events if (chunk := self._take(data)) is not None]

    def end(self) -> str:
        """Return nothing: no part is held back."""
        return ""

    def complete(self) -> Completion:
        """Return what is known of the answer, once its stream is over.

        Raises:
            TruncatedAnswerError: It has no end.
            UnusableAnswerError: It does not tell what it used, or has a fault.
        """
        if self.fault is not None:
            raise UnusableAnswerError(self.fault, self.usage)
        if not self._has_ends:
            raise TruncatedAnswerError("ended its stream before its answer", self.usage)
        if self.usage is None:
            raise UnusableAnswerError("did not tell what its answer used", None)
        first = min(self._finish_reasons)
        return Completion("", self.usage, self._model, self._finish_reasons[first])

    def _take(self, data: bytes) -> PassedChunk | None:
        if data == DONE:
            self.is_over = True
            return None
        try:
            event = as_object(read_passed_json(data))
        except (ValueError, RecursionError):
            self.fault = self.fault or "sent an event that is not JSON"
            return None
        if usage := event.get("usage"):
            self.usage = read_usage(as_object(usage)) or self.usage
        if event.get("error"):
            self.fault = self.fault or "ended its answer with an error"
        if self.fault is not None:
            return None
        self._model = read_name(event.get("model")) or self._model
        return PassedChunk.of(self._read_choices(event), event)

    def _read_choices(self, event: dict[str, object]) -> str:
        """Note how each choice ends, and return the words that the event adds to any."""
        texts: list[str] = []
        for choice in _choices_of(event):
            index = choice.get("index")
            number = index if isinstance(index, int) else 0
            reason = read_name(choice.get("finish_reason"))
            self._finish_reasons[number] = reason or self._finish_reasons.get(number)
            if isinstance(delta := choice.get("delta"), dict):
                texts += _words_of(delta)
        return "".join(texts)


def _choices_of(fields: dict[str, object]) -> list[dict[str, object]]:
    choices = fields.get("choices")
    return [as_object(one) for one in choices] if isinstance(choices, list) else []


def _words_of(delta: dict[str, object]) -> Iterator[str]:
    for name, member in delta.items():
        if member and name in _TEXTS:
            yield read_text(member)
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = as_object(as_object(call).get("function"))
        yield read_text(function.get("name"))
        yield read_text(function.get("arguments"))
