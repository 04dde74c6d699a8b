"""Quarantine of messages that are refused for good, with their reason: one store knows them all."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, cast

from pydantic import Field

from shared.cosmos.container import BatchOperation, Query
from shared.cosmos.partition import Partition, StoredItem, platform_key
from shared.cosmos.queries import select
from shared.errors import APIError
from shared.logging.logger import get_logger
from shared.tenancy.context import TENANT_ID_PATTERN
from shared.tenancy.owned_data import UNATTRIBUTED
from shared.validation import text_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

MOST_UNATTRIBUTED = 1_000
"""The most messages without a tenant that are kept: nobody's budget bounds them, and anybody's mistake makes
them. Beyond it the oldest go."""

ENTRY_ID_PATTERN = text_pattern(r"^[a-z][a-z0-9-]{0,62}:[0-9a-f]{32}$", "the id of a dead letter")
"""The queue, and a digest of the message."""

UNATTRIBUTED_TTL_SECONDS = 30 * 24 * 60 * 60

_FOR_EVER = -1
_UNATTRIBUTED_KEY = platform_key(UNATTRIBUTED)
_TENANT_ID = re.compile(TENANT_ID_PATTERN)
_REMOVED_AT_ONCE = 100
_LONGEST_ID = 128
_LONGEST_BODY_BYTES = 300_000
"""More than Service Bus Standard takes, and few enough that an item holds them however they are escaped."""

_LONGEST_DETAIL_BYTES = 10_000
"""A body can hold so many mistakes that naming them all takes more than an item."""

_logger = get_logger(__name__)


class QuarantinedMessage(StoredItem):
    """One refused message.

    Attributes:
        message_id: The broker's id of it.
        job_id: The `id` in the body, which is what an answer would be found by.
        fields: What is wrong, by field, where fields are at fault.
        body: The queue's text of it.
        is_cut: Whether only the body's beginning is kept.
        session_id: The session that it came in; None where the queue has none.
        named: The tenant that the message names, whether or not there is such a tenant: a purge goes by it.
        replayed_by: Whoever replays it, or did last.
        replayed_until: The time until which it is that one's alone, in seconds of Unix time.
        ttl: Seconds until the store forgets it; -1 for never.
    """

    queue: str
    message_id: str
    job_id: str | None = None
    reason: str
    detail: str
    fields: dict[str, str] = Field(default_factory=dict)
    body: str
    is_cut: bool
    session_id: str | None = None
    named: str | None = None
    quarantined_at: datetime
    replayed_by: str = ""
    replayed_until: float = 0
    ttl: int = _FOR_EVER


class Quarantine:
    """The quarantine container: a tenant's own, and the platform's for what names no known tenant.

    Args:
        container: The container `quarantine`.
        clock: Dates entries.
        most_unattributed: The most messages that are kept for no tenant.
    """

    def __init__(
        self, container: Container, clock: Clock, *, most_unattributed: int = MOST_UNATTRIBUTED
    ) -> None:
        self._container = container
        self._clock = clock
        self._most_unattributed = most_unattributed

    async def put(self, tenant: TenantContext | None, refused: RefusedMessage) -> QuarantinedMessage:
        """Keep a message; the same one again is the same entry.

        Raises:
            DependencyUnavailableError: The store does not take it; the message must stay in its queue.
        """
        if tenant is not None:
            return await Partition.of(tenant, self._container).upsert(self._entry(refused, _FOR_EVER))
        platforms = Partition.of_platform(self._container, UNATTRIBUTED)
        kept = await platforms.upsert(self._entry(refused, UNATTRIBUTED_TTL_SECONDS))
        try:
            await self._remove_oldest()
        except APIError as error:  # the message is kept, and the next one tries again
            _logger.warning("Old messages were not removed", extra={"error": type(error).__name__})
        return kept

    def _entry(self, refused: RefusedMessage, ttl: int) -> QuarantinedMessage:
        body = _cut(refused.body, _LONGEST_BODY_BYTES)
        return QuarantinedMessage(
            id=refused.entry_id(),
            queue=refused.queue,
            message_id=refused.message_id,
            job_id=refused.job_id,
            reason=refused.reason,
            detail=_cut(refused.detail, _LONGEST_DETAIL_BYTES),
            fields=_cut_fields(refused.fields),
            body=body,
            is_cut=body != refused.body,
            session_id=refused.session_id,
            named=refused.named_tenant,
            quarantined_at=self._clock.now(),
            ttl=ttl,
        )

    async def _remove_oldest(self) -> None:
        count = Query(select("VALUE COUNT(1)"), limit=1)
        [kept] = cast("list[int]", await self._container.query(_UNATTRIBUTED_KEY, count))
        if kept <= self._most_unattributed:
            return
        oldest = Query(
            select("VALUE c.id", order_by="c.quarantined_at"),
            limit=min(kept - self._most_unattributed, _REMOVED_AT_ONCE),
        )
        ids = cast("list[str]", await self._container.query(_UNATTRIBUTED_KEY, oldest))
        await self._container.batch(_UNATTRIBUTED_KEY, [BatchOperation("delete", item_id) for item_id in ids])


class RefusedMessage:
    """A message as it was taken from its queue, and why it was refused.

    Attributes:
        named_tenant: The tenant that the body names, if that can be read at all.
        job_id: The body's `id`, if that can be read at all.
        fields: The problem of each field at fault.
        session_id: The session that it came in; None where the queue has none.
    """

    __slots__ = (
        "body",
        "detail",
        "fields",
        "job_id",
        "message_id",
        "named_tenant",
        "queue",
        "reason",
        "session_id",
    )

    def __init__(
        self, queue: str, message_id: str, body: bytes, error: APIError, *, session_id: str | None = None
    ) -> None:
        self.queue = queue
        self.message_id = message_id
        self.session_id = session_id
        self.body = body.decode("utf-8", errors="replace")
        self.reason = type(error).__name__
        self.detail = str(error)
        fields = error.detail.get("fields")
        self.fields: dict[str, str] = (
            {str(name): str(problem) for name, problem in fields.items()} if isinstance(fields, dict) else {}
        )
        sent = _read_object(self.body)
        self.named_tenant = _read_text(sent.get("tenant_id"), _TENANT_ID.fullmatch)
        self.job_id = _read_text(sent.get("id"), _is_printable_id)

    def entry_id(self) -> str:
        """Derive the entry's id, so that a redelivery makes no second entry."""
        digest = hashlib.sha256(f"{self.queue}\n{self.message_id}\n{self.body}".encode()).hexdigest()
        return f"{self.queue}:{digest[:32]}"


def read_named_tenant(body: bytes) -> str | None:
    """Read the tenant that a message names, also where the rest cannot be read; None where it names none."""
    sent = _read_object(body.decode("utf-8", errors="replace"))
    return _read_text(sent.get("tenant_id"), _TENANT_ID.fullmatch)


def _read_object(body: str) -> Mapping[str, object]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return sent if isinstance(sent, dict) else {}


def _read_text(value: object, accepts: Callable[[str], object]) -> str | None:
    return value if isinstance(value, str) and accepts(value) else None


def _is_printable_id(value: str) -> bool:
    return 0 < len(value) <= _LONGEST_ID and value.isprintable()


def _cut_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Keep as many of the fields at fault as an item holds."""
    kept: dict[str, str] = {}
    size = 0
    for name, problem in fields.items():
        size += len(name.encode(errors="replace")) + len(problem.encode(errors="replace"))
        if size > _LONGEST_DETAIL_BYTES:
            break
        kept[name.encode(errors="replace").decode()] = problem.encode(errors="replace").decode()
    return kept


def _cut(text: str, most_bytes: int) -> str:
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
