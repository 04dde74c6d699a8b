"""Bind the routes of API keys."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.keys.models import (
    CreateKeyRequest,
    KeyPath,
    KeyQuery,
    KeyReply,
    KeySummary,
    RotateKeyRequest,
)
from functions.keys.service import KeyService
from shared.http.models import TenantPath
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the routes of API keys; the edge has matched the path's tenant with the caller's."""
    routes = Routes(runtime, "keys")

    def service(tenant: TenantContext) -> KeyService:
        return KeyService(tenant, runtime.keys, runtime.audit, runtime.clock)

    @routes.post(
        "v1/tenants/{tenant_id}/keys", min_role=Role.TENANT_ADMIN, path=TenantPath, status=201, secret=True
    )
    async def create_key(tenant: TenantContext, key: CreateKeyRequest) -> KeyReply:
        """Make an API key, shown this once.

        The answer is the only place where the key is ever seen: only its hash is stored. For the same reason
        no Idempotency-Key is honoured here; where an answer was lost, revoke that key and make another. A key
        with the role `user` and no `user_id` reads every conversation of its tenant: keep it on a server.
        """
        return await service(tenant).create(key)

    @routes.get("v1/tenants/{tenant_id}/keys", min_role=Role.TENANT_ADMIN, path=TenantPath)
    async def list_keys(tenant: TenantContext, query: KeyQuery) -> ListReply[KeySummary]:
        """List the API keys, without their secrets.

        They are sorted by id; revoked and expired keys are among them.
        """
        return await service(tenant).list(query)

    @routes.delete("v1/tenants/{tenant_id}/keys/{key_id}", min_role=Role.TENANT_ADMIN)
    async def revoke_key(tenant: TenantContext, path: KeyPath) -> None:
        """Revoke an API key.

        The key is refused at once by the instance that answers, and within 30 s by all. Revoking it again
        changes nothing.
        """
        await service(tenant).revoke(path.key_id)

    @routes.post(
        "v1/tenants/{tenant_id}/keys/{key_id}/rotate", min_role=Role.TENANT_ADMIN, status=201, secret=True
    )
    async def rotate_key(tenant: TenantContext, path: KeyPath, rotation: RotateKeyRequest) -> KeyReply:
        """Replace an API key, which goes on working for a while; the new one is shown this once.

        The new key has the name, role, user and lifetime of the old one. Each key is rotated once: its
        successor is rotated after it. A key that has ended, or was replaced, is a 409.
        """
        return await service(tenant).rotate(path.key_id, rotation)

    return routes.blueprint
