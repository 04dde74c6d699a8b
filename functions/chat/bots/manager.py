"""`BotManager`, `BotContext` and `Bot` with the call shapes of the bot manager document.

All of it is the ambient tenant's, whom the edge of a request takes from the caller's credential: each tenant
has bots of its own, whatever their ids are.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from functions.chat.bots.configurations import GivenConfiguration, LoadedConfigurations, StoredConfigurations
from functions.chat.bots.errors import BotNotFoundError
from functions.chat.bots.loaders import LoaderCall, read_configuration
from functions.chat.bots.models import MAX_BOT_ID, BotPath
from functions.chat.composition import Chat
from functions.chat.conversations.models import ChatRequest
from shared.errors import APIError
from shared.resilience.single_flight import SingleFlight
from shared.runtime import process_runtime
from shared.telemetry.spans import count_event
from shared.tenancy.context import ambient_tenant
from shared.validation import refused_field, validate_input

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from functions.chat.bots.configurations import Configurations
    from functions.chat.bots.loaders import ConfigLoader, Configuration
    from functions.chat.bots.stored_models import StoredBotConfig
    from functions.chat.conversations.middleware import TurnMiddleware
    from functions.chat.conversations.models import ChatReply
    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext, TenantId

MAX_BOTS = 1_000
"""The most bots of all tenants that a manager has at hand, but for those in use."""


@dataclass(frozen=True, slots=True)
class BotContext:
    """Context of one message.

    Attributes:
        conversation_id: The conversation that it belongs to; one that is new begins with it.
        client_id: The tenant; it has to be the ambient one.
        user_id: The user who says it.
        variables: Values of the variables of the bot's prompt.
    """

    conversation_id: str
    client_id: str
    user_id: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


class Bot:
    """One tenant's bot, which answers as `POST /bots/{bot_id}/chat` does.

    Attributes:
        bot_id: Its id.

    Args:
        bot_id: Its id.
        tenant_id: The tenant that it is of.
        configurations: The source of its configuration.
        chat: The way of its turns.
        middleware: What is told of its turns besides what is told of all.
    """

    def __init__(
        self,
        bot_id: str,
        tenant_id: TenantId,
        configurations: Configurations,
        chat: Chat,
        middleware: Sequence[TurnMiddleware] = (),
    ) -> None:
        self.bot_id = bot_id
        self.configurations = configurations
        self._tenant_id = tenant_id
        self._chat = chat
        self._middleware = middleware
        self._turns_in_work = 0

    @property
    def in_use(self) -> bool:
        """Tell whether it is answering."""
        return self._turns_in_work > 0

    async def chat(self, message: str, context: BotContext) -> str:
        """Answer one message.

        Raises:
            ValueError: No tenant is ambient.
            BotNotFoundError: The bot, or the context, is another tenant's.
            ValidationError: A field of the message or its context is at fault.
            APIError: The turn's own errors; see `ChatService.reply`.
        """
        return (await self.reply(message, context)).response

    async def reply(self, message: str, context: BotContext) -> ChatReply:
        """Answer one message, and tell what the route tells of its answer.

        Raises:
            ValueError: No tenant is ambient.
            BotNotFoundError: The bot, or the context, is another tenant's.
            ValidationError: A field of the message or its context is at fault.
            APIError: The turn's own errors; see `ChatService.reply`.
        """
        tenant = ambient_tenant()
        if not tenant.tenant_id == self._tenant_id == context.client_id:
            raise BotNotFoundError(self.bot_id)
        request = _read_request(message, context)
        with self._in_work():
            one_bot = _OneBot(self.configurations, tenant)
            answering = await self._chat.answering(tenant, one_bot, self._middleware)
            return await answering.reply(self.bot_id, request)

    @contextmanager
    def _in_work(self) -> Iterator[None]:
        self._turns_in_work += 1
        try:
            with _counting_failures():
                yield
        finally:
            self._turns_in_work -= 1


DynaBot = Bot
"""The document's other name for it."""


class BotManager:
    """The bots that are at hand in this process, each tenant's apart.

    A bot is made once, whoever asks for it at the same time. A changed configuration is in force within 30 s;
    where it cannot be had any more, the last good one serves.

    Args:
        config_loader: Gives configurations by bot id: a function, an async function, or an object with a
            method `load`. One that blocks runs in a thread. Without a loader they are the stored bots'.
        runtime: The composition root; the process's own unless another one is given.
        max_bots: The most bots of all tenants at hand. Beyond it goes, of the tenant that has most, the one
            used least recently, but none that is answering.
        middleware: What is told of these bots' turns, besides what is told of all.
    """

    def __init__(
        self,
        config_loader: ConfigLoader | None = None,
        *,
        runtime: Runtime | None = None,
        max_bots: int = MAX_BOTS,
        middleware: Sequence[TurnMiddleware] = (),
    ) -> None:
        self._chat = (runtime or process_runtime()).once(Chat)
        self._call = None if config_loader is None else LoaderCall(config_loader)
        self._number = self._chat.number_manager()
        self._max_bots = max_bots
        self._middleware = tuple(middleware)
        self._bots: defaultdict[TenantId, OrderedDict[str, Bot]] = defaultdict(OrderedDict)
        self._making: SingleFlight[tuple[TenantId, str], Bot] = SingleFlight("the creation of a bot")

    async def get_or_create(self, bot_id: str, config: Configuration | None = None) -> Bot:
        """Return the tenant's bot; where it is not at hand, make it.

        Args:
            bot_id: Its id.
            config: Its configuration, in the shape of `PUT /bots/{bot_id}`; without it the loader's. A bot
                that is at hand keeps the one that it has.

        Raises:
            ValueError: No tenant is ambient.
            ValidationError: The id or the configuration is at fault.
            BotNotFoundError: There is no configuration of this id.
            BotCreationError: What the loader gives is no configuration.
            APIError: The configuration cannot be had.
        """
        tenant = ambient_tenant()
        if (bot := self._find(tenant, bot_id)) is not None:
            return bot
        _check_id(bot_id)
        given = None if config is None else GivenConfiguration(read_configuration(config))

        async def make() -> Bot:
            return await self._make(tenant, bot_id, given or self._configurations)

        key = (tenant.tenant_id, bot_id)
        return await self._making.ask(key, make, lambda made: self._keep(tenant, made))

    async def get(self, bot_id: str) -> Bot | None:
        """Return the tenant's bot if it is at hand.

        Raises:
            ValueError: No tenant is ambient.
        """
        return self._find(ambient_tenant(), bot_id)

    async def remove(self, bot_id: str) -> bool:
        """Let go of the tenant's bot; tell whether it was at hand. Turns that it is answering go on.

        Raises:
            ValueError: No tenant is ambient.
        """
        return self._remove(ambient_tenant(), bot_id)

    async def reload(self, bot_id: str) -> Bot:
        """Let the loader's configuration be in force now; where that cannot be had, the one before stays.

        Raises:
            ValueError: No tenant is ambient.
            ValidationError: The id is at fault.
            BotNotFoundError: There is no configuration of this id.
            BotCreationError: What the loader gives is no configuration.
            APIError: The configuration cannot be had.
        """
        tenant = ambient_tenant()
        _check_id(bot_id)
        configurations = self._configurations
        with _counting_failures():
            await configurations.reload(tenant, bot_id)
        bot = self._find(tenant, bot_id)
        if bot is None or bot.configurations != configurations:
            bot = await self._make(tenant, bot_id, configurations)
            self._keep(tenant, bot)
        count_event("tenantry.bots", {"event": "reloaded"})
        return bot

    def list_bots(self) -> list[str]:
        """Return the ids of the tenant's bots at hand, in their order.

        Raises:
            ValueError: No tenant is ambient.
        """
        return sorted(self._bots.get(ambient_tenant().tenant_id, ()))

    def get_bot_count(self) -> int:
        """Return how many of the tenant's bots are at hand.

        Raises:
            ValueError: No tenant is ambient.
        """
        return len(self._bots.get(ambient_tenant().tenant_id, ()))

    async def clear_all(self) -> None:
        """Let go of all of the tenant's bots.

        Raises:
            ValueError: No tenant is ambient.
        """
        tenant = ambient_tenant()
        for bot_id in self.list_bots():
            self._remove(tenant, bot_id)

    @property
    def _configurations(self) -> Configurations:
        if self._call is None:
            return StoredConfigurations(self._chat.directory)
        return LoadedConfigurations(self._call, self._chat.loaded, self._number)

    async def _make(self, tenant: TenantContext, bot_id: str, configurations: Configurations) -> Bot:
        with _counting_failures():
            await configurations.read(tenant, bot_id)  # no bot is made that could not answer
        return Bot(bot_id, tenant.tenant_id, configurations, self._chat, self._middleware)

    def _find(self, tenant: TenantContext, bot_id: str) -> Bot | None:
        own = self._bots.get(tenant.tenant_id)
        if own is None or bot_id not in own:
            return None
        own.move_to_end(bot_id)
        return own[bot_id]

    def _keep(self, tenant: TenantContext, bot: Bot) -> None:
        own = self._bots[tenant.tenant_id]
        if bot.bot_id not in own:
            self._make_room()
        self._bots[tenant.tenant_id][bot.bot_id] = bot
        count_event("tenantry.bots", {"event": "created"})

    def _make_room(self) -> None:
        while sum(map(len, self._bots.values())) >= self._max_bots:
            least_needed = self._least_needed()
            if least_needed is None:
                return  # all of them are answering, and what is too many goes with the next one
            self._drop(*least_needed)

    def _least_needed(self) -> tuple[TenantId, str] | None:
        for tenant_id, own in sorted(self._bots.items(), key=lambda item: -len(item[1])):
            for bot_id, bot in own.items():
                if not bot.in_use:
                    return tenant_id, bot_id
        return None

    def _remove(self, tenant: TenantContext, bot_id: str) -> bool:
        self._making.forget(lambda key: key == (tenant.tenant_id, bot_id))
        bot = self._find(tenant, bot_id)
        if bot is None:
            return False
        bot.configurations.forget(tenant, bot_id)
        self._drop(tenant.tenant_id, bot_id)
        return True

    def _drop(self, tenant_id: TenantId, bot_id: str) -> None:
        own = self._bots[tenant_id]
        del own[bot_id]
        if not own:
            del self._bots[tenant_id]
        count_event("tenantry.bots", {"event": "destroyed"})


class _Configured(NamedTuple):
    config: StoredBotConfig


@dataclass(frozen=True, slots=True)
class _OneBot:
    """The one bot that answers a turn, as the way of a turn asks for it."""

    configurations: Configurations
    tenant: TenantContext

    async def read(self, bot_id: str) -> _Configured:
        return _Configured(await self.configurations.read(self.tenant, bot_id))


@contextmanager
def _counting_failures() -> Iterator[None]:
    try:
        yield
    except APIError as error:
        count_event("tenantry.bots.errors", {"error.type": type(error).__name__})
        raise


def _check_id(bot_id: str) -> None:
    validate_input(lambda: BotPath(bot_id=bot_id), "bot")
    if len(bot_id) > MAX_BOT_ID:
        raise refused_field("bot_id", f"at most {MAX_BOT_ID} characters")


def _read_request(message: str, context: BotContext) -> ChatRequest:
    """Check a message as the route does."""
    return validate_input(
        lambda: ChatRequest(
            message=message,
            conversation_id=context.conversation_id,
            user_id=context.user_id,
            variables=dict(context.variables),
        ),
        "message",
    )
