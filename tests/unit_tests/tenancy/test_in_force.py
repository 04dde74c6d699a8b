"""Answers that go on for minutes end with the key that they were asked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.errors import AuthenticationError
from shared.tenancy.context import Role
from shared.tenancy.in_force import while_in_force
from tests.support.fakes import FakeAuthenticator, tenant_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def test_what_comes_after_a_revocation_is_not_given_and_its_source_is_closed() -> None:
    closed: list[bool] = []
    tenant = tenant_context("acme", Role.USER)
    authenticator = FakeAuthenticator(checks_left=2)
    authenticator.add("user", tenant)

    async def items() -> AsyncGenerator[int]:
        try:
            for number in range(5):
                yield number
        finally:
            closed.append(True)

    given = while_in_force(tenant, authenticator.check_in_force, items())
    assert [await anext(given), await anext(given)] == [0, 1]
    with pytest.raises(AuthenticationError):
        await anext(given)
    assert closed == [True]
