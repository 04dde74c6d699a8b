"""Make, show, rotate and revoke a tenant's API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from functions.keys.models import KeyReply, KeyStatus, KeySummary
from shared.errors import ConflictError, PermissionDeniedError, ValidationError
from shared.http.paging import ListReply, cut_page
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import Role
from shared.tenancy.keys import generate_key
from shared.tenancy.stored_keys import NewKey

if TYPE_CHECKING:
    from datetime import datetime

    from functions.keys.models import CreateKeyRequest, KeyQuery, RotateKeyRequest
    from shared.clock import Clock
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import TenantContext
    from shared.tenancy.key_store import KeyStore
    from shared.tenancy.keys import ApiKey
    from shared.tenancy.stored_keys import TenantKeyItem


class KeyService:
    """One tenant's keys."""

    def __init__(self, tenant: TenantContext, keys: KeyStore, audit: AuditTrail, clock: Clock) -> None:
        self._tenant = tenant
        self._keys = keys
        self._audit = audit
        self._clock = clock

    async def create(self, request: CreateKeyRequest) -> KeyReply:
        """Make a key and show it this once.

        Raises:
            PermissionDeniedError: The role is the platform administrator's.
            ValidationError: It would have expired before it exists.
        """
        now = self._clock.now()
        if request.role is Role.ADMIN:
            raise PermissionDeniedError(
                "The administrator's role is not a tenant's to give", {"role": "admin"}
            )
        if request.expires_at is not None and request.expires_at <= now:
            raise ValidationError(
                "expires_at has passed already", {"fields": {"body.expires_at": "must be in the future"}}
            )
        key = generate_key(self._tenant.tenant_id)
        made = self._audit.recording(
            self._tenant, AuditAction.KEY_CREATE, key.key_id, detail={"role": request.role}
        )
        async with made:
            stored = await self._keys.create(
                key, NewKey(request.name, request.role, now, request.expires_at, request.user_id)
            )
        return _render_once(key, stored)

    async def list(self, query: KeyQuery) -> ListReply[KeySummary]:
        """Return one page of keys without their secrets, by id."""
        found = await self._keys.read_page(self._tenant.tenant_id, query.cursor, query.fetch_limit)
        now = self._clock.now()
        page = cut_page(found, query.limit, lambda key: key.key_id)
        return ListReply[KeySummary].of(page, lambda key: _render_summary(key, now))

    async def revoke(self, key_id: str) -> None:
        """End a key: at once here, within 30 s everywhere. Revoking it again changes nothing.

        Raises:
            KeyNotFoundError: The tenant has none of this id.
        """
        async with self._audit.recording(self._tenant, AuditAction.KEY_REVOKE, key_id):
            await self._keys.revoke(self._tenant.tenant_id, key_id, self._clock.now())

    async def rotate(self, key_id: str, request: RotateKeyRequest) -> KeyReply:
        """Make a key of the same name, role, user and lifetime; the old one goes on for the overlap.

        Raises:
            KeyNotFoundError: The tenant has none of this id.
            ConflictError: The key has ended, or was rotated before: its successor can be.
        """
        now = self._clock.now()
        old = await self._keys.read(self._tenant.tenant_id, key_id)
        if not old.works_at(now):
            raise ConflictError(f"Key '{key_id}' has ended; make a new one", {"key_id": key_id})
        if old.replaced_by is not None:
            raise ConflictError(
                f"Key '{key_id}' was replaced by '{old.replaced_by}'; rotate that one",
                {"key_id": key_id, "replaced_by": old.replaced_by},
            )
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        ends = now + timedelta(seconds=request.overlap_seconds)
        key = generate_key(self._tenant.tenant_id)
        made = self._audit.recording(
            self._tenant, AuditAction.KEY_ROTATE, key_id, detail={"replaced_by": key.key_id}
        )
        async with made:
            stored = await self._keys.replace(
                old,
                key,
                NewKey(old.name, old.role, now, None if lifetime is None else now + lifetime, old.user_id),
                old_expires_at=ends if old.expires_at is None else min(ends, old.expires_at),
            )
        return _render_once(key, stored)


def _render_once(key: ApiKey, stored: TenantKeyItem) -> KeyReply:
    return KeyReply(
        key_id=stored.key_id,
        key=str(key),
        name=stored.name,
        role=stored.role,
        user_id=stored.user_id,
        created_at=stored.created_at,
        expires_at=stored.expires_at,
    )


def _render_summary(key: TenantKeyItem, now: datetime) -> KeySummary:
    return KeySummary(
        key_id=key.key_id,
        name=key.name,
        role=key.role,
        user_id=key.user_id,
        status=_read_status(key, now),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        replaced_by=key.replaced_by,
    )


def _read_status(key: TenantKeyItem, now: datetime) -> KeyStatus:
    if key.revoked_at is not None:
        return KeyStatus.REVOKED
    return KeyStatus.ACTIVE if key.works_at(now) else KeyStatus.EXPIRED
