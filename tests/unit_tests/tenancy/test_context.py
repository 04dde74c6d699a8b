"""The tenant context: required, well-formed, and ambient only within its block."""

from __future__ import annotations

import pytest

from shared.tenancy.context import Role, acting_for, ambient_tenant, parse_tenant_id, require_tenant
from tests.support.fakes import tenant_context


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_tenant_id_is_a_value_error(missing: str | None) -> None:
    with pytest.raises(ValueError, match="tenant_id is required"):
        parse_tenant_id(missing)


@pytest.mark.parametrize(
    "bad", ["a", "-acme", "global:", "a b", "acme/", "é" * 5, "a" * 64, "acme\n", "_platform"]
)
def test_a_malformed_tenant_id_is_a_value_error(bad: str) -> None:
    with pytest.raises(ValueError, match="tenant_id must match"):
        parse_tenant_id(bad)


def test_a_missing_context_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="tenant_id is required"):
        require_tenant(None)


def test_the_ambient_tenant_is_there_within_its_block_only() -> None:
    acme, globex = tenant_context("acme"), tenant_context("globex")

    with acting_for(acme):
        with acting_for(globex):
            assert ambient_tenant() == globex
        assert ambient_tenant() == acme
    with pytest.raises(ValueError, match="tenant_id is required"):
        ambient_tenant()


def test_roles_include_what_is_below_them() -> None:
    assert Role.ADMIN.includes(Role.TENANT_ADMIN)
    assert Role.TENANT_ADMIN.includes(Role.USER)
    assert Role.USER.includes(Role.USER)
    assert not Role.USER.includes(Role.TENANT_ADMIN)
    assert not Role.TENANT_ADMIN.includes(Role.ADMIN)
