"""Tenants and keys over their routes, with real authentication over a store in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from functions.keys.trigger import blueprint as keys
from functions.tenants.trigger import blueprint as tenants
from shared.resilience.concurrency import Paces
from shared.tenancy.audit import AuditTrail
from shared.tenancy.authentication import Authenticator, KeyVerifier
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.credential_cache import CredentialCache
from shared.tenancy.key_store import KeyStore
from shared.tenancy.keys import AdminKeys, parse_key
from shared.tenancy.purges import Purges
from shared.tenancy.store import TenantChange, TenantStatus, TenantStore
from tests.support.fakes import Call, RouteClient, generous_rates

if TYPE_CHECKING:
    from shared.runtime import Runtime
    from tests.support.fakes import Answer, FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

ADMIN = {"authorization": "Bearer the-administrators-key"}


class App:
    """The tenant routes."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos = cosmos
        self.tenants = TenantStore(cosmos.container("tenants"))
        self.audit = AuditTrail(cosmos.container("audit"), clock)
        credentials = CredentialCache(self.tenants, clock, 20)
        verifier = KeyVerifier(credentials, clock)
        admins = AdminKeys(["the-administrators-key"])
        self.authenticator = Authenticator(credentials, self.audit, admins, verifier)
        runtime: Any = SimpleNamespace(
            routes=[],
            rate_limiter=generous_rates(clock),
            paces=Paces(clock),
            clock=clock,
            authenticator=self.authenticator,
            tenants=self.tenants,
            keys=KeyStore(cosmos.container("tenants"), self.tenants),
            purges=Purges(cosmos.container("tenants"), clock),
            audit=self.audit,
        )
        for bind in (tenants, keys):
            bind(cast("Runtime", runtime))
        self.client = RouteClient(runtime)

    async def create(self, tenant_id: str, **body: object) -> Answer:
        sent = {"tenant_id": tenant_id, "name": tenant_id.title()} | body
        return await self.client.call("create_tenant", Call.of(sent, headers=ADMIN))

    async def key(self, tenant_id: str, headers: dict[str, str] = ADMIN, **body: object) -> Answer:
        sent = {"name": "a key"} | body
        return await self.client.call("create_key", Call.of(sent, headers=headers, tenant_id=tenant_id))


@pytest.fixture
def app(cosmos: MemoryCosmos, clock: FakeClock) -> App:
    return App(cosmos, clock)


async def test_a_tenant_is_created_shown_and_listed(app: App) -> None:
    created = await app.create("acme", tier="premium")
    shown = await app.client.call("get_tenant", Call({"tenant_id": "acme"}, headers=ADMIN))
    listed = await app.client.call("list_tenants", Call(headers=ADMIN))

    assert created.status == 201
    assert created.json()["tier"] == "premium"
    assert shown.json() == created.json() | {"purge": None}
    assert shown.headers["etag"] == created.json()["etag"]
    assert [item["tenant_id"] for item in listed.json()["items"]] == ["acme"]


@pytest.mark.parametrize("again", ["acme", "ACME", "AcMe"])
async def test_an_id_is_taken_in_every_spelling(app: App, again: str) -> None:
    await app.create("acme")

    assert (await app.create(again)).status == 409


async def test_a_claim_that_a_crash_left_alone_is_completed(app: App) -> None:
    requests = app.cosmos.transport
    await app.create("warm")
    start = requests.requests

    def down_after_the_claim(_: object) -> None:
        requests.lose_requests = 100 if requests.requests == start + 2 else requests.lose_requests

    requests.watch = down_after_the_claim
    crashed = await app.create("acme")
    requests.watch = lambda _: None
    requests.lose_requests = 0

    assert crashed.status == 503
    assert (await app.create("acme")).status == 201
    assert (await app.create("acme")).status == 409


@pytest.mark.parametrize("tenant_id", ["a", "global:x", "no spaces", "-x", "x" * 64])
async def test_a_malformed_id_is_refused_by_name(app: App, tenant_id: str) -> None:
    answer = await app.create(tenant_id)

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["body.tenant_id"])


async def test_tenants_are_listed_a_page_at_a_time_without_regard_to_case(app: App) -> None:
    for name in ("Bravo", "alpha", "charlie"):
        await app.create(name)

    first = (await app.client.call("list_tenants", Call(query="limit=2", headers=ADMIN))).json()
    cursor = first["next_cursor"]
    second = (await app.client.call("list_tenants", Call(query=f"cursor={cursor}", headers=ADMIN))).json()

    assert [item["tenant_id"] for item in first["items"]] == ["alpha", "Bravo"]
    assert ([item["tenant_id"] for item in second["items"]], second["next_cursor"]) == (["charlie"], None)


async def test_tenants_are_found_by_the_beginning_of_their_id_or_name_in_any_case(app: App) -> None:
    for tenant_id, name in (
        ("acme", "Acme"),
        ("Acme-2", "Second"),
        ("globex", "ACMEs rival"),
        ("x-acme", "X"),
    ):
        await app.client.call("create_tenant", Call.of({"tenant_id": tenant_id, "name": name}, headers=ADMIN))

    async def found(query: str) -> list[str]:
        answer = (await app.client.call("list_tenants", Call(query=query, headers=ADMIN))).json()
        return [item["tenant_id"] for item in answer["items"]]

    assert await found("prefix=AcMe") == ["acme", "Acme-2", "globex"]
    assert await found("prefix=acme&limit=1&cursor=acme") == ["Acme-2"]
    assert await found("prefix=%25") == []
    assert (await app.client.call("list_tenants", Call(query="prefix=", headers=ADMIN))).status == 422


async def test_a_tenant_that_was_renamed_is_found_by_its_new_name(app: App) -> None:
    await app.create("acme")
    change = Call.of({"name": "Bolt"}, headers=ADMIN, tenant_id="acme")
    assert (await app.client.call("update_tenant", change)).status == 200

    found = (await app.client.call("list_tenants", Call(query="prefix=bo", headers=ADMIN))).json()

    assert [item["tenant_id"] for item in found["items"]] == ["acme"]


@pytest.mark.parametrize("tenant_id", ["nobody", "global:tenants"])
async def test_an_absent_tenant_is_a_404(app: App, tenant_id: str) -> None:
    shown = await app.client.call("get_tenant", Call({"tenant_id": tenant_id}, headers=ADMIN))

    assert (shown.status, (await app.key(tenant_id)).status) == (404, 404)


async def test_a_key_is_shown_once_works_and_is_stored_as_a_hash_only(app: App) -> None:
    await app.create("acme")
    made = await app.key("acme", role="tenant_admin")

    text = made.json()["key"]
    parsed = parse_key(text)
    assert made.status == 201
    assert parsed is not None
    stored = await app.cosmos.container("tenants").read(("acme",), f"key:{made.json()['key_id']}")
    assert stored is not None
    assert parsed.secret not in str(stored)
    mine = {"authorization": f"Bearer {text}"}
    assert (await app.key("acme", mine)).status == 201
    assert (await app.key("globex", mine)).status == 404
    assert (await app.client.call("list_tenants", Call(headers=mine))).status == 403


async def test_a_users_key_makes_no_keys(app: App) -> None:
    await app.create("acme")
    user = (await app.key("acme")).json()["key"]

    assert (await app.key("acme", {"authorization": f"Bearer {user}"})).status == 403


async def test_the_administrators_role_is_nobodys_to_give(app: App) -> None:
    await app.create("acme")

    assert (await app.key("acme", role="admin")).status == 403


async def test_a_suspended_tenants_keys_stop_working_and_it_is_left_out_of_the_platforms_rounds(
    app: App,
) -> None:
    for name in ("acme", "globex"):
        await app.create(name)
    key = (await app.key("acme", role="tenant_admin")).json()["key"]

    await app.tenants.update(parse_tenant_id("acme"), TenantChange(status=TenantStatus.SUSPENDED), None)

    assert (await app.key("acme", {"authorization": f"Bearer {key}"})).status == 401
    ids = [tenant_id async for page in app.tenants.ids() for tenant_id in page]
    assert ids == ["acme", "globex"]
    rounds = [await app.authenticator.find_active(tenant_id) for tenant_id in ids]
    assert [tenant.tenant_id for tenant in rounds if tenant is not None] == ["globex"]


async def test_a_store_that_is_down_while_authenticating_is_a_503(app: App) -> None:
    await app.create("acme")
    key = (await app.key("acme", role="tenant_admin")).json()["key"]
    app.cosmos.transport.lose_requests = 100

    answer = await app.key("acme", {"authorization": f"Bearer {key}"})

    assert (answer.status, answer.json()["error"]) == (503, "DependencyUnavailableError")
    assert answer.headers["retry-after"]
