"""Answer a user's turn, and show conversations."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from functions.chat.models import (
    ChatReply,
    ConversationListReply,
    ConversationReply,
    ConversationSummary,
    TurnReply,
)
from shared.contracts import ChatMessage
from shared.errors import APIError, DependencyTimeoutError, ValidationError
from shared.llm.model import ChatPrompt
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from functions.chat.bots import BotRepository
    from functions.chat.conversations import (
        ConversationIndex,
        ConversationRepository,
        HeadItem,
        Reservation,
        TurnItem,
    )
    from functions.chat.models import BotConfig, ChatRequest, Page
    from shared.llm.model import ChatModel, Completion
    from shared.prompts.store import PromptStore

ANSWER_SECONDS = 80.0
"""How long one turn may take; well before its reservation ends, so that two workers never share a turn."""

_logger = get_logger(__name__)


class ChatService:
    """Conversations of one tenant with its bots.

    Args:
        bots: The tenant's bots.
        prompts: The tenant's prompts.
        open_conversation: Opens one of the tenant's conversations by bot and id.
        open_model: Opens the chat model for one bot, within the tenant's budget.
        default_model: What bots without a model of their own use.
    """

    def __init__(
        self,
        bots: BotRepository,
        prompts: PromptStore,
        open_conversation: Callable[[str, str], ConversationRepository],
        open_model: Callable[[str], ChatModel],
        default_model: str,
    ) -> None:
        self._bots = bots
        self._prompts = prompts
        self._open_conversation = open_conversation
        self._open_model = open_model
        self._default_model = default_model

    async def reply(self, bot_id: str, request: ChatRequest) -> ChatReply:
        """Answer one turn; it is stored before it is returned.

        Raises:
            BotNotFoundError: The tenant has no such bot.
            ValidationError: The variables do not fit the bot's prompt.
            ConflictError: The conversation is still answering another message.
            BudgetExceededError: The tenant's budget does not admit the call now.
            DependencyUnavailableError: The store or the model is down; the history is as it was.
        """
        bot = (await self._bots.read(bot_id)).config
        instructions = await self._instructions(bot, request)
        conversation_id = request.conversation_id or uuid.uuid4().hex
        conversation = self._open_conversation(bot_id, conversation_id)
        turn = await conversation.reserve(request.message, request.user_id)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                history = await conversation.history(turn.number, bot.history_turns)
                prompt = self._prompt(bot, instructions, history, request)
                completion = await self._open_model(bot_id).complete(prompt)
        except TimeoutError as error:
            await self._fail(conversation, turn)
            raise DependencyTimeoutError("The model", ANSWER_SECONDS) from error
        except (APIError, asyncio.CancelledError):
            await self._fail(conversation, turn)
            raise
        await conversation.complete(turn, completion.text, completion.usage)
        return _reply(conversation_id, turn, completion)

    async def _instructions(self, bot: BotConfig, request: ChatRequest) -> str:
        if bot.prompt_name is not None:
            return await self._prompts.resolve(bot.prompt_name, request.variables)
        if request.variables:
            names = sorted(request.variables)
            raise ValidationError(
                f"This bot's instructions have no variables (unknown: {', '.join(names)})",
                {"missing": [], "unknown": names},
            )
        return bot.system_prompt or ""

    def _prompt(
        self, bot: BotConfig, instructions: str, history: Sequence[TurnItem], request: ChatRequest
    ) -> ChatPrompt:
        messages = [ChatMessage(role="system", content=instructions)]
        for turn in history:
            messages.append(ChatMessage(role="user", content=turn.message))
            messages.append(ChatMessage(role="assistant", content=turn.response or " "))
        messages.append(ChatMessage(role="user", content=request.message))
        return ChatPrompt(
            messages=tuple(messages),
            model=bot.model or self._default_model,
            max_output_tokens=bot.max_output_tokens,
            temperature=bot.temperature,
            user=request.user_id,
        )

    async def _fail(self, conversation: ConversationRepository, turn: Reservation) -> None:
        """Free the conversation; where even that fails, the reservation ends by itself."""
        try:
            await asyncio.shield(conversation.fail(turn))
        except APIError as error:
            _logger.warning("A failed turn stays reserved", extra={"error": type(error).__name__})


class ConversationService:
    """One bot's conversations as the tenant reads them."""

    def __init__(
        self, index: ConversationIndex, open_conversation: Callable[[str], ConversationRepository]
    ) -> None:
        self._index = index
        self._open_conversation = open_conversation

    async def list(self, page: Page) -> ConversationListReply:
        """Return one page of conversations, by id."""
        found = await self._index.list(page.cursor, page.limit + 1)
        shown = found[: page.limit]
        return ConversationListReply(
            items=[_summary(head) for head in shown],
            next_cursor=shown[-1].conversation_id if len(found) > page.limit else None,
        )

    async def read(self, conversation_id: str, page: Page) -> ConversationReply:
        """Return a conversation with one page of its turns.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
            ValidationError: The cursor is none that a page gave.
        """
        after = _turn_after(page.cursor)
        conversation = self._open_conversation(conversation_id)
        head = await conversation.read()
        found = await conversation.turns(after, page.limit + 1)
        shown = found[: page.limit]
        return ConversationReply(
            **_summary(head).model_dump(),
            items=[_turn(turn) for turn in shown],
            next_cursor=str(shown[-1].number) if len(found) > page.limit else None,
        )

    async def delete(self, conversation_id: str) -> None:
        """Remove a conversation with all of its turns.

        Raises:
            ConversationNotFoundError: The tenant has no such conversation with this bot.
        """
        await self._open_conversation(conversation_id).delete()


def _turn_after(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdecimal() or not cursor.isascii():
        raise ValidationError(
            "Invalid request: query.cursor: not a cursor", {"fields": {"query.cursor": "invalid"}}
        )
    return int(cursor[:9])


def _reply(conversation_id: str, turn: Reservation, completion: Completion) -> ChatReply:
    return ChatReply(
        response=completion.text,
        conversation_id=conversation_id,
        turn=turn.number,
        usage=completion.usage,
    )


def _summary(head: HeadItem) -> ConversationSummary:
    return ConversationSummary(
        conversation_id=head.conversation_id,
        turns=head.turns,
        user_id=head.user_id,
        created_at=head.created_at,
        updated_at=head.updated_at,
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
