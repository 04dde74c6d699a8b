"""`GET /tokens/status` over the edge."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from functions.tokens.trigger import blueprint
from shared.tokens.models import TokenStatus
from tests.fakes import Call, FakeAuthenticator, FakeClock, RouteClient, tenant_context

if TYPE_CHECKING:
    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext

STATUS = TokenStatus(
    available_tokens=19_000,
    used_tokens=400,
    locked_tokens=600,
    available_requests=58,
    used_requests=1,
    locked_requests=1,
    reset_time_seconds=31.5,
    limit_tokens=20_000,
    limit_requests=60,
    debt_tokens=0,
)


class FakeLedger:
    """Knows one status."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def status(self, tenant: TenantContext, app_id: str) -> TokenStatus:
        self.asked.append((tenant.tenant_id, app_id))
        return STATUS


def client(ledger: FakeLedger) -> tuple[RouteClient, dict[str, str]]:
    authenticator = FakeAuthenticator()
    headers = authenticator.add("key", tenant_context("acme"))
    runtime = SimpleNamespace(routes=[], clock=FakeClock(), authenticator=authenticator, ledger=ledger)
    blueprint(cast("Runtime", runtime))
    return RouteClient(cast("Runtime", runtime)), headers


async def test_the_status_is_of_the_callers_tenant() -> None:
    ledger = FakeLedger()
    routes, headers = client(ledger)
    answer = await routes.call("get_token_status", Call(query="app_id=bot", headers=headers))
    assert answer.status == 200
    assert answer.json()["available_tokens"] == 19_000
    assert answer.json()["reset_time_seconds"] == 31.5
    assert ledger.asked == [("acme", "bot")]


async def test_an_application_is_required_and_well_formed() -> None:
    routes, headers = client(FakeLedger())
    for query in ("", "app_id=", "app_id=a%20b", "app_id=a%0A"):
        answer = await routes.call("get_token_status", Call(query=query, headers=headers))
        assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["query.app_id"])


async def test_a_key_is_required() -> None:
    routes, _ = client(FakeLedger())
    assert (await routes.call("get_token_status", Call(query="app_id=bot"))).status == 401
