"""Whose usage is reported: a user's own with a token, anybody's with a tenant's key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.errors import PermissionDeniedError
from shared.tokens.api_models import LockRequest, ReportRequest
from shared.tokens.service import TokenService
from tests.support.fakes import tenant_context, user_context
from tests.support.whole_app import WholeApp, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.tenancy.context import TenantContext


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme") as opened:
        yield opened


async def reported(app: WholeApp, tenant: TenantContext, named: str | None) -> set[str | None]:
    """Lock and report; returns whose usage is stored."""
    service = TokenService(tenant, app.runtime.ledger, "gpt-4o")
    lock = (await service.lock(LockRequest(app_id="a", token_count=10))).reply.request_id
    assert lock is not None
    report = ReportRequest(app_id="a", request_id=lock, prompt_tokens=1, completion_tokens=1, user_id=named)
    await service.report(report)
    stored = app.cosmos.database.connection.execute("SELECT number FROM containers WHERE id = 'ledger'")
    (number,) = stored.fetchone()
    users = app.cosmos.database.connection.execute(
        f"SELECT DISTINCT json_extract(body, '$.user_id') FROM items_{number} WHERE id LIKE 'usage:%'"  # noqa: S608  # a number
    )
    return {user for (user,) in users.fetchall()}


async def test_a_users_usage_is_the_tokens_subjects(app: WholeApp) -> None:
    assert await reported(app, user_context("alice"), None) == {"alice"}


async def test_a_user_reports_for_nobody_else(app: WholeApp) -> None:
    with pytest.raises(PermissionDeniedError):
        await reported(app, user_context("alice"), "bob")


async def test_a_tenants_key_reports_for_whomever_it_names(app: WholeApp) -> None:
    assert await reported(app, tenant_context("acme"), "bob") == {"bob"}
