"""The whole app in memory with a tenant, whose request is being answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import acting_for
from tests.support.fakes import tenant_context
from tests.support.whole_app import app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.whole_app import WholeApp


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme") as app:
        yield app


@pytest.fixture
def as_acme() -> Iterator[None]:
    with acting_for(tenant_context("acme", tier="premium")):
        yield
