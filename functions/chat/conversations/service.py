"""Answer a user's turn, and show conversations."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from functions.chat.conversations.errors import ConversationUnavailableError
from functions.chat.conversations.history import fit_history, most_turns
from functions.chat.conversations.models import (
    ChatReply,
    ConversationReply,
    ConversationSummary,
    TurnReply,
)
from functions.chat.conversations.stored_models import AnswerSource
from shared.contracts import ChatMessage, PromptUse
from shared.errors import APIError, DependencyTimeoutError, DependencyUnavailableError, ValidationError
from shared.http.paging import ListReply, Page, cut_page
from shared.http.usage_replies import PromptUseReply, TokenUsageReply
from shared.llm.chat_model import ChatPrompt, Completion, PromptTooLongError
from shared.logging.logger import get_logger
from shared.prompts.rendering import render_for_model
from shared.resilience.run_to_completion import run_to_completion
from shared.telemetry.spans import count_event
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from functions.chat.bots.stored_models import StoredBotConfig
    from functions.chat.conversations.history import CountsText
    from functions.chat.conversations.models import ChatRequest, ConversationPageQuery, TurnPageQuery
    from functions.chat.conversations.repository import (
        ConversationIndex,
        ConversationRepository,
    )
    from functions.chat.conversations.reservation import Reservation
    from functions.chat.conversations.stored_models import ConversationItem, TurnItem
    from functions.chat.conversations.turn_store import TurnStore
    from shared.contracts import Usage
    from shared.llm.chat_model import AnswerStream, StreamingChatModel
    from shared.prompts.library import ResolvesPrompts

ANSWER_SECONDS = 80.0
"""How long the model may take; well before the turn's reservation ends, even by a clock that is ahead."""

_logger = get_logger(__name__)


class ConfiguredBot(Protocol):
    """Bot, as far as its turns need it."""

    @property
    def config(self) -> StoredBotConfig:
        """Its configuration."""
        ...


class ReadsBots(Protocol):
    """The bots that one tenant can use."""

    async def read(self, bot_id: str) -> ConfiguredBot:
        """Return a bot.

        Raises:
            BotNotFoundError: There is none of this id.
        """
        ...


@dataclass(frozen=True, slots=True)
class _BegunTurn:
    """A turn that is reserved, and what the model is to be asked for it.

    Attributes:
        conversation_id: Its conversation's id, as its caller knows it.
        unanswered: The turn's end, should it get no answer.
    """

    conversation_id: str
    conversation: TurnStore
    turn: Reservation
    prompt: ChatPrompt
    prompt_use: PromptUse | None
    unanswered: AsyncExitStack

    async def complete(self, completion: Completion) -> ChatReply:
        """Store the answer, and return it.

        Raises:
            ConversationUnavailableError: The store is down.
        """
        self.unanswered.pop_all()
        source = AnswerSource(
            model=completion.model, finish_reason=completion.finish_reason, prompt=self.prompt_use
        )
        storing = self.conversation.complete(self.turn, completion.text, completion.usage, source)
        with _history_untouched(self.conversation_id):
            await run_to_completion(storing)
        answer = _Answer(self.turn.number, completion.text, completion.usage, source)
        return _render_answer(self.conversation_id, self.conversation.backend, answer)


@dataclass(frozen=True, slots=True)
class ChatService:
    """Conversations of one tenant with its bots.

    Attributes:
        bots: The bots that it can use.
        prompts: The tenant's prompts.
        open_conversation: Opens one of the tenant's conversations by bot and id.
        open_in_memory: Opens one of a bot that keeps its conversations nowhere but in the process.
        open_model: Opens the chat model for one bot, within the tenant's budget.
        default_model: What bots without a model of their own use.
        counter: Counts what the model is reminded of.
        count_turn: Counts a turn with a bot that takes so many per minute, and refuses one too many.
        answer_seconds: How long the model may take.
    """

    bots: ReadsBots
    prompts: ResolvesPrompts
    open_conversation: Callable[[str, str], TurnStore]
    open_in_memory: Callable[[str, str], TurnStore]
    open_model: Callable[[str], StreamingChatModel]
    default_model: str
    counter: CountsText
    count_turn: Callable[[str, int | None], None] = lambda _bot_id, _per_minute: None
    answer_seconds: float = ANSWER_SECONDS

    async def reply(self, bot_id: str, request: ChatRequest, operation_id: str | None = None) -> ChatReply:
        """Answer one turn; it is stored before it is returned.

        Args:
            bot_id: The bot that answers.
            request: The turn.
            operation_id: The id that the caller's Idempotency-Key stands for. A turn that was answered under
                it, before a crash kept that from the caller, is neither repeated nor paid again.

        Raises:
            BotNotFoundError: The tenant has no such bot.
            PromptNotFoundError: The bot's prompt, or the version or label of it, is not there.
            ValidationError: The variables do not fit the bot's prompt, or the message is too long for it.
            TurnRateExceededError: The bot was asked more often than its limit admits.
            PermissionDeniedError: A user's token names another user.
            ConflictError: The conversation is still answering another message.
            ConversationUnavailableError: The store is down; the history is as it was.
            PromptTooLongError: The message, with instructions and history, is too long for the budget.
            PromptRefusedError: The model does not take it, or there is no such model.
            BudgetExceededError: The tenant's budget does not admit the call now.
            DependencyUnavailableError: The model is down; the turn is marked as failed.
            DependencyTimeoutError: The model took too long; the turn is marked as failed.
        """
        async with self._begin(bot_id, request, operation_id) as begun:
            if isinstance(begun, ChatReply):
                return begun
            with _told_to_the_caller(self.answer_seconds):
                async with asyncio.timeout(self.answer_seconds):
                    completion = await self.open_model(bot_id).complete(begun.prompt)
            return await begun.complete(completion)

    async def stream(
        self, bot_id: str, request: ChatRequest, operation_id: str | None = None
    ) -> AsyncGenerator[str | ChatReply]:
        """Answer one turn part by part, and last with the reply; it is stored before that is given.

        Closed earlier, it stops the model's work, and the turn is marked as failed. A turn that was answered
        before, under this operation's id, is given as its reply alone.

        Raises:
            APIError: As `reply` does; what stops the model in its midst, after some parts.
        """
        async with self._begin(bot_id, request, operation_id) as begun:
            if isinstance(begun, ChatReply):
                yield begun
                return
            with _told_to_the_caller(self.answer_seconds):
                answer = _read_in_time(self.open_model(bot_id).stream(begun.prompt), self.answer_seconds)
                async with aclosing(answer):
                    async for part in answer:
                        if isinstance(part, Completion):
                            completion = part
                        else:
                            yield part
            yield await begun.complete(completion)

    @asynccontextmanager
    async def _begin(
        self, bot_id: str, request: ChatRequest, operation_id: str | None
    ) -> AsyncIterator[_BegunTurn | ChatReply]:
        """Reserve the turn, unless it was answered before; left without an answer, it is marked as failed."""
        bot = (await self.bots.read(bot_id)).config
        _check_length(request.message, bot.limits.max_message_characters)
        instructions, prompt_use = await self._instruct(bot, request)
        conversation_id = request.conversation_id or operation_id or uuid.uuid4().hex
        is_kept = bot.conversation_storage.backend != "memory"
        open_conversation = self.open_conversation if is_kept else self.open_in_memory
        conversation = open_conversation(bot_id, conversation_id)
        with _history_untouched(conversation_id):
            done = await conversation.answered(operation_id) if operation_id else None
        if done is not None:
            answer = _Answer(done.number, done.response or "", done.usage, done.source)
            yield _render_answer(conversation_id, conversation.backend, answer)
            return
        self.count_turn(bot_id, bot.limits.turns_per_minute)
        with _history_untouched(conversation_id):
            turn = await conversation.reserve(request.message, request.user_id, operation_id)
        if turn.number == 1:
            count_event("tenantry.conversations", {"event": "begun"})
        async with AsyncExitStack() as unanswered:
            unanswered.push_async_callback(lambda: run_to_completion(_fail(conversation, turn)))
            with _history_untouched(conversation_id):
                before = await conversation.history(turn, most_turns(bot.memory.max_tokens))
            model = bot.llm.model or self.default_model
            history = await fit_history(before, bot.memory.max_tokens, model, self.counter)
            prompt = self._prompt(bot, instructions, history, request, turn.user_id)
            yield _BegunTurn(conversation_id, conversation, turn, prompt, prompt_use, unanswered)

    async def _instruct(
        self, bot: StoredBotConfig, request: ChatRequest
    ) -> tuple[tuple[ChatMessage, ...], PromptUse | None]:
        """Return the bot's instructions, and the version of the prompt that they come from, if they do."""
        reference = bot.prompt
        if reference is not None:
            prompt = await self.prompts.resolve(reference.name, reference.label, reference.version)
            use = PromptUse(name=prompt.version.name, version=prompt.version.version)
            return render_for_model(prompt, request.variables, "system"), use
        if request.variables:
            names = sorted(request.variables)
            raise ValidationError(
                f"This bot's instructions have no variables (unknown: {', '.join(names)})",
                {"missing": [], "unknown": names},
            )
        return (ChatMessage(role="system", content=bot.system_prompt or ""),), None

    def _prompt(
        self,
        bot: StoredBotConfig,
        instructions: tuple[ChatMessage, ...],
        history: Sequence[TurnItem],
        request: ChatRequest,
        user_id: str | None,
    ) -> ChatPrompt:
        messages = list(instructions)
        for turn in history:
            messages.append(ChatMessage(role="user", content=turn.message))
            messages.append(ChatMessage(role="assistant", content=turn.response or ""))
        messages.append(ChatMessage(role="user", content=request.message))
        return ChatPrompt(
            messages=tuple(messages),
            model=bot.llm.model or self.default_model,
            max_output_tokens=bot.llm.max_output_tokens,
            temperature=bot.llm.temperature,
            user=user_id,
            reasoning_effort=bot.llm.reasoning_effort,
        )


@dataclass(frozen=True, slots=True)
class ConversationService:
    """One bot's conversations as the tenant reads them.

    Attributes:
        bots: The bots that the tenant can use.
        index: The bot's conversations.
        open_conversation: Opens one of them by its id.
    """

    bots: ReadsBots
    index: ConversationIndex
    open_conversation: Callable[[str], ConversationRepository]

    async def list(self, bot_id: str, query: ConversationPageQuery) -> ListReply[ConversationSummary]:
        """Return one page of conversations, by id; those of a bot that was removed, too.

        Raises:
            BotNotFoundError: The tenant has no such bot and no conversation with it.
            PermissionDeniedError: A user's token names another user.
        """
        found = await self.index.page(query.cursor, query.fetch_limit, query.user_id)
        if not found:
            await self.bots.read(bot_id)
        page = cut_page(found, query.limit, lambda one: one.conversation_id)
        return ListReply[ConversationSummary].of(
            page, lambda one: _render_summary(one, self.index.name_of(one))
        )

    async def read(self, conversation_id: str, query: TurnPageQuery) -> ConversationReply:
        """Return a conversation with one page of its turns.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
        """
        conversation = self.open_conversation(conversation_id)
        head = await conversation.read()
        after = int(query.cursor or 0)
        last = min(after + query.limit, head.turns)
        found = await conversation.turns(range(after + 1, last + 1))
        page = Page(found, lambda turn: str(turn.number), str(last) if last < head.turns else None)
        rendered = page.render(_render_turn)
        return ConversationReply(
            **_render_summary(head, conversation_id).model_dump(),
            items=rendered.items,
            next_cursor=rendered.next_cursor,
        ).with_encoded(rendered.encoded)

    async def delete(self, conversation_id: str) -> None:
        """Remove a conversation with all of its turns.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
        """
        await self.open_conversation(conversation_id).delete()


@contextmanager
def _history_untouched(conversation_id: str) -> Iterator[None]:
    """Say of a store that is down what it means for the conversation: nothing was changed in its history."""
    try:
        yield
    except (DependencyUnavailableError, DependencyTimeoutError) as error:
        raise ConversationUnavailableError(
            f"Conversation '{conversation_id}' cannot be continued now; its history is untouched",
            {"conversation_id": conversation_id, "dependency": error.dependency},
            retry_after=error.retry_after,
        ) from error


@contextmanager
def _told_to_the_caller(seconds: float) -> Iterator[None]:
    """Say in the caller's words what went wrong with the model."""
    try:
        yield
    except TimeoutError as error:
        raise DependencyTimeoutError("The model", seconds) from error
    except PromptTooLongError as error:
        refused = _refuse_length(error)
    else:
        return
    raise refused


async def _read_in_time(
    stream: AbstractAsyncContextManager[AnswerStream], seconds: float
) -> AsyncGenerator[str | Completion]:
    """Open a stream and read it to its end.

    Raises:
        TimeoutError: It took longer. Its reader's time counts, but only the wait for the model is ended.
    """
    ends_at = asyncio.get_running_loop().time() + seconds
    async with AsyncExitStack() as opened:
        async with asyncio.timeout_at(ends_at):
            answer = await opened.enter_async_context(stream)
        while True:
            async with asyncio.timeout_at(ends_at):
                part = await anext(answer, None)
            if part is None:
                return
            yield part


async def _fail(conversation: TurnStore, turn: Reservation) -> None:
    """Free the conversation; where even that fails, the reservation ends by itself."""
    try:
        await conversation.fail(turn)
    except APIError as error:
        _logger.warning("A turn without an answer was not closed", extra={"error": type(error).__name__})


def _check_length(message: str, most: int) -> None:
    if len(message) > most:
        raise refused_field("body.message", f"this bot takes at most {most} characters")


def _refuse_length(error: PromptTooLongError) -> PromptTooLongError:
    """Refuse a turn in its caller's words: of all that makes a prompt long, the caller has the message."""
    fields = {"body.message": "is too long, with the bot's instructions and the conversation before it"}
    return PromptTooLongError(
        f"The message is too long for this bot. {error.message}", {**error.detail, "fields": fields}
    )


class _Answer(NamedTuple):
    turn: int
    text: str
    usage: Usage
    source: AnswerSource | None


def _render_answer(conversation_id: str, backend: str, answer: _Answer) -> ChatReply:
    source = answer.source
    return ChatReply(
        response=answer.text,
        conversation_id=conversation_id,
        turn=answer.turn,
        conversation_storage=backend,
        usage=TokenUsageReply.of(answer.usage),
        finish_reason=source.finish_reason if source else None,
        model=source.model if source else None,
        prompt=PromptUseReply.of(source.prompt if source else None),
    )


def _render_summary(conversation: ConversationItem, name: str) -> ConversationSummary:
    return ConversationSummary(
        conversation_id=name,
        turns=conversation.turns,
        user_id=conversation.user_id,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def _render_turn(turn: TurnItem) -> TurnReply:
    return TurnReply(
        turn=turn.number,
        status=turn.status,
        message=turn.message,
        response=turn.response,
        usage=TokenUsageReply.of(turn.usage),
        finish_reason=turn.source.finish_reason if turn.source else None,
        model=turn.source.model if turn.source else None,
        prompt=PromptUseReply.of(turn.source.prompt if turn.source else None),
        created_at=turn.created_at,
    )
