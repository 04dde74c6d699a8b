"""Chat model: the protocol, its prompts, completions and errors, whoever serves it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Protocol

from shared.errors import DependencyUnavailableError
from shared.llm.errors import PromptRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from shared.contracts import ChatMessage, Usage
    from shared.errors import JsonValue

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """One call of a chat model.

    Attributes:
        messages: The conversation, oldest first; not empty.
        model: The model or deployment.
        max_output_tokens: The most that the answer may have, reasoning included.
        temperature: The model's own where None; reasoning models take none.
        user: Whom the call is made for: an opaque id that usage is grouped by.
        reasoning_effort: How long a reasoning model thinks; its own default where None.
    """

    messages: tuple[ChatMessage, ...]
    model: str
    max_output_tokens: int
    temperature: float | None = None
    user: str | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Attributes:
        text: Its text; not empty.
        usage: The tokens that it used.
        model: The model that answered, by its provider's name for it.
        finish_reason: `stop`, or `length` when the output limit cut it; providers have others. None where the
            answer does not tell.
    """

    text: str
    usage: Usage
    model: str
    finish_reason: str | None


class PromptTooLongError(PromptRefusedError):
    """A prompt that is too long to be counted, or for any budget of its tenant; `detail` has the bound."""


class PromptRejectedError(PromptRefusedError):
    """The model refused the prompt before any work: nothing was used."""


class ModelNotFoundError(PromptRejectedError):
    """No such model at the provider; the message names it, and the known ones that are most like it."""

    def __init__(self, model: str, known: Sequence[str] = ()) -> None:
        nearest = sorted(known, key=lambda name: -SequenceMatcher(None, model, name).ratio())[:_MOST_NAMED]
        offer = f"; there are: {', '.join(nearest)}" if nearest else ""
        detail: dict[str, JsonValue] = {"code": "model_not_found", "model": model, "available": nearest}
        super().__init__(f"There is no model '{model}'{offer}", detail)


class ModelOutageError(DependencyUnavailableError):
    """The model did no work for this call: it was not reached, or it refused before working.

    Any other failure leaves open whether tokens were used.
    """


class UnusableAnswerError(DependencyUnavailableError):
    """The model answered, but with no text that can be used; `usage` tells what it took, if known."""

    def __init__(self, reason: str, usage: Usage | None) -> None:
        super().__init__("The model", reason)
        self.usage = usage


class TruncatedAnswerError(UnusableAnswerError):
    """A stream broke off before its answer was whole; `usage` tells what it took, if that had come."""


class DeclinedAnswerError(PromptRefusedError):
    """The model itself declined to answer; `usage` tells what it took."""

    def __init__(self, usage: Usage | None) -> None:
        super().__init__("The model declined to answer", {"code": "refusal"})
        self.usage = usage


class FilteredAnswerError(PromptRefusedError):
    """The provider's content filter stopped the answer; `usage` tells what it took."""

    def __init__(self, usage: Usage | None) -> None:
        super().__init__("The model's content filter stopped the answer", {"code": "content_filter"})
        self.usage = usage


type AnswerStream = AsyncIterator[str | Completion]
"""The text of an answer in parts, none of them empty, then the whole of it as its last item."""


class ChatModel(Protocol):
    """Something that answers chat prompts."""

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            PromptRejectedError: It does not take this prompt, and used nothing.
            PromptRefusedError: It does not take this prompt.
            ModelOutageError: No attempt used anything.
            UnusableAnswerError: Its answer is no whole text.
            DependencyUnavailableError: It failed; tokens may have been used.
            DependencyTimeoutError: It did not answer in time; tokens may have been used.
        """
        ...


class StreamingChatModel(ChatModel, Protocol):
    """Something that also answers chat prompts part by part."""

    def stream(self, prompt: ChatPrompt) -> AbstractAsyncContextManager[AnswerStream]:
        """Open the stream of an answer; once it is open, the model has begun to answer.

        Leaving the block before the answer is whole stops the model's work.

        Raises:
            APIError: On entering, as `complete` does.
            FilteredAnswerError: Between the parts, or in place of the completion: the content filter.
            DeclinedAnswerError: There: the model declined to answer.
            TruncatedAnswerError: There: the answer has no end.
            UnusableAnswerError: There: it cannot be used for another reason.
        """
        ...
