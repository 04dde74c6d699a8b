"""Errors of tenancy."""

from __future__ import annotations

from shared.errors import AuthenticationError


class TenantSuspendedError(AuthenticationError):
    """The credential is right, and its tenant is suspended: only who has it is told."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"Tenant '{tenant_id}' is suspended", {"tenant_id": tenant_id})
