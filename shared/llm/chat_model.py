"""What the app asks of a chat model, whoever serves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import DependencyUnavailableError, PromptRefusedError

if TYPE_CHECKING:
    from shared.contracts import ChatMessage, Usage


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """One call of a chat model.

    Attributes:
        messages: The conversation, oldest first; not empty.
        model: The model or deployment.
        max_output_tokens: The most that the answer may have, reasoning included.
        temperature: The model's own where None; reasoning models take none.
        user: Whom the call is made for: an opaque id that usage is grouped by.
    """

    messages: tuple[ChatMessage, ...]
    model: str
    max_output_tokens: int
    temperature: float | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer; `finish_reason` is `stop`, or `length` when the output limit cut it."""

    text: str
    usage: Usage
    model: str
    finish_reason: str


class PromptTooLongError(PromptRefusedError):
    """A prompt that is too long to be counted, or for any budget of its tenant; `detail` has the bound."""


class ModelUnavailableError(DependencyUnavailableError):
    """The model did no work for this call: it was not reached, or it refused before working.

    Any other failure leaves open whether tokens were used.
    """


class UnusableAnswerError(DependencyUnavailableError):
    """The model answered, but with no text that can be used; `usage` tells what it took, if known."""

    def __init__(self, reason: str, usage: Usage | None) -> None:
        super().__init__("The model", reason)
        self.usage = usage


class FilteredAnswerError(PromptRefusedError):
    """The provider's content filter stopped the answer; `usage` tells what it took."""

    def __init__(self, usage: Usage | None) -> None:
        super().__init__("The model's content filter stopped the answer", {"code": "content_filter"})
        self.usage = usage


class ChatModel(Protocol):
    """Something that answers chat prompts."""

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            PromptRefusedError: It does not take this prompt.
            ModelUnavailableError: No attempt used anything.
            UnusableAnswerError: Its answer is no whole text.
            DependencyUnavailableError: It failed; tokens may have been used.
            DependencyTimeoutError: It did not answer in time; tokens may have been used.
        """
        ...
