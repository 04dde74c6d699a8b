"""Place of a conversation in the store, found by the name that its reader gives it.

The partition is (tenant, bot, conversation), so that an id of another tenant's conversation is only the name
of one's own. Names of conversations are the tenant's: a key reads by its name what a user began under it. A
user who names what is somebody else's has that conversation under another id in the store, and learns nothing
of the first.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from functions.chat.conversations.errors import ConversationNotFoundError
from functions.chat.conversations.stored_models import HEAD, HeadItem
from shared.cosmos.partition import Partition
from shared.errors import PreconditionFailedError

if TYPE_CHECKING:
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

_ID_OF_ONE_USER = re.compile(r"u\.[0-9a-f]{32}")
_PLAIN_USER = re.compile(r"[A-Za-z0-9._@:|+=~-]{1,128}")


class ConversationPlace:
    """The partition of one conversation of one tenant with one bot.

    Attributes:
        own: The partition: until the head was looked for, the one that has the name as its id.
        stored_id: The conversation's id there.
        name: The id by which it is asked for.
    """

    def __init__(
        self, tenant: TenantContext, container: Container, *, bot_id: str, conversation_id: str
    ) -> None:
        self.own = Partition.of(tenant, container, bot_id, conversation_id)
        self.stored_id = conversation_id
        self.name = conversation_id
        self.bot_id = bot_id
        self.tenant = tenant
        self._container = container

    @property
    def is_the_readers(self) -> str:
        """Return the condition that a head may be continued by whoever asks; empty where every one may.

        Raises:
            ValueError: The user's id is none that a condition can hold.
        """
        user = self.tenant.only_user
        if user is None:
            return ""
        if _PLAIN_USER.fullmatch(user) is None:
            raise ValueError("a user's id has no quotes, backslashes or spaces")
        return f" AND c.user_id = '{user}'"

    async def find(self) -> HeadItem | None:
        """Read the head; from now on the partition is the one that has it, or would have it."""
        head = await self.own.read(HeadItem, HEAD)
        user = self.tenant.only_user
        if user is None or (head is not None and head.user_id == user):
            return head
        own_id = _id_of_users_own(user, self.name)
        if own_id == self.stored_id:
            return None
        partition = Partition.of(self.tenant, self._container, self.bot_id, own_id)
        own = await partition.read(HeadItem, HEAD)
        # Nobody gets by its name, as a user, where another user's may come to be.
        if own is not None or head is not None or _ID_OF_ONE_USER.fullmatch(self.name):
            self.own, self.stored_id = partition, own_id
        return own

    async def read(self, if_match: str | None = None) -> HeadItem:
        """Return the head.

        Raises:
            ConversationNotFoundError: This tenant, or user, has no such conversation with this bot.
            PreconditionFailedError: Its state is another one than the one named.
        """
        head = await self.find()
        if head is None:
            raise ConversationNotFoundError(self.name)
        self.check_state(head, if_match)
        return head

    def check_state(self, head: HeadItem, if_match: str | None) -> None:
        """Refuse a change of another state than the one that the caller has seen.

        Raises:
            PreconditionFailedError: The head's state is another one.
        """
        if if_match is not None and if_match != head.etag:
            raise PreconditionFailedError(
                f"Conversation '{self.name}' has changed meanwhile", {"conversation_id": self.name}
            )


def _id_of_users_own(user: str, name: str) -> str:
    """Return the id of one user's conversation whose name was another's; a tenant's key can ask for it."""
    return f"u.{hashlib.sha256(json.dumps([user, name]).encode()).hexdigest()[:32]}"
