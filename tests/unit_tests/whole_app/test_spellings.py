"""Values that only a lenient parser would read are refused, and the refusal says what would be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with whole_app() as app:
        await app.new_tenant("acme")
        yield app


@pytest.mark.parametrize(
    ("route", "path", "query"),
    [
        ("list_bots", {}, "limit=1_0"),
        ("get_prompt", {"name": "p"}, "version=2.0"),
        ("get_prompt", {"name": "p"}, "fresh=yes"),
        ("get_prompt_version", {"name": "p", "version": "+1"}, ""),
        ("list_audit", {}, "from=1800000000"),
        ("list_audit", {}, "to=2026-01-31"),
        ("export_blob", {"tenant_id": "acme"}, "name=x&offset=1e1"),
    ],
)
async def test_a_parameter_has_one_spelling(
    app: WholeApp, route: str, path: dict[str, str], query: str
) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)

    answer = await app.client.call(route, Call(path, query, boss))

    assert answer.status == 422
    assert "must be" in answer.json()["message"]


@pytest.mark.parametrize("time", ["1800000000", 1800000000, "2027-01-15"])
@pytest.mark.parametrize("route", ["create_key", "put_limits"])
async def test_an_end_is_a_time_with_its_offset(app: WholeApp, route: str, time: object) -> None:
    body = {"expires_at": time} | ({"name": "x"} if route == "create_key" else {})

    answer = await app.client.call(route, Call.of(body, headers=app.admin, tenant_id="acme"))

    assert answer.json()["detail"]["fields"] == {
        "body.expires_at": "must be a time such as 2026-01-31T10:30:00Z"
    }


@pytest.mark.parametrize("written", ["1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
async def test_a_time_is_of_years_that_the_document_tells(app: WholeApp, written: str) -> None:
    body = {"name": "x", "expires_at": written}

    answer = await app.client.call("create_key", Call.of(body, headers=app.admin, tenant_id="acme"))

    assert answer.json()["detail"]["fields"] == {"body.expires_at": "must be of the years 2000 to 2199"}


@pytest.mark.parametrize("group_by", ["me", "day,", "day,day,day,day,day", ""])
async def test_an_unknown_dimension_is_told_those_that_there_are(app: WholeApp, group_by: str) -> None:
    boss = await app.new_key("acme", Role.TENANT_ADMIN)

    answer = await app.client.call("get_usage", Call(query=f"group_by={group_by}", headers=boss))

    assert answer.json()["detail"]["fields"] == {
        "query.group_by": "must be up to 4 of day, model, app_id, user_id, with commas between them"
    }
