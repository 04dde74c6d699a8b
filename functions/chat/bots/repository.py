"""Bots in Cosmos: each tenant's, and the global ones in a partition of the platform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from functions.chat.bots.errors import BotNotFoundError
from functions.chat.bots.stored_models import BotItem, BotName
from shared.cosmos.container import ItemExistsError, ItemNotFoundError, Patch, PatchOperation
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.errors import ConflictError, PreconditionFailedError

if TYPE_CHECKING:
    from functions.chat.bots.stored_models import StoredBotConfig
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

_ATTEMPTS = 3


class BotRepository:
    """The bots of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._own = Partition.of(tenant, container)
        self._clock = clock

    async def save(self, bot_id: str, config: StoredBotConfig, if_match: str | None) -> BotItem:
        """Store a bot; with `if_match` only over the state that it names.

        A bot that is there is patched, so that what a newer release put beside its configuration stays.

        Raises:
            PreconditionFailedError: The bot is in another state, or not there.
            ConflictError: Others kept creating and removing this bot meanwhile.
        """
        item = BotItem(id=bot_id, config=config, updated_at=self._clock.now())
        fields = item.model_dump(mode="json", include={"config", "updated_at"})
        patch = Patch(
            tuple(PatchOperation("set", f"/{name}", value) for name, value in fields.items()), etag=if_match
        )
        for _ in range(_ATTEMPTS):
            try:
                return await self._own.patch(BotItem, bot_id, patch)
            except ItemNotFoundError as error:
                if if_match is not None:
                    raise PreconditionFailedError(
                        f"Bot '{bot_id}' is not there", {"bot_id": bot_id}
                    ) from error
            try:
                return await self._own.create(item)
            except ItemExistsError:
                continue  # somebody else created it in between: it is there to be patched
        raise ConflictError(f"Bot '{bot_id}' is being saved by others", {"bot_id": bot_id}, retry_after=1.0)

    async def read(self, bot_id: str) -> BotItem:
        """Return a bot.

        Raises:
            BotNotFoundError: This owner has none of this id.
        """
        found = await self._own.read(BotItem, bot_id)
        if found is None:
            raise BotNotFoundError(bot_id)
        return found

    async def page(self, after: str | None, limit: int, prefix: str | None = None) -> list[BotItem]:
        """Return bots by id, after the given one; with a prefix those whose ids begin with it."""
        page = KeysetPage(limit, after)
        if prefix is not None:
            page = replace(page, where="STARTSWITH(c.id, @prefix)", parameters={"@prefix": prefix})
        return await self._own.read_page(BotItem, page)

    async def list_ids(self, most: int) -> list[str]:
        """Return the ids of bots, so many of them at most, the first by id."""
        return [one.id for one in await self._own.read_page(BotName, KeysetPage(most, None))]

    async def delete(self, bot_id: str, if_match: str | None) -> None:
        """Remove a bot; its conversations stay readable.

        Raises:
            BotNotFoundError: This owner has none of this id.
            PreconditionFailedError: The bot is in another state than `if_match`.
        """
        if not await self._own.delete(bot_id, if_match):
            raise BotNotFoundError(bot_id)


class GlobalBotRepository(BotRepository):
    """The bots of the platform, which every tenant can use; who may change them, the caller checks."""

    def __init__(self, container: Container, clock: Clock) -> None:
        self._own = Partition.of_platform(container, "bots")
        self._clock = clock
