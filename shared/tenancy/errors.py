"""Errors of tenancy."""

from __future__ import annotations

from shared.errors import AuthenticationError, NotFoundError


class TenantSuspendedError(AuthenticationError):
    """The credential is right, and its tenant is suspended: only who has it is told."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"Tenant '{tenant_id}' is suspended", {"tenant_id": tenant_id})


class TenantNotFoundError(NotFoundError):
    """No such tenant for this caller."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"Tenant with ID '{tenant_id}' not found", {"tenant_id": tenant_id})


class KeyNotFoundError(NotFoundError):
    """No such API key of this tenant."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"Key with ID '{key_id}' not found", {"key_id": key_id})


class SettingNotFoundError(NotFoundError):
    """No setting has this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Setting '{key}' not found", {"key": key})
