"""Chat model that keeps a record of each call."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.llm.call_content import MOST_BYTES, CallContent
from shared.llm.call_recorder import CallKind
from shared.llm.chat_model import Completion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from shared.llm.call_content import KeepsContent
    from shared.llm.call_recorder import CallInWork, CallRecorder
    from shared.llm.chat_model import AnswerStream, ChatPrompt, StreamingChatModel


class RecordedModel:
    """`StreamingChatModel` that keeps a record of each call.

    Args:
        model: What answers: the catalogue's models, within the tenant's budget.
        recorder: Keeps the records.
        contents: Keeps what was said, where the tenant wants that; nothing is where None.
    """

    def __init__(
        self, model: StreamingChatModel, recorder: CallRecorder, contents: KeepsContent | None = None
    ) -> None:
        self._model = model
        self._recorder = recorder
        self._contents = contents

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            APIError: The model's own errors, the catalogue's and the budget's; see `ChatModel`.
        """
        with self._record(prompt, _kind_of(prompt, stream=False)) as said:
            completion = said.answer = await self._model.complete(said.call.prompt)
            said.call.succeed(completion.model, completion.finish_reason)
        return completion

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer.

        Raises:
            APIError: The model's own errors, the catalogue's and the budget's; see `StreamingChatModel`.
        """
        with self._record(prompt, _kind_of(prompt, stream=True)) as said:
            async with self._model.stream(said.call.prompt) as answer, aclosing(_read(answer, said)) as parts:
                said.call.is_open = True
                yield parts

    @contextmanager
    def _record(self, prompt: ChatPrompt, kind: CallKind) -> Iterator[_Said]:
        """Keep a record of what the block asks, and offer what was said to be kept beside it."""
        said: _Said | None = None
        try:
            with self._recorder.record(prompt, kind) as call:
                said = _Said(call)
                yield said
        finally:
            if self._contents is not None and said is not None and said.call.record is not None:
                content = CallContent(said.call.record, said.call.prompt, said.answer, "".join(said.parts))
                self._contents.offer(self._recorder.tenant, content)


@dataclass(slots=True)
class _Said:
    """Words of a call: the answer, or its parts up to as many characters as are kept."""

    call: CallInWork[ChatPrompt]
    answer: Completion | None = None
    parts: list[str] = field(default_factory=list)
    left: int = MOST_BYTES

    def note_part(self, part: str) -> None:
        self.call.note_first()
        if self.left > 0:
            self.left -= len(part)
            self.parts.append(part)


async def _read(answer: AnswerStream, said: _Said) -> AsyncGenerator[str | Completion]:
    """Pass a stream on, and note what becomes of it."""
    try:
        async for part in answer:
            if isinstance(part, Completion):
                said.answer = part
                said.call.succeed(part.model, part.finish_reason)
            elif part:
                said.note_part(part)
            yield part
    except Exception as error:
        said.call.fail(error)
        raise


def _kind_of(prompt: ChatPrompt, *, stream: bool) -> CallKind:
    limit, temperature = prompt.max_output_tokens, prompt.temperature
    attributes = {"gen_ai.request.max_tokens": limit, "gen_ai.request.temperature": temperature}
    return CallKind("chat", stream=stream, attributes=attributes)
