"""The audit trail: who did what to what and when, kept before it takes effect.

An entry is stored first and the effect comes after, so that no effect is without its entry. What becomes of a
change is noted on the entry afterwards; where a crash or an outage prevents that, the entry stays `begun`: it
may have taken effect. See docs/adr/0014-audit-trail.md.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.cosmos.container import ItemExistsError, ItemNotFoundError, Patch, PatchOperation
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import APIError, InternalError
from shared.logging.context import log_context
from shared.logging.logger import get_logger
from shared.tenancy.context import (
    PLATFORM,
    PlatformContext,
    Role,
    TenantContext,
    TenantId,
)
from shared.validation import text_pattern

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from shared.clock import Clock
    from shared.cosmos.container import Container

ENTRY_ID_PATTERN = text_pattern(r"^[0-9]{8}T[0-9]{12}Z-[0-9a-f]{16}$", "the id of an entry")
"""Time first, so that ids sort as the entries came."""

_PLATFORM = "platform"
_AFTER_ALL = "9"
"""Comes after every entry's id."""

_logger = get_logger(__name__)


class AuditAction(StrEnum):
    """Action that is kept. A stored entry may carry one of a newer release."""

    ADMIN_ACT = "admin.act"
    CONTENT_READ = "content.read"
    DEAD_LETTER_DELETE = "deadletter.delete"
    DEAD_LETTER_REPLAY = "deadletter.replay"
    KEY_CREATE = "key.create"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    LIMITS_PUT = "limits.put"
    LIMITS_DELETE = "limits.delete"
    MODEL_PUT = "model.put"
    MODEL_DELETE = "model.delete"
    SETTING_PUT = "setting.put"
    SETTING_DELETE = "setting.delete"
    TENANT_CREATE = "tenant.create"
    TENANT_UPDATE = "tenant.update"
    TENANT_EXPORT = "tenant.export"
    TENANT_PURGE = "tenant.purge"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_ROTATE = "webhook.rotate"


class AuditOutcome(StrEnum):
    """Outcome of an action.

    `begun` is an intention whose end nobody noted: it may have taken effect. `refused` changed nothing.
    """

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"


class AuditActor(BaseModel):
    """Actor of an entry: `id` is a key's id, a user token's subject, or empty where the kind says it all."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["administrator", "key", "user", "platform"]
    id: str = ""


class AuditEntry(StoredItem):
    """One thing that was done.

    Attributes:
        subject: What it was done to, by its id: a key's, a tenant's, a setting's name, a route's.
        detail: Further facts in the app's own words. Names and values that callers choose do not belong here:
            they may be secrets or tell of a person.
    """

    at: datetime
    actor: AuditActor
    action: str
    subject: str
    outcome: AuditOutcome
    request_id: str | None = None
    detail: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Filter of a page of entries; `before` is the id of the last one of the page before."""

    since: datetime | None = None
    until: datetime | None = None
    action: str | None = None
    before: str | None = None


class AuditTrail:
    """The audit container.

    Entries about a tenant are in the tenant's partition, where its administrators can read them. What the
    administrator does to the platform, and what outlives a tenant (its purge), is in the platform's own.

    Every method takes who acts: a tenant's context, or the administrator's together with `tenant_id` where a
    tenant's partition is meant.
    """

    def __init__(self, container: Container, clock: Clock) -> None:
        self._container = container
        self._clock = clock

    async def record(
        self,
        who: TenantContext | PlatformContext,
        action: AuditAction,
        subject: str,
        *,
        tenant_id: TenantId | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> str:
        """Keep what happens now, before going on with it; return the entry's id.

        Raises:
            DependencyUnavailableError: It cannot be kept, so it must not be done.
        """
        entry = self._entry(who, action, subject, AuditOutcome.DONE, detail)
        await self._keep(self._of(who, tenant_id), entry)
        return entry.id

    @asynccontextmanager
    async def recording(
        self,
        who: TenantContext | PlatformContext,
        action: AuditAction,
        subject: str,
        *,
        tenant_id: TenantId | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> AsyncIterator[None]:
        """Keep the intention, let the block make the change, and note what became of it.

        Raises:
            DependencyUnavailableError: The intention cannot be kept; the block does not run.
        """
        own = self._of(who, tenant_id)
        entry = self._entry(who, action, subject, AuditOutcome.BEGUN, detail)
        await self._keep(own, entry)
        try:
            yield
        except APIError as error:
            if not (error.is_outage or isinstance(error, InternalError)):
                await self._close(own, entry, AuditOutcome.REFUSED)
            raise
        await self._close(own, entry, AuditOutcome.DONE)

    async def page(
        self, who: TenantContext | PlatformContext, wanted: AuditFilter, limit: int
    ) -> list[AuditEntry]:
        """Return entries, the newest first."""
        conditions: list[str] = []
        parameters: dict[str, str] = {}
        before = min(
            wanted.before or _AFTER_ALL, _AFTER_ALL if wanted.until is None else _format_time(wanted.until)
        )
        if wanted.since is not None:
            conditions.append("c.id >= @since")
            parameters["@since"] = _format_time(wanted.since)
        if wanted.action is not None:
            conditions.append("c.action = @action")
            parameters["@action"] = wanted.action
        page = KeysetPage(
            limit, before, descending=True, where=" AND ".join(conditions), parameters=parameters
        )
        return await self._of(who, None).read_page(AuditEntry, page)

    def _entry(
        self,
        who: TenantContext | PlatformContext,
        action: AuditAction,
        subject: str,
        outcome: AuditOutcome,
        detail: Mapping[str, str] | None,
    ) -> AuditEntry:
        at = self._clock.now()
        return AuditEntry(
            id=f"{_format_time(at)}-{secrets.token_hex(8)}",
            at=at,
            actor=_find_actor(who),
            action=action,
            subject=subject,
            outcome=outcome,
            request_id=log_context().request_id,
            detail=dict(detail or {}),
        )

    async def _keep(self, own: Partition, entry: AuditEntry) -> None:
        try:
            await own.create(entry)
        except ItemExistsError:
            return  # the answer to the first attempt was lost: the id is random, so that it is this entry

    async def _close(self, own: Partition, entry: AuditEntry, outcome: AuditOutcome) -> None:
        """Note the outcome; the change stands whether or not that can be done now."""
        patch = Patch((PatchOperation("set", "/outcome", outcome),))
        try:
            await own.patch(AuditEntry, entry.id, patch)
        except ItemNotFoundError:
            return  # the tenant was purged meanwhile, its trail included
        except APIError as error:
            facts = {"entry": entry.id, "action": entry.action, "error": type(error).__name__}
            _logger.warning("An audit entry stays open", extra=facts)

    def _of(self, who: TenantContext | PlatformContext, tenant_id: TenantId | None) -> Partition:
        if isinstance(who, TenantContext):
            return Partition.of(who, self._container)
        if tenant_id is not None:
            return Partition(self._container, (tenant_id,))
        return Partition.of_platform(self._container, _PLATFORM)


def _find_actor(who: TenantContext | PlatformContext) -> AuditActor:
    if who.principal == PLATFORM:
        return AuditActor(kind="platform")
    if isinstance(who, PlatformContext) or who.role is Role.ADMIN:
        return AuditActor(kind="administrator")
    if who.key_id is None and who.user_id is not None:
        return AuditActor(kind="user", id=who.user_id)
    return AuditActor(kind="key", id=who.principal)


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
