"""Way of a request of OpenAI's form to the model or the bot that it names."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from functions.chat.bots.errors import BotNotFoundError
from functions.chat.bots.models import ID_PATTERN
from functions.chat.conversations.instructions import read_instructions
from functions.chat.conversations.overrides import read_answer_format
from functions.chat.conversations.service import ReadsBots
from functions.chat.openai.parameters import naming_parameters, number_messages
from shared.llm.chat_model import ChatPrompt, ModelNotFoundError
from shared.llm.deployments import BOT_PREFIX, ModelKind
from shared.llm.model_call import CallOrigin
from shared.llm.passed_request import CountedContent, PassedRequest
from shared.llm.request_body import describe_format
from shared.tracebacks import release_frames
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from functions.chat.bots.stored_models import StoredBotConfig
    from functions.chat.openai.models import ChatCompletionRequest
    from functions.chat.openai.parameters import Renaming
    from shared.llm.chat_model import AnswerStream, Completion, StreamingChatModel
    from shared.llm.deployments import ModelDeployment
    from shared.llm.model_call import CallProgress
    from shared.prompts.library import ResolvesPrompts
    from shared.tenancy.context import TenantContext

APP_ID = "openai"
"""The application that calls of a model by its name are counted for; those of a bot are the bot's."""

_BOT_ID = re.compile(ID_PATTERN)
_OURS = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "store",
    }
)
"""Parameters that the app says in its own words; the others are passed on."""

_ASKING = ("user", "assistant", "tool", "function")
"""Roles of the messages that a bot takes: none that a provider may read as instructions."""

_NO_ORIGIN = CallOrigin()


class UsableModels(Protocol):
    """Model catalogue, as far as names are looked up in it."""

    async def usable(self, tenant: TenantContext) -> Mapping[str, ModelDeployment]:
        """Return the deployments that a tenant may use, by name."""
        ...


class NamesBots(ReadsBots, Protocol):
    """The bots that one tenant can use, as far as they are named as models."""

    async def list_ids(self, most: int) -> list[str]:
        """Return the ids of bots by id, so many of them at most."""
        ...


@dataclass(frozen=True, slots=True)
class ForwardedCall:
    """Call that is ready to be made.

    Attributes:
        name: What the caller calls the model or the bot.
        prompt: What the model is asked.
        model: What answers: within the tenant's budget, recorded, with its fallbacks.
        begun: What is learnt of the call, once it has begun.
        own_messages: How many of the messages are none of the caller's: a bot's instructions, before all
            others.
    """

    name: str
    prompt: ChatPrompt
    model: StreamingChatModel
    begun: list[CallProgress] = field(default_factory=list)
    own_messages: int = 0

    async def complete(self) -> Completion:
        """Make the call; the provider's JSON is the completion's `answer`.

        Raises:
            APIError: The model's own errors, the catalogue's and the budget's; see `ChatModel`.
        """
        with naming_parameters(self._renaming):
            return await self.model.complete(self.prompt)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AnswerStream]:
        """Make the call for an answer in parts, each a `PassedChunk`; the last item is the completion.

        Raises:
            APIError: On entering, as `complete` does; later, what stops the answer in its midst.
        """
        with naming_parameters(self._renaming):
            async with self.model.stream(self.prompt) as answer:
                yield answer

    @property
    def _renaming(self) -> Renaming:
        passed = self.prompt.passed
        limit_name = "max_completion_tokens" if passed is None else passed.limit_name
        return partial(number_messages, self.own_messages, limit_name)


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Models and bots of one tenant, as requests of OpenAI's form name them.

    Attributes:
        tenant: Who asks.
        models: The catalogue.
        bots: The bots that it can use.
        prompts: The tenant's prompts.
        open_model: Opens the models for one application, within the tenant's budget.
        default_model: What bots without a model of their own use.
        count_turn: Counts a turn with a bot that takes so many per minute, and refuses one too many.
        tell_of: Lets the middleware of turns hear of what a bot's model is asked.
    """

    tenant: TenantContext
    models: UsableModels
    bots: NamesBots
    prompts: ResolvesPrompts
    open_model: Callable[[str], StreamingChatModel]
    default_model: str
    count_turn: Callable[[str, int | None], None]
    tell_of: Callable[[StreamingChatModel], StreamingChatModel]

    async def prepare(self, request: ChatCompletionRequest, origin: CallOrigin = _NO_ORIGIN) -> ForwardedCall:
        """Find what a request names, and make the call ready.

        A model of the catalogue wins over a bot of the same name. A bot answers this request alone: with its
        instructions before the messages, with its settings, and within its limits.

        Args:
            request: The request.
            origin: What the call is made for, where that is more than the request.

        Raises:
            ModelNotFoundError: Neither a model nor a bot has the name, or not for this tenant.
            PermissionDeniedError: A user's credential names another user.
            ValidationError: The bot does not take the request, or a part of it cannot be counted.
            TurnRateExceededError: The bot was asked more often than its limit admits.
        """
        usable = await self.models.usable(self.tenant)
        named = usable.get(request.model)
        if named is not None and named.kind is ModelKind.CHAT:
            return self._call(request, _build_prompt(request, origin), APP_ID)
        bot = await self.require_bot(request.model)
        return await self._ask_bot(request.model.removeprefix(BOT_PREFIX), bot, request, origin)

    async def require_bot(self, name: str) -> StoredBotConfig:
        """Return the bot of a name that is no model's.

        Raises:
            ModelNotFoundError: There is none: the name was a model's that there is not, as likely.
        """
        bot_id = name.removeprefix(BOT_PREFIX)
        if _BOT_ID.fullmatch(bot_id) is not None:
            try:
                return (await self.bots.read(bot_id)).config
            except BotNotFoundError as error:
                release_frames(error)
        usable = await self.models.usable(self.tenant)
        raise ModelNotFoundError(name, [other for other, one in usable.items() if one.kind is ModelKind.CHAT])

    async def _ask_bot(
        self, bot_id: str, bot: StoredBotConfig, request: ChatCompletionRequest, origin: CallOrigin
    ) -> ForwardedCall:
        _refuse_what_the_bot_decides(bot, request)
        instructions, use = await read_instructions(bot, self.prompts, {})
        prompt = _build_prompt(request, replace(origin, bot_id=bot_id, prompt=use))
        if prompt.passed is None:
            raise AssertionError("unreachable: the request is passed on")
        fields, counted = dict(prompt.passed.fields), prompt.passed.counted
        own = [one.model_dump() for one in instructions]
        for message in own:
            counted.add_message(message, "instructions")
        fields["messages"] = [*own, *request.messages]
        answer_format = read_answer_format(bot)
        if answer_format is not None and "response_format" not in fields:
            fields |= (described := describe_format(answer_format))
            counted.add_definitions(described)
        for name in ("temperature", "reasoning_effort"):
            if (value := getattr(bot.llm, name)) is not None:
                fields[name] = value
        limits = [one for one in (prompt.max_output_tokens, bot.llm.max_output_tokens) if one is not None]
        self.count_turn(bot_id, bot.limits.turns_per_minute)
        asked = replace(
            prompt,
            model=bot.llm.model or self.default_model,
            max_output_tokens=min(limits, default=None),
            only_azure=bot.llm.provider == "azure",
            passed=replace(prompt.passed, fields=fields),
        )
        call = self._call(request, asked, f"bot:{bot_id}")
        return replace(call, model=self.tell_of(call.model), own_messages=len(own))

    def _call(self, request: ChatCompletionRequest, prompt: ChatPrompt, app_id: str) -> ForwardedCall:
        begun: list[CallProgress] = []
        user = self.tenant.user_named(request.user or request.safety_identifier)
        origin = replace(prompt.origin, on_begin=begun.append)
        return ForwardedCall(
            request.model, replace(prompt, user=user, origin=origin), self.open_model(app_id), begun
        )


def _build_prompt(request: ChatCompletionRequest, origin: CallOrigin) -> ChatPrompt:
    """Build the prompt that passes a request on.

    Raises:
        ValidationError: Two parameters contradict each other, or a part of a message cannot be counted.
    """
    given = {name: getattr(request, name) for name in request.model_fields_set}
    fields = {name: value for name, value in given.items() if value is not None and name not in _OURS}
    limits = [name for name in ("max_tokens", "max_completion_tokens") if getattr(request, name) is not None]
    if len(limits) > 1:
        raise refused_field("body.max_tokens", "max_completion_tokens is given, too; only one of both may be")
    if request.stream_options is not None and not request.stream:
        raise refused_field("body.stream_options", "is for a request whose stream is true")
    options = request.stream_options
    told = 1 + (request.top_logprobs or 0) if request.logprobs else 1
    passed = PassedRequest(
        fields=fields,
        counted=CountedContent.of(fields),
        choices=request.n or 1,
        told_tokens=told,
        has_stops=bool(request.stop),
        limit_name=limits[0] if limits else "max_completion_tokens",
        stream_options={} if options is None else options.model_dump(exclude_none=True),
        cache_key=request.prompt_cache_key,
    )
    return ChatPrompt(
        messages=(),
        model=request.model,
        max_output_tokens=getattr(request, limits[0]) if limits else None,
        origin=origin,
        passed=passed,
    )


def _refuse_what_the_bot_decides(bot: StoredBotConfig, request: ChatCompletionRequest) -> None:
    """Refuse what contradicts a bot's configuration: only its administrator changes that.

    Raises:
        ValidationError: The request does; the parameter is named.
    """
    for name in ("temperature", "reasoning_effort"):
        own, asked = getattr(bot.llm, name), getattr(request, name)
        if own is not None and asked not in {None, own}:
            raise refused_field(f"body.{name}", f"is this bot's own: {own}")
    most = bot.limits.max_message_characters
    for index, message in enumerate(request.messages):
        if message.get("role") not in _ASKING:
            problem = f"a bot has its own instructions: must be one of {', '.join(_ASKING)}"
            raise refused_field(f"body.messages.{index}.role", problem)
        left = most
        for name in sorted(message, key=lambda name: name != "content"):  # whatever it is called, it counts
            content = CountedContent()
            content.add_message({name: message[name]}, f"body.messages.{index}")
            left -= sum(map(len, content.texts)) if name != "role" else 0
            if left < 0:
                problem = f"this bot takes at most {most} characters"
                place = ".content" if name == "content" else ""
                raise refused_field(f"body.messages.{index}{place}", problem)
