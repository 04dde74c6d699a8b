"""Answer a user's turn, and show conversations."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.chat.conversations.models import (
    ChatReply,
    ConversationReply,
    ConversationSummary,
    TurnReply,
)
from shared.contracts import ChatMessage
from shared.errors import (
    APIError,
    ConversationUnavailableError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    ValidationError,
)
from shared.http.paging import ListReply, cut_page
from shared.llm.chat_model import ChatPrompt
from shared.logging.logger import get_logger
from shared.prompts.rendering import render_for_model
from shared.resilience.completion import run_to_completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from functions.chat.bots.models import StoredBotConfig
    from functions.chat.bots.repository import BotRepository
    from functions.chat.conversations.models import ChatRequest, TurnPageQuery
    from functions.chat.conversations.repository import (
        ConversationIndex,
        ConversationItem,
        ConversationRepository,
        Reservation,
        TurnItem,
    )
    from shared.contracts import Usage
    from shared.http.paging import PageQuery
    from shared.llm.chat_model import ChatModel, Completion
    from shared.prompts.library import ResolvesPrompts

ANSWER_SECONDS = 80.0
"""How long the model may take; well before the turn's reservation ends, even by a clock that is ahead."""

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChatService:
    """Conversations of one tenant with its bots.

    Attributes:
        bots: The tenant's bots.
        prompts: The tenant's prompts.
        open_conversation: Opens one of the tenant's conversations by bot and id.
        open_model: Opens the chat model for one bot, within the tenant's budget.
        default_model: What bots without a model of their own use.
        answer_seconds: How long the model may take.
    """

    bots: BotRepository
    prompts: ResolvesPrompts
    open_conversation: Callable[[str, str], ConversationRepository]
    open_model: Callable[[str], ChatModel]
    default_model: str
    answer_seconds: float = ANSWER_SECONDS

    async def reply(self, bot_id: str, request: ChatRequest, operation_id: str | None = None) -> ChatReply:
        """Answer one turn; it is stored before it is returned.

        Args:
            bot_id: Who answers.
            request: What is said.
            operation_id: What the caller's Idempotency-Key stands for. A turn that was answered under it,
                before a crash kept that from the caller, is neither repeated nor paid again.

        Raises:
            BotNotFoundError: The tenant has no such bot.
            PromptNotFoundError: The bot's prompt is not there.
            ValidationError: The variables do not fit the bot's prompt.
            PermissionDeniedError: A user's token names another user.
            ConflictError: The conversation is still answering another message.
            ConversationUnavailableError: The store is down; the history is as it was.
            BudgetExceededError: The tenant's budget does not admit the call now.
            DependencyUnavailableError: The model is down; the turn is marked as failed.
            DependencyTimeoutError: The model took too long; the turn is marked as failed.
        """
        bot = (await self.bots.read(bot_id)).config
        instructions = await self._instructions(bot, request)
        conversation_id = request.conversation_id or operation_id or uuid.uuid4().hex
        conversation = self.open_conversation(bot_id, conversation_id)
        with _history_untouched(conversation_id):
            done = await conversation.answered(operation_id) if operation_id else None
            if done is not None:
                return _reply(conversation_id, done.number, done.response or "", done.usage)
            turn = await conversation.reserve(request.message, request.user_id, operation_id)
        async with AsyncExitStack() as unanswered:
            unanswered.push_async_callback(_fail, conversation, turn)
            with _history_untouched(conversation_id):
                history = await conversation.history(turn, bot.history_turns)
            prompt = self._prompt(bot, instructions, history, request, turn.user_id)
            completion = await self._complete(bot_id, prompt)
            unanswered.pop_all()
        with _history_untouched(conversation_id):
            await run_to_completion(conversation.complete(turn, completion.text, completion.usage))
        return _reply(conversation_id, turn.number, completion.text, completion.usage)

    async def _instructions(self, bot: StoredBotConfig, request: ChatRequest) -> tuple[ChatMessage, ...]:
        if bot.prompt_name is not None:
            prompt = await self.prompts.resolve(bot.prompt_name)
            return render_for_model(prompt, request.variables, "system")
        if request.variables:
            names = sorted(request.variables)
            raise ValidationError(
                f"This bot's instructions have no variables (unknown: {', '.join(names)})",
                {"missing": [], "unknown": names},
            )
        return (ChatMessage(role="system", content=bot.system_prompt or ""),)

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
            if turn.response:
                messages.append(ChatMessage(role="user", content=turn.message))
                messages.append(ChatMessage(role="assistant", content=turn.response))
        messages.append(ChatMessage(role="user", content=request.message))
        return ChatPrompt(
            messages=tuple(messages),
            model=bot.model or self.default_model,
            max_output_tokens=bot.max_output_tokens,
            temperature=bot.temperature,
            user=user_id,
        )

    async def _complete(self, bot_id: str, prompt: ChatPrompt) -> Completion:
        try:
            async with asyncio.timeout(self.answer_seconds):
                return await self.open_model(bot_id).complete(prompt)
        except TimeoutError as error:
            raise DependencyTimeoutError("The model", self.answer_seconds) from error


@dataclass(frozen=True, slots=True)
class ConversationService:
    """One bot's conversations as the tenant reads them.

    Attributes:
        bots: The tenant's bots.
        index: The bot's conversations.
        open_conversation: Opens one of them by its id.
    """

    bots: BotRepository
    index: ConversationIndex
    open_conversation: Callable[[str], ConversationRepository]

    async def list(self, bot_id: str, query: PageQuery) -> ListReply[ConversationSummary]:
        """Return one page of conversations, by id; those of a bot that was removed, too.

        Raises:
            BotNotFoundError: The tenant has no such bot and no conversation with it.
        """
        found = await self.index.list(query.cursor, query.fetch_limit)
        if not found:
            await self.bots.read(bot_id)
        page = cut_page(found, query.limit, lambda one: one.conversation_id)
        return ListReply[ConversationSummary].of(page, lambda one: _summary(one, self.index.name_of(one)))

    async def read(self, conversation_id: str, query: TurnPageQuery) -> ConversationReply:
        """Return a conversation with one page of its turns.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
        """
        conversation = self.open_conversation(conversation_id)
        head = await conversation.read()
        after = int(query.cursor or 0)
        last = min(after + query.limit, head.turns)
        shown = await conversation.turns(range(after + 1, last + 1))
        return ConversationReply(
            **_summary(head, conversation_id).model_dump(),
            items=[_turn(turn) for turn in shown],
            next_cursor=str(last) if last < head.turns else None,
        )

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


async def _fail(conversation: ConversationRepository, turn: Reservation) -> None:
    """Free the conversation; where even that fails, the reservation ends by itself."""
    try:
        await conversation.fail(turn)
    except APIError as error:
        _logger.warning("A turn without an answer was not closed", extra={"error": type(error).__name__})


def _reply(conversation_id: str, turn: int, response: str, usage: Usage) -> ChatReply:
    return ChatReply(response=response, conversation_id=conversation_id, turn=turn, usage=usage)


def _summary(conversation: ConversationItem, name: str) -> ConversationSummary:
    return ConversationSummary(
        conversation_id=name,
        turns=conversation.turns,
        user_id=conversation.user_id,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def _turn(turn: TurnItem) -> TurnReply:
    return TurnReply(
        turn=turn.number,
        status=turn.status,
        message=turn.message,
        response=turn.response,
        usage=turn.usage,
        created_at=turn.created_at,
    )
