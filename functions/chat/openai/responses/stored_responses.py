"""Stored responses of one tenant: shown, and removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.chat.openai.responses.models import DeletedResponseReply
from functions.chat.openai.responses.rendering import is_abandoned, page_items, render_response
from shared.errors import ConflictError

if TYPE_CHECKING:
    from functions.chat.openai.responses.models import (
        InputItemPageQuery,
        InputItemPageReply,
        ResponseReply,
    )
    from functions.chat.openai.responses.repository import ResponseRepository
    from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class StoredResponses:
    """Stored responses of one tenant.

    Attributes:
        responses: The responses.
        clock: Tells whether a worker may still be alive.
    """

    responses: ResponseRepository
    clock: Clock

    async def read(self, response_id: str) -> ResponseReply:
        """Return a response as it stands.

        Raises:
            ResponseNotFoundError: The tenant, or user, has none of this id.
        """
        return render_response(await self.responses.read(response_id), self.clock)

    async def list_input_items(self, response_id: str, query: InputItemPageQuery) -> InputItemPageReply:
        """Return a page of a response's input items.

        Raises:
            ResponseNotFoundError: The tenant, or user, has none of this id.
            ValidationError: The page is to begin after an item that is not there.
        """
        item = await self.responses.read(response_id)
        return page_items(await self.responses.read_input(item.response_id), query)

    async def delete(self, response_id: str) -> DeletedResponseReply:
        """Remove a response; those that go on with it stay, and are told nothing of it any more.

        Raises:
            ResponseNotFoundError: The tenant, or user, has none of this id.
            ConflictError: It is in work.
        """
        item = await self.responses.read(response_id)
        if not item.status.is_over and not is_abandoned(item, self.clock):
            raise ConflictError(f"Response '{response_id}' is in work: cancel it first", {"id": response_id})
        await self.responses.delete(item)
        return DeletedResponseReply(id=response_id)
