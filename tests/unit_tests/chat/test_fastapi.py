"""The edge of a FastAPI app: credentials decide the tenant, and every error has the document's shape."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from compat.fastapi import (
    BotManagerDep,
    get_bot_manager,
    init_bot_manager,
    register_exception_handlers,
    reset_bot_manager,
)
from shared.errors import DependencyUnavailableError
from shared.tenancy.context import Role, ambient_tenant
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp

CONFIG = {"system_prompt": "You help.", "conversation_storage": {"backend": "memory"}}
SHAPE = {"error", "message", "detail", "timestamp", "request_id"}


def build_app() -> FastAPI:
    app = FastAPI()
    register_exception_handlers(app)

    @app.get("/whose/{name}")
    async def whose(name: str, manager: BotManagerDep) -> dict[str, str]:
        await manager.get_or_create(name, config=CONFIG)
        return {"tenant": ambient_tenant().tenant_id, "role": ambient_tenant().role}

    @app.get("/fails/{how}")
    async def fail(how: str) -> None:
        if how == "teapot":
            raise HTTPException(418, "short and stout", {"x-pot": "tea"})
        if how == "outage":
            raise DependencyUnavailableError("The store")
        raise RuntimeError("a defect that nobody is told of")

    return app


@asynccontextmanager
async def served(**environment: str) -> AsyncIterator[tuple[WholeApp, httpx.AsyncClient]]:
    async with whole_app(**environment) as app:
        await app.new_tenant("acme")
        await app.new_tenant("globex")
        init_bot_manager(runtime=app.runtime)
        transport = httpx.ASGITransport(build_app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://bots.test") as http:
            yield app, http
        reset_bot_manager()


async def test_the_tenant_is_the_credentials_own_and_ambient_no_longer_than_the_request() -> None:
    async with served() as (app, http):
        for tenant in ("acme", "globex"):
            key = await app.new_key(tenant, Role.USER)
            answer = await http.get("/whose/b", headers=key | {"x-tenant-id": "acme"})
            assert answer.json() == {"tenant": tenant, "role": "user"}
        with pytest.raises(ValueError, match="tenant_id is required"):
            ambient_tenant()


async def test_the_administrator_acts_for_the_tenant_that_it_names_and_that_is_kept() -> None:
    async with served() as (app, http):
        unnamed = await http.get("/whose/b", headers=app.admin)
        nobody = await http.get("/whose/b", headers=app.admin | {"x-tenant-id": "nobody"})
        acting = await http.get("/whose/b", headers=app.admin | {"x-tenant-id": "acme"})
        boss = await app.new_key("acme", Role.TENANT_ADMIN)
        trail = (await app.must("list_audit", Call(headers=boss))).body.decode()

    assert (unnamed.status_code, list(unnamed.json()["detail"]["fields"])) == (422, ["header.x-tenant-id"])
    assert nobody.status_code == 404
    assert acting.json() == {"tenant": "acme", "role": "admin"}
    assert "/whose/{name}" in trail


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer nonsense")],
        [("authorization", "Bearer {key}"), ("authorization", "Bearer {key}")],
    ],
)
async def test_without_one_valid_credential_nothing_is_served(headers: list[tuple[str, str]]) -> None:
    async with served() as (app, http):
        key = (await app.new_key("acme", Role.USER))["authorization"].removeprefix("Bearer ")
        sent = [(name, value.replace("{key}", key)) for name, value in headers]
        answer = await http.get("/whose/b", headers=sent)

    assert (answer.status_code, answer.json()["error"]) == (401, "AuthenticationError")


async def test_requests_count_against_the_tenants_rate() -> None:
    async with served(REQUESTS_PER_MINUTE_PREMIUM="2") as (app, http):
        key = await app.new_key("acme", Role.USER)
        answers = [await http.get("/whose/b", headers=key) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["retry-after"]) >= 1


async def test_every_error_has_the_documents_shape_and_the_callers_request_id() -> None:
    async with served() as (_, http):
        sent = {"x-request-id": "mine-1"}
        answers = [await http.get(path, headers=sent) for path in ("/fails/teapot", "/fails/outage", "/none")]
        defect = await http.get("/fails/defect", headers=sent)

    assert [answer.status_code for answer in answers] == [418, 503, 404]
    assert answers[0].headers["x-pot"] == "tea"
    assert answers[1].headers["retry-after"] == "1"
    assert (defect.status_code, defect.json()["error"]) == (500, "InternalError")
    assert "nobody is told" not in defect.text
    for answer in (*answers, defect):
        assert set(answer.json()) == SHAPE
        assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine-1"


async def test_the_manager_is_one_until_it_is_reset_and_then_of_the_stored_bots() -> None:
    async with whole_app() as app:
        made = init_bot_manager(runtime=app.runtime)
        assert get_bot_manager() is made
        reset_bot_manager()
        other = get_bot_manager()
        assert other is not made
        assert get_bot_manager() is other
        reset_bot_manager()
