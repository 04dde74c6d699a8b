"""Chat model that keeps a record of each call."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from shared.llm.call_recorder import CallKind
from shared.llm.chat_model import Completion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from shared.llm.call_recorder import CallInWork, CallRecorder
    from shared.llm.chat_model import AnswerStream, ChatPrompt, StreamingChatModel


class RecordedModel:
    """`StreamingChatModel` that keeps a record of each call.

    Args:
        model: What answers: the catalogue's models, within the tenant's budget.
        recorder: Keeps the records.
    """

    def __init__(self, model: StreamingChatModel, recorder: CallRecorder) -> None:
        self._model = model
        self._recorder = recorder

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            APIError: The model's own errors, the catalogue's and the budget's; see `ChatModel`.
        """
        with self._recorder.record(prompt, _kind_of(prompt, stream=False)) as call:
            completion = await self._model.complete(call.prompt)
            call.succeed(completion.model, completion.finish_reason)
        return completion

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer.

        Raises:
            APIError: The model's own errors, the catalogue's and the budget's; see `StreamingChatModel`.
        """
        with self._recorder.record(prompt, _kind_of(prompt, stream=True)) as call:
            async with self._model.stream(call.prompt) as answer, aclosing(_read(answer, call)) as parts:
                call.is_open = True
                yield parts


async def _read(answer: AnswerStream, call: CallInWork[ChatPrompt]) -> AsyncGenerator[str | Completion]:
    """Pass a stream on, and note what becomes of it."""
    try:
        async for part in answer:
            if isinstance(part, Completion):
                call.succeed(part.model, part.finish_reason)
            elif part:
                call.note_first()
            yield part
    except Exception as error:
        call.fail(error)
        raise


def _kind_of(prompt: ChatPrompt, *, stream: bool) -> CallKind:
    limit, temperature = prompt.max_output_tokens, prompt.temperature
    attributes = {"gen_ai.request.max_tokens": limit, "gen_ai.request.temperature": temperature}
    return CallKind("chat", stream=stream, attributes=attributes)
