"""The app with two tenants, ready to be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.whole_app import SharedStart
from tests.unit_tests.dead_letters.app import DeadLetterApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp


async def _with_tenants(app: WholeApp) -> dict[str, dict[str, str]]:
    await app.new_tenant("acme")
    await app.new_tenant("globex")
    return {
        "boss": await app.new_key("acme", Role.TENANT_ADMIN),
        "user": await app.new_key("acme", Role.USER),
        "stranger": await app.new_key("globex", Role.TENANT_ADMIN),
    }


_START = SharedStart(_with_tenants)


@pytest.fixture
async def app() -> AsyncIterator[DeadLetterApp]:
    async with _START.open() as (whole, keys):
        yield DeadLetterApp(whole, keys)
