"""Limits of a tenant: its tier's, and the override that the administrator gave it for a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from functions.tokens.models import LimitsReply
from shared.errors import PreconditionFailedError, ValidationError
from shared.tenancy.audit import AuditAction
from shared.tenancy.store import Tier
from shared.tokens.limits import TIER_LIMITS, LimitsOverride, limits_in_force

if TYPE_CHECKING:
    from functions.tokens.models import PutLimitsRequest
    from shared.clock import Clock
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import TenantContext
    from shared.tokens.limits import LimitStore, StoredLimits

_NOTHING = LimitsOverride()
_STATE = re.compile(r'"([0-9]{1,15})"')


class LimitsService:
    """One tenant's limits.

    Args:
        tenant: The tenant, and who asks.
        store: The overrides.
        audit: The audit trail.
        clock: Tells whether an override has expired.
    """

    def __init__(self, tenant: TenantContext, store: LimitStore, audit: AuditTrail, clock: Clock) -> None:
        self._tenant = tenant
        self._store = store
        self._audit = audit
        self._clock = clock

    async def read(self) -> LimitsReply:
        """Return the limits in force, the tier's, and the override.

        Raises:
            DependencyUnavailableError: The store is down.
            DependencyTimeoutError: It did not answer in time.
        """
        return self._build_reply(await self._store.read(self._tenant))

    async def put(self, request: PutLimitsRequest, if_match: str | None) -> LimitsReply:
        """Give the tenant other limits than its tier's; where nothing is given, its tier's hold again.

        Raises:
            ValidationError: The override would be over before it began.
            PreconditionFailedError: The limits are in another state than `if_match`.
            ConflictError: Others keep changing them.
            DependencyUnavailableError: The store is down; the same again is safe.
            DependencyTimeoutError: Likewise, it did not answer in time.
        """
        given = LimitsOverride.model_validate(request.model_dump())
        if given.expires_at is not None and given.expires_at <= self._clock.now():
            raise ValidationError(
                "An override ends in the future", {"fields": {"body.expires_at": "is in the past"}}
            )
        override = None if given.model_copy(update={"expires_at": None}) == _NOTHING else given
        facts = {name: str(value) for name, value in given if value is not None and name != "models"}
        async with self._audit.recording(
            self._tenant, AuditAction.LIMITS_PUT, self._tenant.tenant_id, detail=facts
        ):
            stored = await self._store.put(self._tenant, override, if_version=_parse_version(if_match))
        return self._build_reply(stored)

    async def remove(self, if_match: str | None) -> LimitsReply:
        """Let the limits of the tenant's tier hold again.

        Raises:
            PreconditionFailedError: The limits are in another state than `if_match`.
            ConflictError: Others keep changing them.
            DependencyUnavailableError: The store is down; the same again is safe.
            DependencyTimeoutError: Likewise, it did not answer in time.
        """
        subject = self._tenant.tenant_id
        async with self._audit.recording(self._tenant, AuditAction.LIMITS_DELETE, subject):
            stored = await self._store.put(self._tenant, None, if_version=_parse_version(if_match))
        return self._build_reply(stored)

    def _build_reply(self, stored: StoredLimits) -> LimitsReply:
        now = self._clock.now().timestamp()
        return LimitsReply(
            tier=Tier(self._tenant.tier),
            limits=limits_in_force(self._tenant.tier, stored.override, now),
            tier_limits=TIER_LIMITS[Tier(self._tenant.tier)],
            override=stored.override,
            expired=stored.override is not None and not stored.override.in_force(now),
            etag=f'"{stored.version}"',
        )


def _parse_version(if_match: str | None) -> int | None:
    """Read the state that `If-Match` names."""
    if if_match is None or if_match == "*":
        return None
    state = _STATE.fullmatch(if_match)
    if state is None:
        raise PreconditionFailedError("The limits were never in this state")
    return int(state[1])
