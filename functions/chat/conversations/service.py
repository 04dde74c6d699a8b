"""Answer a user's turn."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from functions.chat.conversations.errors import ConversationUnavailableError
from functions.chat.conversations.history import fit_history
from functions.chat.conversations.instructions import read_instructions
from functions.chat.conversations.middleware import MiddlewareChain, TurnContext
from functions.chat.conversations.models import ChatReply
from functions.chat.conversations.overrides import override_bot, read_answer_format, refuse_overrides
from functions.chat.conversations.recent import MOST_BYTES
from functions.chat.conversations.rendering import render_source
from functions.chat.conversations.reservation import NewTurn
from functions.chat.conversations.retention import shortest_days
from functions.chat.conversations.stored_models import AnswerSource
from functions.chat.conversations.summary import SUMMARY_STEP, Reminder, SummaryMemory
from shared.clock import SystemClock
from shared.contracts import NOTHING_USED, ChatMessage, PromptUse, Usage
from shared.errors import APIError, DependencyTimeoutError, DependencyUnavailableError
from shared.http.usage_replies import TokenUsageReply
from shared.llm.chat_model import ChatPrompt, Completion, CountedTexts, PromptTooLongError
from shared.llm.model_call import CallOrigin
from shared.llm.prices import PriceTable
from shared.logging.logger import get_logger
from shared.resilience.run_to_completion import run_to_completion
from shared.resilience.wait_limit import WaitLimit
from shared.telemetry.spans import count_event
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from functions.chat.bots.stored_models import StoredBotConfig
    from functions.chat.conversations.edits import Edit
    from functions.chat.conversations.history import CountsText
    from functions.chat.conversations.instructions import Instructions
    from functions.chat.conversations.middleware import TurnHooks
    from functions.chat.conversations.models import ChatRequest, RegenerateRequest
    from functions.chat.conversations.overrides import ChecksOverrides
    from functions.chat.conversations.repository import ConversationRepository
    from functions.chat.conversations.reservation import Reservation
    from functions.chat.conversations.stored_models import TurnItem
    from functions.chat.conversations.turn_store import TurnStore
    from shared.clock import Clock
    from shared.llm.answer_format import AnswerFormat
    from shared.llm.chat_model import AnswerStream, StreamingChatModel
    from shared.llm.model_call import ModelCallRecord
    from shared.llm.prices import ModelPrice
    from shared.prompts.library import ResolvesPrompts
    from shared.tenancy.context import TenantContext

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
class _AskedBot:
    """Bot that a turn is for, with its instructions in that turn."""

    bot_id: str
    config: StoredBotConfig
    instructions: Instructions


@dataclass(frozen=True, slots=True, kw_only=True)
class _BegunTurn:
    """A turn that is reserved, and what the model is to be asked for it.

    Attributes:
        conversation_id: Its conversation's id, as its caller knows it.
        unanswered: The turn's end, should it get no answer.
        hooks: The middleware that is told of it.
        prices: The price table.
        clock: Measures how long the model takes.
        begun: When the model is asked, on the monotonic clock.
        answer_seconds: How long it may take.
        counter: Counts the answer.
    """

    conversation_id: str
    conversation: TurnStore
    turn: Reservation
    prompt: ChatPrompt
    prompt_use: PromptUse | None
    unanswered: AsyncExitStack
    hooks: TurnHooks
    prices: PriceTable
    clock: Clock
    begun: float
    answer_seconds: float
    counter: CountsText

    def elapsed_ms(self) -> int:
        """Return the milliseconds since the model was asked."""
        return round((self.clock.monotonic() - self.begun) * 1_000)

    async def complete(self, completion: Completion, first_token_ms: int | None = None) -> ChatReply:
        """Store the answer, and return it.

        Raises:
            ConversationUnavailableError: The store is down.
        """
        self.unanswered.pop_all()
        price = self.prices.models.get(self.prompt.model)
        source = AnswerSource(
            model=completion.model,
            finish_reason=completion.finish_reason,
            prompt=self.prompt_use,
            latency_ms=self.elapsed_ms(),
            time_to_first_token_ms=first_token_ms,
            cost=None if price is None else _cost(price, completion.usage),
            currency=None if price is None else self.prices.currency,
        )
        with _history_untouched(self.conversation_id):
            return await run_to_completion(self._store(completion, source))

    async def _store(self, completion: Completion, source: AnswerSource) -> ChatReply:
        """Store the answer, with its tokens for the prompts of the turns after it."""
        counted, message = self.prompt.counted, self.turn.new.message
        if counted is not None and len(completion.text) <= MOST_BYTES:
            answer = await self.counter.count_text(completion.text, counted.tokenizer)
            self.turn.tokens = counted.tokens[message], answer
        stored = await self.conversation.complete(self.turn, completion.text, completion.usage, source)
        reply = _render_answer(self.conversation_id, self.conversation.backend, stored)
        await self.hooks.tell_answer(reply)
        return reply


@dataclass(frozen=True, slots=True)
class ChatService:
    """Conversations of one tenant with its bots.

    Attributes:
        tenant: Whose turns they are.
        bots: The bots that it can use.
        prompts: The tenant's prompts.
        open_conversation: Opens one of the tenant's conversations by bot and id.
        open_in_memory: Opens one of a bot that keeps its conversations nowhere but in the process.
        open_model: Opens the chat model for one bot, within the tenant's budget.
        default_model: What bots without a model of their own use.
        counter: Counts what the model is reminded of.
        tokenizer_of: Finds the encoding that prompts of a model are counted in.
        count_turn: Counts a turn with a bot that takes so many per minute, and refuses one too many.
        check_overrides: Refuses what the caller may not have otherwise than the bot has it.
        answer_seconds: How long the model may take.
        retention_days: The days for which the tenant keeps turns; None for ever.
        prices: The price table, for what is told of an answer's cost.
        clock: Measures how long the model takes.
        middleware: What is told of each turn.
    """

    tenant: TenantContext
    bots: ReadsBots
    prompts: ResolvesPrompts
    open_conversation: Callable[[str, str], ConversationRepository]
    open_in_memory: Callable[[str, str], TurnStore]
    open_model: Callable[[str], StreamingChatModel]
    default_model: str
    counter: CountsText
    tokenizer_of: Callable[[str], Awaitable[str]]
    count_turn: Callable[[str, int | None], None]
    check_overrides: ChecksOverrides = refuse_overrides
    answer_seconds: float = ANSWER_SECONDS
    retention_days: int | None = None
    prices: PriceTable = field(default_factory=PriceTable)
    clock: Clock = field(default_factory=SystemClock)
    middleware: MiddlewareChain = field(default_factory=MiddlewareChain)

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
            PermissionDeniedError: A user's token names another user, or a user overrides the bot.
            ConflictError: The conversation is still answering another message.
            ConversationUnavailableError: The store is down; the history is as it was.
            PromptTooLongError: The message, with instructions and history, is too long for the budget.
            PromptRefusedError: The model does not take it, or there is no such model.
            InvalidAnswerError: The model's answers have not the form that was asked for.
            BudgetExceededError: The tenant's budget does not admit the call now.
            DependencyUnavailableError: The model is down; the turn is marked as failed.
            DependencyTimeoutError: The model took too long; the turn is marked as failed.
        """
        async with self._begin(bot_id, request, operation_id) as begun:
            return await self._answer(bot_id, begun)

    async def regenerate(
        self, bot_id: str, conversation_id: str, request: RegenerateRequest, edit: Edit
    ) -> ChatReply:
        """Answer the message of the last visible turn again, in a turn that takes its place.

        Args:
            bot_id: The bot that answers.
            conversation_id: The conversation.
            request: The variables of the bot's prompt.
            edit: The id of the operation, and the state of the conversation that it is meant for.

        Raises:
            ConversationNotFoundError: The tenant, or user, has no such conversation with this bot.
            PreconditionFailedError: Its state is another one than the one named.
            ConflictError: A turn is in work, or none was answered.
            APIError: As for `reply`.
        """
        async with self._begin_again(bot_id, conversation_id, request, edit) as begun:
            return await self._answer(bot_id, begun)

    async def stream(
        self, bot_id: str, request: ChatRequest, operation_id: str | None = None
    ) -> AsyncGenerator[str | ChatReply]:
        """Answer one turn part by part, and last with the reply; it is stored before that is given.

        Closed earlier, it stops the model's work, and the turn is marked as failed. A turn that was answered
        before, under this operation's id, is given as its reply alone.

        Raises:
            APIError: As `reply` does; what stops the model in its midst, after some parts.
        """
        async with self._begin(bot_id, request, operation_id, stream=True) as begun:
            if isinstance(begun, ChatReply):
                yield begun
                return
            first_token_ms: int | None = None
            with _told_to_the_caller(begun.answer_seconds):
                answer = _read_in_time(self.open_model(bot_id).stream(begun.prompt), begun.answer_seconds)
                async with aclosing(answer):
                    async for part in answer:
                        if isinstance(part, Completion):
                            completion = part
                        else:
                            first_token_ms = begun.elapsed_ms() if first_token_ms is None else first_token_ms
                            await begun.hooks.tell_part(part)
                            yield part
            yield await begun.complete(completion, first_token_ms)

    async def _answer(self, bot_id: str, begun: _BegunTurn | ChatReply) -> ChatReply:
        if isinstance(begun, ChatReply):
            return begun
        with _told_to_the_caller(begun.answer_seconds):
            async with asyncio.timeout(begun.answer_seconds):
                completion = await self.open_model(bot_id).complete(begun.prompt)
        return await begun.complete(completion)

    @asynccontextmanager
    async def _begin(
        self, bot_id: str, request: ChatRequest, operation_id: str | None, *, stream: bool = False
    ) -> AsyncIterator[_BegunTurn | ChatReply]:
        """Reserve the turn, unless it was answered before; left without an answer, it is marked as failed."""
        bot = (await self.bots.read(bot_id)).config
        if request.overrides is not None:
            await self.check_overrides(bot, request.overrides)
            bot = override_bot(bot, request.overrides)
        _check_length(request.message, bot.limits.max_message_characters)
        asked = _AskedBot(bot_id, bot, await read_instructions(bot, self.prompts, request.variables))
        is_kept = bot.conversation_storage.backend != "memory"
        open_conversation = self.open_conversation if is_kept else self.open_in_memory
        conversation = open_conversation(bot_id, request.conversation_id or operation_id or uuid.uuid4().hex)
        new = replace(
            self._new_turn(bot, operation_id, request.response_format),
            message=request.message,
            user_id=request.user_id,
            begins=request.conversation_id is None,
        )
        reserve = partial(conversation.reserve, new)
        async with self._take(asked, conversation, operation_id, reserve, stream=stream) as begun:
            yield begun

    @asynccontextmanager
    async def _begin_again(
        self, bot_id: str, conversation_id: str, request: RegenerateRequest, edit: Edit
    ) -> AsyncIterator[_BegunTurn | ChatReply]:
        """Reserve a turn in the place of the last one, unless it was answered before."""
        bot = (await self.bots.read(bot_id)).config
        asked = _AskedBot(bot_id, bot, await read_instructions(bot, self.prompts, request.variables))
        conversation = self.open_conversation(bot_id, conversation_id)
        new = self._new_turn(bot, edit.edit_id, request.response_format)
        reserve = partial(conversation.reserve_again, new, edit.if_match)
        async with self._take(asked, conversation, edit.edit_id, reserve, stream=False) as begun:
            yield begun

    @asynccontextmanager
    async def _take(
        self,
        bot: _AskedBot,
        conversation: TurnStore,
        operation_id: str | None,
        reserve: Callable[[], Awaitable[Reservation]],
        *,
        stream: bool,
    ) -> AsyncIterator[_BegunTurn | ChatReply]:
        """Take a turn, unless it was answered before; left without an answer, it is marked as failed."""
        with _history_untouched(conversation.name):
            done = await conversation.answered(operation_id) if operation_id else None
        if done is not None:
            yield _render_answer(conversation.name, conversation.backend, done)
            return
        self.count_turn(bot.bot_id, bot.config.limits.turns_per_minute)
        with _history_untouched(conversation.name):
            turn = await reserve()
        if turn.number == 1:
            count_event("tenantry.conversations", {"event": "begun"})
        context = self._context(bot.bot_id, conversation, turn, stream=stream)
        async with self._prepare(bot, conversation, turn, context) as begun:
            yield begun

    @asynccontextmanager
    async def _prepare(
        self,
        bot: _AskedBot,
        conversation: TurnStore,
        turn: Reservation,
        context: TurnContext,
    ) -> AsyncIterator[_BegunTurn]:
        """Make the prompt of a turn that is reserved; left without an answer, it is marked as failed."""
        conversation_id = conversation.name
        async with self.middleware.around(context) as hooks, AsyncExitStack() as unanswered:
            unanswered.push_async_callback(_end_unanswered, conversation, turn, context.calls)
            await hooks.tell_beginning()
            with _history_untouched(conversation_id):
                await conversation.load_history(turn)
            reserved = self.clock.monotonic()
            reminder = await self._remind(bot.config, turn, context)
            begun = self.clock.monotonic()
            yield _BegunTurn(
                conversation_id=conversation_id,
                conversation=conversation,
                turn=turn,
                prompt=await self._prompt(bot, reminder, turn, context),
                prompt_use=bot.instructions[1],
                unanswered=unanswered,
                hooks=hooks,
                prices=self.prices,
                clock=self.clock,
                begun=begun,
                answer_seconds=self.answer_seconds - (begun - reserved),
                counter=self.counter,
            )

    async def _remind(self, bot: StoredBotConfig, turn: Reservation, context: TurnContext) -> Reminder:
        """Choose what the model is told of the conversation before the message."""
        memory, model = bot.memory, bot.llm.model or self.default_model
        tokenizer = await self.tokenizer_of(model)
        turn.count_in(tokenizer)
        if memory.type != "summary":
            turn.keep(await fit_history(turn.recent, memory.max_tokens, tokenizer, self.counter))
            return Reminder(turn.recent)
        summarizing = SummaryMemory(
            self.open_model(turn.head.bot_id),
            self.counter,
            memory.max_tokens,
            memory.summary_model or model,
            tokenizer,
            _origin(context, step=SUMMARY_STEP),
            only_azure=bot.llm.provider == "azure",
        )
        return await summarizing.recall(turn)

    def _context(
        self, bot_id: str, conversation: TurnStore, turn: Reservation, *, stream: bool
    ) -> TurnContext:
        return TurnContext(
            tenant=self.tenant,
            bot_id=bot_id,
            conversation_id=conversation.name,
            turn=turn.number,
            user_id=turn.new.user_id,
            message=turn.new.message,
            stream=stream,
            began_at=self.clock.monotonic(),
        )

    def _new_turn(
        self, bot: StoredBotConfig, operation_id: str | None, answer_format: AnswerFormat | None
    ) -> NewTurn:
        return NewTurn(
            operation_id=operation_id,
            memory_tokens=bot.memory.max_tokens,
            has_summary=bot.memory.type == "summary",
            retention_days=shortest_days(self.retention_days, bot.retention_days),
            answer_format=answer_format or read_answer_format(bot),
        )

    async def _prompt(
        self, bot: _AskedBot, reminder: Reminder, turn: Reservation, context: TurnContext
    ) -> ChatPrompt:
        beginning, prompt_use = bot.instructions
        llm = bot.config.llm
        text, tokenizer = turn.new.message, turn.tokenizer or ""
        counted = reminder.tokens | {text: await self.counter.count_text(text, tokenizer)}
        message = ChatMessage(role="user", content=text)
        return ChatPrompt(
            messages=(*beginning, *reminder.messages, message),
            model=llm.model or self.default_model,
            max_output_tokens=llm.max_output_tokens,
            temperature=llm.temperature,
            user=turn.new.user_id,
            reasoning_effort=llm.reasoning_effort,
            only_azure=llm.provider == "azure",
            origin=_origin(context, prompt_use),
            counted=CountedTexts(tokenizer, counted),
            answer_format=turn.new.answer_format,
        )


def _origin(context: TurnContext, prompt: PromptUse | None = None, step: str | None = None) -> CallOrigin:
    return CallOrigin(
        bot_id=context.bot_id,
        conversation_id=context.conversation_id,
        turn=context.turn,
        prompt=prompt,
        step=step,
        on_record=context.calls.append,
    )


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
        limit = opened.enter_context(WaitLimit())
        answer = await limit.wait(opened.enter_async_context(stream), ends_at)
        while (part := await limit.wait(anext(answer, None), ends_at)) is not None:
            yield part


async def _end_unanswered(
    conversation: TurnStore, turn: Reservation, calls: Sequence[ModelCallRecord]
) -> None:
    """End a turn that has no answer, with what the calls for one took."""
    usage = sum((_used(call) for call in calls if call.step != SUMMARY_STEP), NOTHING_USED)
    await run_to_completion(_fail(conversation, turn, usage))


def _used(call: ModelCallRecord) -> Usage:
    prompt, completion = call.prompt_tokens or 0, call.completion_tokens or 0
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=call.cached_tokens or 0,
        completion_tokens=completion,
        reasoning_tokens=call.reasoning_tokens or 0,
        total_tokens=prompt + completion,
    )


async def _fail(conversation: TurnStore, turn: Reservation, usage: Usage) -> None:
    """Free the conversation; where even that fails, the reservation ends by itself."""
    try:
        await conversation.fail(turn, usage)
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


def _cost(price: ModelPrice, usage: Usage) -> str:
    return f"{price.cost(usage):f}"


def _render_answer(conversation_id: str, backend: str, turn: TurnItem) -> ChatReply:
    return ChatReply(
        response=turn.response or "",
        conversation_id=conversation_id,
        conversation_storage=backend,
        turn=turn.number,
        usage=TokenUsageReply.of(turn.usage),
        **render_source(turn.source),
    )
