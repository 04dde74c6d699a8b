"""Requests to a bot in OpenAI's form, as the middleware of turns hears of them."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from functions.chat.conversations.middleware import TurnContext
from functions.chat.conversations.models import ChatReply
from functions.chat.conversations.rendering import render_source
from functions.chat.conversations.stored_models import AnswerSource
from shared.http.usage_replies import TokenUsageReply
from shared.llm.chat_model import Completion
from shared.llm.completion_parsing import as_object, read_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from functions.chat.conversations.middleware import MiddlewareChain, TurnHooks
    from shared.clock import Clock
    from shared.llm.chat_model import AnswerStream, ChatPrompt, StreamingChatModel
    from shared.llm.model_call import ModelCallRecord
    from shared.tenancy.context import TenantContext

NO_CONVERSATION = ""
NO_TURN = 0
"""Such a request belongs to no conversation, and is no turn of one."""

_KEPT_NOWHERE = "none"


@dataclass(frozen=True, slots=True)
class ToldModel:
    """`StreamingChatModel` of a bot, of whose calls the middleware of turns is told as of turns.

    Attributes:
        model: What answers.
        middleware: What is told.
        tenant: Who asks.
        clock: Measures.
    """

    model: StreamingChatModel
    middleware: MiddlewareChain
    tenant: TenantContext
    clock: Clock

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            APIError: The model's own errors; see `ChatModel`.
        """
        async with self._telling(prompt, stream=False) as (told, hooks):
            completion = await self.model.complete(told)
            await hooks.tell_answer(_render(told, completion, _text_of(completion)))
            return completion

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer.

        Raises:
            APIError: The model's own errors; see `StreamingChatModel`.
        """
        async with (
            self._telling(prompt, stream=True) as (told, hooks),
            self.model.stream(told) as answer,
            aclosing(_tell_parts(answer, told, hooks)) as parts,
        ):
            yield parts

    @asynccontextmanager
    async def _telling(
        self, prompt: ChatPrompt, *, stream: bool
    ) -> AsyncIterator[tuple[ChatPrompt, TurnHooks]]:
        """Tell of the beginning of a call, and of what ends it without an answer."""
        turn = TurnContext(
            tenant=self.tenant,
            bot_id=prompt.origin.bot_id or "",
            conversation_id=NO_CONVERSATION,
            turn=NO_TURN,
            user_id=prompt.user,
            message=_last_message(prompt),
            stream=stream,
            began_at=self.clock.monotonic(),
        )
        others = prompt.origin.on_record

        def on_record(record: ModelCallRecord) -> None:
            turn.calls.append(record)
            if others is not None:
                others(record)

        async with self.middleware.around(turn) as hooks:
            await hooks.tell_beginning()
            yield replace(prompt, origin=replace(prompt.origin, on_record=on_record)), hooks


async def _tell_parts(
    answer: AnswerStream, prompt: ChatPrompt, hooks: TurnHooks
) -> AsyncGenerator[str | Completion]:
    """Pass a stream on, and tell of each part that has words, and of the whole."""
    words: list[str] = []
    async for part in answer:
        if isinstance(part, Completion):
            await hooks.tell_answer(_render(prompt, part, "".join(words)))
        elif part:
            words.append(part)
            await hooks.tell_part(part)
        yield part


def _render(prompt: ChatPrompt, completion: Completion, text: str) -> ChatReply:
    source = AnswerSource(
        model=completion.model, finish_reason=completion.finish_reason, prompt=prompt.origin.prompt
    )
    return ChatReply(
        response=text,
        conversation_id=NO_CONVERSATION,
        conversation_storage=_KEPT_NOWHERE,
        turn=NO_TURN,
        usage=TokenUsageReply.of(completion.usage),
        **render_source(source),
    )


def _last_message(prompt: ChatPrompt) -> str:
    messages = None if prompt.passed is None else prompt.passed.fields.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return read_text(as_object(last).get("content"))


def _text_of(completion: Completion) -> str:
    """Return the text of an answer, of the first one where several were wanted."""
    choices = as_object(completion.answer).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return read_text(as_object(as_object(first).get("message")).get("content"))
