"""Model whose answers have the form that was asked for, or are an error."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.contracts import ChatMessage, Usage
from shared.llm.chat_model import CUT_OFF, TELL_USAGE, Completion, InvalidAnswerError, PromptTooLongError
from shared.logging.logger import get_logger
from shared.telemetry.spans import count_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from shared.llm.answer_format import AnswerFormat
    from shared.llm.answer_validation import AnswerProblem
    from shared.llm.chat_model import AnswerStream, ChatPrompt, StreamingChatModel

_REPAIR = "repair"
"""Step of a turn that its record names a second call by; a job's step keeps its name."""

_logger = get_logger(__name__)


class StructuredModel:
    """`StreamingChatModel` that holds answers to the form that their prompt names.

    An answer that has not this form is sent back once with what is wrong with it; the one that comes then
    counts as one answer with the usage of both. A stream's parts are given as they come: it is checked at its
    end, and not asked for again.

    Args:
        model: What answers; each call of it is metered by itself.
    """

    def __init__(self, model: StreamingChatModel) -> None:
        self._model = model

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            InvalidAnswerError: Neither answer has the form that was asked for.
            APIError: The model's own errors, and the budget's; see `ChatModel`.
        """
        first = await self._model.complete(prompt)
        if prompt.answer_format is None:
            return first
        problems = await prompt.answer_format.find_problems(first.text)
        if not problems:
            return first
        if first.finish_reason == CUT_OFF:  # as another one would be
            raise _refuse(prompt, problems, first)
        try:
            second = await self._model.complete(_ask_again(prompt, first, problems))
        except PromptTooLongError as error:
            raise _refuse(prompt, problems, first) from error
        except TELL_USAGE as error:
            error.usage = first.usage + (error.usage or Usage())
            raise
        both = replace(second, usage=first.usage + second.usage)
        problems = await prompt.answer_format.find_problems(second.text)
        if problems:
            raise _refuse(prompt, problems, both, attempts=2)
        _count(prompt, "repaired")
        return both

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer.

        Raises:
            InvalidAnswerError: In place of the completion: the answer has not the form that was asked for.
            APIError: The model's own errors, and the budget's; see `StreamingChatModel`.
        """
        async with self._model.stream(prompt) as answer:
            if prompt.answer_format is None:
                yield answer
                return
            async with aclosing(_check_at_the_end(answer, prompt, prompt.answer_format)) as checked:
                yield checked


async def _check_at_the_end(
    answer: AnswerStream, prompt: ChatPrompt, answer_format: AnswerFormat
) -> AsyncGenerator[str | Completion]:
    async for part in answer:
        if isinstance(part, Completion) and (problems := await answer_format.find_problems(part.text)):
            raise _refuse(prompt, problems, part)
        yield part


def _ask_again(prompt: ChatPrompt, answer: Completion, problems: Sequence[AnswerProblem]) -> ChatPrompt:
    """Return the prompt that goes on with an answer and what is wrong with it."""
    told = "\n".join(f"- {one.place or 'the whole'}: {one.problem}" for one in problems)
    complaint = (
        f"Your answer does not have the form that was asked for:\n{told}\n"
        "Give the whole answer again, as JSON and nothing else."
    )
    again = (
        ChatMessage(role="assistant", content=answer.text),
        ChatMessage(role="user", content=complaint),
    )
    origin = replace(prompt.origin, step=prompt.origin.step or _REPAIR)
    return replace(prompt, messages=(*prompt.messages, *again), origin=origin)


def _refuse(
    prompt: ChatPrompt, problems: Sequence[AnswerProblem], answer: Completion, attempts: int = 1
) -> InvalidAnswerError:
    _count(prompt, "refused")
    facts = {"model": prompt.model, "attempts": attempts}
    _logger.warning("An answer does not have the form that was asked for", extra=facts)
    told = {one.place: one.problem for one in reversed(problems)}
    if answer.finish_reason == CUT_OFF:
        told = {"": "was cut off by its limit of tokens"}
    return InvalidAnswerError(told, answer.usage, attempts)


def _count(prompt: ChatPrompt, outcome: str) -> None:
    count_event("tenantry.model.repairs", {"model": prompt.model, "outcome": outcome})
