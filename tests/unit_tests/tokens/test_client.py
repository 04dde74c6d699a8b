"""`TokenClient` over both transports without a socket: one contract, one budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from shared.errors import ValidationError
from shared.resilience.deadlines import deadline
from shared.tenancy.context import Role, TenantContext, acting_for
from shared.tokens.errors import LockNotFoundError
from tenantry_client.http.credentials import FixedKey
from tenantry_client.http.service import HttpService, Reply
from tenantry_client.token_client import NAME, HttpTransport, TokenClient
from tests.support.fakes import Call
from tests.support.token_client_contract import TokenClientContract
from tests.support.whole_app import WholeApp, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ROUTES = {
    ("POST", "/api/v1/tokens/lock"): "lock_tokens",
    ("POST", "/api/v1/tokens/report"): "report_tokens",
    ("POST", "/api/v1/tokens/release"): "release_tokens",
    ("GET", "/api/v1/tokens/status"): "get_token_status",
}


@dataclass
class RouteSender:
    """Hands requests to the app's edge as its host does."""

    app: WholeApp
    requests: list[str] = field(default_factory=list)

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        self.requests.append(url)
        parts = urlsplit(url)
        call = Call(query=parts.query, headers=headers, body=body or b"")
        answer = await self.app.client.call(ROUTES[method, parts.path], call)
        return Reply(answer.status, answer.headers, answer.body)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with app_of("acme", "globex", tier="standard") as opened:
        yield opened


async def context(app: WholeApp, tenant_id: str) -> TenantContext:
    headers = await app.new_key(tenant_id, Role.USER)
    found = await app.runtime.authenticator.authenticate(headers["authorization"])
    assert isinstance(found, TenantContext)
    return found


class TestInProcess(TokenClientContract):
    """The contract over the ledger of the process."""

    not_found = LockNotFoundError
    invalid = ValidationError

    @pytest.fixture
    async def client(self, app: WholeApp) -> TokenClient:
        return app.runtime.token_client("my_app", await context(app, "acme"))

    @pytest.fixture
    async def other(self, app: WholeApp) -> TokenClient:
        return app.runtime.token_client("my_app", await context(app, "globex"))


class TestOverTheEdge(TokenClientContract):
    """The contract over the app's routes."""

    @pytest.fixture
    async def client(self, app: WholeApp) -> TokenClient:
        return await over_routes(app, "acme")

    @pytest.fixture
    async def other(self, app: WholeApp) -> TokenClient:
        return await over_routes(app, "globex")


async def over_routes(app: WholeApp, tenant_id: str) -> TokenClient:
    headers = await app.new_key(tenant_id, Role.USER)
    service = HttpService(
        "http://token-counter:8000/", FixedKey(headers["authorization"]), RouteSender(app), name=NAME
    )
    return TokenClient("my_app", transport=HttpTransport(service))


async def test_in_process_the_ambient_tenant_is_served_and_there_must_be_one(app: WholeApp) -> None:
    client = app.runtime.token_client("my_app")
    acme, globex = await context(app, "acme"), await context(app, "globex")

    with acting_for(acme):
        await client.lock_tokens(10)
    with acting_for(globex):
        assert (await client.get_status()).locked_tokens == 0
    with pytest.raises(ValueError, match="tenant_id is required"):
        await client.lock_tokens(10)

    assert (await app.runtime.ledger.status(acme, "my_app")).locked_tokens == 10


async def test_in_process_the_client_knows_how_long_its_caller_may_wait(app: WholeApp) -> None:
    client = app.runtime.token_client("my_app")

    assert client.remaining_seconds() is None
    with deadline(7, app.clock):
        assert client.remaining_seconds() == 7
