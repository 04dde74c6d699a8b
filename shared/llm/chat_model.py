"""Chat model: the protocol, its prompts, completions and errors, whoever serves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import SequenceMatcher
from heapq import nlargest
from typing import TYPE_CHECKING, Protocol

from shared.errors import ConflictError, DependencyUnavailableError
from shared.llm.errors import PromptRefusedError
from shared.llm.model_call import CallOrigin, CallProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from shared.contracts import ChatMessage, Usage
    from shared.errors import JsonValue
    from shared.llm.answer_format import AnswerFormat
    from shared.llm.deployments import ModelDeployment
    from shared.llm.passed_request import PassedRequest
    from shared.llm.token_cap import TokenCap

CUT_OFF = "length"
"""The reason to end of an answer that its limit of tokens cut."""

_MOST_NAMED = 10
_MOST_COMPARED = 30
_NO_ORIGIN = CallOrigin()


@dataclass(frozen=True, slots=True)
class Sampling:
    """Choice of an answer's words, beside the temperature; models that reason are sent none of it.

    Attributes:
        top_p: The share of likely words to choose from, 0 to 1; the model's own where None, as below.
        frequency_penalty: How much words that were said often are avoided, -2 to 2.
        presence_penalty: How much words that were said at all are avoided, -2 to 2.
        stop: Texts before which the answer ends, at most four; a model that reasons takes no prompt with any.
    """

    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()


AS_THE_MODEL_DOES = Sampling()


@dataclass(frozen=True, slots=True)
class CountedTexts:
    """Texts whose tokens were counted before, so that nobody counts them again.

    Attributes:
        tokenizer: The encoding that they were counted in.
        tokens: The tokens of each.
    """

    tokenizer: str
    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """One call of a chat model.

    Attributes:
        messages: The conversation, oldest first; empty only where a request is passed on, which has its own.
        model: The name of the model in the catalogue.
        max_output_tokens: The most that the answer may have, reasoning included; None for the catalogue's.
        temperature: The model's own where None; reasoning models are sent none.
        user: Whom the call is made for: an opaque id that usage is grouped by.
        reasoning_effort: How much it is to be thought about; models that do not reason are sent none.
        origin: What the call is made for.
        route: The deployment to ask, and after it those that may be asked in its place; the catalogue's.
        safety_identifier: The user as the provider is told: nobody reads user or tenant from it.
        cache_key: By which the provider finds what it has cached of prompts that begin alike.
        answer_format: The form that the answer is held to; None for any text.
        sampling: How the words are chosen, beside the temperature.
        only_azure: Whether no other provider than Azure may be shown it.
        cap: The tokens of the work that the call is a part of; it is told what the call used.
        counted: Those of its messages' texts whose tokens are known.
        passed: The request of a caller's that is passed on, in the place of messages, sampling and format.
        progress: What is learnt of the call on the way.
    """

    messages: tuple[ChatMessage, ...]
    model: str
    max_output_tokens: int | None = None
    temperature: float | None = None
    user: str | None = None
    reasoning_effort: str | None = None
    origin: CallOrigin = _NO_ORIGIN
    route: tuple[ModelDeployment, ...] = ()
    safety_identifier: str | None = None
    cache_key: str | None = None
    answer_format: AnswerFormat | None = None
    sampling: Sampling = AS_THE_MODEL_DOES
    only_azure: bool = False
    cap: TokenCap | None = field(default=None, compare=False)
    counted: CountedTexts | None = field(default=None, compare=False, repr=False)
    passed: PassedRequest | None = field(default=None, repr=False)
    progress: CallProgress = field(default_factory=CallProgress, compare=False, repr=False)

    @property
    def version(self) -> str:
        """Return the version of the instructions: prompts of one application with the same begin alike."""
        own = None if self.passed is None else self.passed.cache_key
        return own or str(self.origin.prompt or self.origin.step or "")

    @property
    def has_stops(self) -> bool:
        """Tell whether the answer is to end before a text."""
        return bool(self.sampling.stop) or (self.passed is not None and self.passed.has_stops)

    @property
    def tokenizer(self) -> str:
        """Return what its tokens are counted by: the deployment's encoding, or the model's name."""
        return self.route[0].tokenizer if self.route else self.model

    @property
    def image_tokens(self) -> int:
        """Return the tokens of its images: as the deployment counts them that counts the most."""
        if self.passed is None or not self.passed.counted.images:
            return 0
        formulas = [one.images for one in self.route if one.images is not None]
        images = self.passed.counted.images
        return max((sum(map(formula.count, images)) for formula in formulas), default=0)

    @property
    def output_limit(self) -> int:
        """Return the most tokens that the answer may have.

        Raises:
            ValueError: Nobody has said; the catalogue's model does.
        """
        if self.max_output_tokens is None:
            raise ValueError("the prompt has no output limit yet")
        return self.max_output_tokens

    @property
    def most_output_tokens(self) -> int:
        """Return the most tokens of all answers together, of which a request that is passed on may want many.

        Raises:
            ValueError: Nobody has said how many one may have.
        """
        return self.output_limit * (1 if self.passed is None else self.passed.choices)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Attributes:
        text: Its text; empty only in the answer to a request that was passed on.
        usage: The tokens that it used.
        model: The model that answered, by its provider's name for it.
        finish_reason: `stop`, or `length` when the output limit cut it; providers have others. None where the
            answer does not tell.
        deployment: The catalogue's name of the deployment that answered: another one than was asked for
            where it answered in that one's place. None where the catalogue was not asked.
        answer: The whole JSON as it came, where a request was passed on and not streamed.
    """

    text: str
    usage: Usage
    model: str
    finish_reason: str | None
    deployment: str | None = None
    answer: Mapping[str, object] | None = field(default=None, repr=False)


class PassedChunk(str):
    """Text of a streamed answer together with the event that brought it, for whoever passes events on.

    The text is what tokens are counted of: it is empty where an event has another purpose.

    Attributes:
        event: The event's JSON, as it came.
    """

    __slots__ = ("event",)

    event: dict[str, object]

    @classmethod
    def of(cls, text: str, event: dict[str, object]) -> PassedChunk:
        """Put both together."""
        chunk = cls(text)
        chunk.event = event
        return chunk


class PromptTooLongError(PromptRefusedError):
    """A prompt that is too long to be counted, or for any budget of its tenant; `detail` has the bound."""


class PromptRejectedError(PromptRefusedError):
    """The model refused the prompt before any work: nothing was used."""


class ModelNotFoundError(PromptRejectedError):
    """No such model, or none that the tenant may use; the message names those most like it that there are."""

    def __init__(
        self, model: str, known: Sequence[str] = (), path: str | None = None, *, kind: str = "model"
    ) -> None:
        nearest = _find_nearest(model, known)
        offer = f"; the nearest are: {', '.join(nearest)}" if nearest else ""
        detail: dict[str, JsonValue] = {"code": "model_not_found", "model": model, "available": nearest}
        if path is not None:
            detail["fields"] = {path: "is no model that may be used"}
        super().__init__(f"There is no {kind} '{model}'{offer}", detail)


def _find_nearest(model: str, known: Sequence[str]) -> list[str]:
    """Return the names most like one; only some are compared closely, which takes a millisecond each."""
    roughly = SequenceMatcher(None, "", model)

    def share_letters(name: str) -> float:
        roughly.set_seq1(name)
        return roughly.quick_ratio()

    compared = nlargest(_MOST_COMPARED, known, key=share_letters)
    return sorted(compared, key=lambda name: -SequenceMatcher(None, model, name).ratio())[:_MOST_NAMED]


class ModelUnavailableError(ConflictError):
    """The model that was chosen before is not there any more, or not for this tenant: nothing was used."""

    def __init__(self, model: str, reason: str = "is not available any more") -> None:
        super().__init__(f"Model '{model}' {reason}", {"model": model})


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


class FilteredPromptError(PromptRefusedError):
    """The provider's content filter refused the prompt, which it may charge for."""

    def __init__(self) -> None:
        super().__init__("The model's content filter refused the prompt", {"code": "content_filter"})


class OutputLimitReachedError(PromptRefusedError):
    """The model used its whole output limit without a word, as one that reasons may; `usage` tells it.

    No outage: whoever asks again the same way gets and pays the same.
    """

    def __init__(self, usage: Usage | None) -> None:
        super().__init__(
            "The model used all tokens of its output limit before it gave any text: it needs more",
            {"code": "output_limit"},
        )
        self.usage = usage


class InvalidAnswerError(PromptRefusedError):
    """The model's answers have not the form that was asked for; `usage` tells what all of them took.

    Args:
        problems: What is wrong with the last one, by its place in it as a JSON pointer.
        usage: What they took together.
        attempts: How many they are.
    """

    def __init__(self, problems: Mapping[str, str], usage: Usage | None, attempts: int) -> None:
        detail: dict[str, JsonValue] = {
            "code": "invalid_answer",
            "problems": dict(problems),
            "attempts": attempts,
            "usage": None if usage is None else usage.model_dump(),
        }
        super().__init__("The model's answer does not have the form that was asked for", detail)
        self.usage = usage


TELL_USAGE = (
    UnusableAnswerError,
    FilteredAnswerError,
    DeclinedAnswerError,
    OutputLimitReachedError,
    InvalidAnswerError,
)
"""Errors of answers that were given: their `usage` tells what they took, if that is known."""

type AnswerStream = AsyncIterator[str | Completion]
"""The text of an answer in parts, none of them empty, then the whole of it as its last item.

Where a request is passed on, the parts are `PassedChunk`s, one for each event, and may be empty.
"""


class ChatModel(Protocol):
    """Something that answers chat prompts."""

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            PromptRejectedError: It does not take this prompt, and used nothing.
            PromptRefusedError: It does not take this prompt.
            ModelUnavailableError: There is no such model any more; nothing was used.
            ModelOutageError: No attempt used anything.
            OutputLimitReachedError: It used its whole output limit without a word.
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
