"""Streamed answer: its server-sent events, and the text, the end and the usage that they add up to.

Everything here is plain bytes and dictionaries: a model of the SDK for each part costs more than all else.
What an event holds beside that is left alone, as `completion_parsing` does with a whole answer.
"""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING

from shared.llm.chat_model import (
    Completion,
    DeclinedAnswerError,
    FilteredAnswerError,
    TruncatedAnswerError,
    UnusableAnswerError,
)
from shared.llm.completion_parsing import as_object, read_name, read_text, read_usage, refuse_empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.contracts import Usage

_DATA = b"data:"
DONE = b"[DONE]"
"""The data of the event after which nothing more comes."""


class EventTooLongError(ValueError):
    """An event has more bytes than one may have."""


class EventDecoder:
    """Decoder of a stream's bytes into the data of its events; names, ids and comments are left out.

    An event that nothing ends is none: the stream was cut off in it.

    Args:
        most_bytes: The most that one event may have.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._line = bytearray()
        self._data = bytearray()

    def feed(self, content: bytes) -> list[bytes]:
        """Take bytes as they came, and return the data of each event that they end.

        Raises:
            EventTooLongError: The event that they belong to is too long.
        """
        self._line += content
        events: list[bytes] = []
        if b"\n" in content:
            *lines, self._line = self._line.split(b"\n")
            for line in lines:
                self._take_line(bytes(line.rstrip(b"\r")), events)
        self._refuse_length()
        return events

    def _refuse_length(self) -> None:
        if len(self._line) + len(self._data) > self._most_bytes:
            raise EventTooLongError

    def _take_line(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(_DATA):
            self._data += line[len(_DATA) :].removeprefix(b" ") + b"\n"
            self._refuse_length()
        elif not line and self._data:
            events.append(bytes(self._data[:-1]))
            self._data.clear()


class StreamedAnswer:
    """One choice's text as it grows, and what its end says of it.

    Args:
        model: The model that was asked, for a stream that names none.
        most_characters: The most that its text may have.

    Attributes:
        usage: The tokens that it used, once they are told.
        is_over: Whether the provider said that nothing more comes.
        fault: The reason for which the text cannot be used; what still comes is read for its usage alone.
    """

    def __init__(self, model: str, most_characters: int) -> None:
        self.usage: Usage | None = None
        self.is_over = False
        self.fault: str | None = None
        self._model = model
        self._finish_reason: str | None = None
        self._is_declined = False
        self._left_characters = most_characters
        self._texts: list[str] = []
        # Halves of characters may come in two parts; one that stays alone could be neither stored nor sent.
        self._characters = codecs.getincrementaldecoder("utf-16-le")("replace")

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing that is needed of it is still to come."""
        return self._finish_reason is not None and self.usage is not None

    def take_all(self, events: Iterable[bytes]) -> Sequence[str]:
        """Read some events' data, and return the text that they add, if any."""
        text = "".join(map(self.take, events))
        return (text,) if text else ()

    def take(self, data: bytes) -> str:
        """Read one event's data, and return the text that it adds."""
        if data == DONE:
            self.is_over = True
            return ""
        try:
            event = as_object(json.loads(data))
        except (ValueError, RecursionError):
            self.fault = self.fault or "sent an event that is not JSON"
            return ""
        if usage := event.get("usage"):
            self.usage = read_usage(as_object(usage)) or self.usage
        if event.get("error"):
            self.fault = self.fault or "ended its answer with an error"
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices:
            return ""
        self._model = read_name(event.get("model")) or self._model
        return self._take_choice(as_object(choices[0]))

    def end(self) -> str:
        """Return what is left of the text when its stream is over: a half of a character, replaced."""
        text = self._characters.decode(b"", final=True)
        if text:
            self._texts.append(text)
        return text

    def complete(self) -> Completion:
        """Return the whole answer, once its stream is over.

        Raises:
            FilteredAnswerError: The provider's content filter stopped it.
            DeclinedAnswerError: The model declined to answer.
            TruncatedAnswerError: It has no end.
            OutputLimitReachedError: Its limit of tokens was used before any text.
            UnusableAnswerError: It has no text, does not tell what it used, or has a fault.
        """
        if self._finish_reason == "content_filter":
            raise FilteredAnswerError(self.usage)
        if self._is_declined:
            raise DeclinedAnswerError(self.usage)
        if self.fault is not None:
            raise UnusableAnswerError(self.fault, self.usage)
        if self._finish_reason is None:
            raise TruncatedAnswerError("ended its stream before its answer", self.usage)
        if self.usage is None:
            raise UnusableAnswerError("did not tell what its answer used", None)
        if not self._texts:
            raise refuse_empty(self._finish_reason, self.usage)
        return Completion("".join(self._texts), self.usage, self._model, self._finish_reason)

    def _take_choice(self, choice: dict[str, object]) -> str:
        self._finish_reason = read_name(choice.get("finish_reason")) or self._finish_reason
        delta = as_object(choice.get("delta"))
        if delta.get("refusal"):
            self._is_declined = True
        text = read_text(delta.get("content"))
        if not text or self.fault is not None:
            return ""
        text = self._characters.decode(text.encode("utf-16-le", "surrogatepass"))
        if not text:
            return ""
        self._left_characters -= len(text)
        if self._left_characters < 0:
            self.fault = "gave more text than was asked for"
            return ""
        self._texts.append(text)
        return text
