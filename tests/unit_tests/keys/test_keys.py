"""The life of a key over its routes: made, shown once, listed, rotated, revoked, expired."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import AuthenticationError, ConflictError
from shared.tenancy.context import Role, parse_tenant_id
from shared.tenancy.keys import generate_key, parse_key
from shared.tenancy.stored_keys import NewKey
from tests.support.fakes import EPOCH, Call
from tests.support.whole_app import MemoryRuntime, app_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp

DAY = 24 * 3600


class Keys:
    """Tenant acme's key routes, called by its administrator unless somebody else is named."""

    def __init__(self, app: WholeApp, boss: dict[str, str]) -> None:
        self.app = app
        self.boss = boss

    async def call(self, route: str, body: object = None, *, key_id: str = "", **more: Any) -> Answer:  # noqa: ANN401  # headers, query
        path = {"tenant_id": more.get("tenant_id", "acme")} | ({"key_id": key_id} if key_id else {})
        headers = more.get("headers", self.boss)
        if body is None:
            return await self.app.client.call(route, Call(path, more.get("query", ""), headers))
        return await self.app.client.call(route, Call.of(body, headers=headers, **path))

    async def make(self, **body: object) -> Any:  # noqa: ANN401  # JSON of any shape
        made = await self.call("create_key", {"name": "a key"} | body)
        assert made.status == 201, made.body
        return made.json()

    async def works(self, key: str) -> bool:
        answer = await self.app.client.call("list_bots", Call(headers=bearer(key)))
        assert answer.status in {200, 401}, answer.body
        return answer.status == 200

    async def listed(self) -> dict[str, Any]:
        items = (await self.call("list_keys")).json()["items"]
        return {item["key_id"]: item for item in items}

    async def trail(self) -> list[tuple[str, str, str]]:
        shown = await self.app.must("list_audit", Call(query="limit=100", headers=self.boss))
        return [(entry["action"], entry["subject"], entry["outcome"]) for entry in shown.json()["items"]]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def keys() -> AsyncIterator[Keys]:
    async with app_of("acme", "globex") as app:
        yield Keys(app, await app.new_key("acme", Role.TENANT_ADMIN))


async def test_keys_are_listed_without_anything_that_could_be_presented(keys: Keys) -> None:
    made = await keys.make(name="ci", expires_at="2026-03-01T00:00:00Z")

    answer = await keys.call("list_keys")

    parsed = parse_key(made["key"])
    assert parsed is not None
    assert parsed.secret not in answer.body.decode()
    assert parsed.hash() not in answer.body.decode()
    shown = {item["key_id"]: item for item in answer.json()["items"]}
    assert len(shown) == 2
    assert shown[made["key_id"]] == {
        "key_id": made["key_id"],
        "name": "ci",
        "role": "user",
        "user_id": None,
        "status": "active",
        "created_at": "2026-01-31T10:30:00Z",
        "expires_at": "2026-03-01T00:00:00Z",
        "revoked_at": None,
        "replaced_by": None,
    }


async def test_keys_are_listed_a_page_at_a_time(keys: Keys) -> None:
    made = {(await keys.make())["key_id"] for _ in range(4)}

    seen: list[str] = []
    query = "limit=2"
    while query:
        page = (await keys.call("list_keys", query=query)).json()
        seen += [item["key_id"] for item in page["items"]]
        query = f"limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert seen == sorted(seen)
    assert made < set(seen)
    assert len(seen) == 5


async def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(keys: Keys) -> None:
    made = await keys.make()
    assert await keys.works(made["key"])

    assert (await keys.call("revoke_key", key_id=made["key_id"])).status == 204

    assert not await keys.works(made["key"])
    assert (await keys.listed())[made["key_id"]]["status"] == "revoked"


async def test_revoking_again_keeps_the_first_time(keys: Keys) -> None:
    made = await keys.make()
    await keys.call("revoke_key", key_id=made["key_id"])
    keys.app.clock.advance(60)

    again = await keys.call("revoke_key", key_id=made["key_id"])

    assert again.status == 204
    assert (await keys.listed())[made["key_id"]]["revoked_at"] == "2026-01-31T10:30:00Z"


async def test_a_warm_key_asks_the_store_nothing_a_cold_one_once_and_junk_nothing(keys: Keys) -> None:
    made = await keys.make()
    transport = keys.app.cosmos.transport

    async def requests_of(key: str) -> int:
        before = transport.requests
        with contextlib.suppress(AuthenticationError):
            await keys.app.runtime.authenticator.authenticate(f"Bearer {key}")
        return transport.requests - before

    assert await requests_of(made["key"]) == 1
    assert await requests_of(made["key"]) == 0
    assert await requests_of(made["key"][:-1] + "x") == 0
    assert await requests_of("junk") == 0


async def test_a_key_that_one_instance_revoked_dies_on_another_within_its_cache_time(keys: Keys) -> None:
    made = await keys.make()
    other = MemoryRuntime(keys.app.cosmos, keys.app.clock, {})
    await other.authenticator.authenticate(f"Bearer {made['key']}")

    await keys.call("revoke_key", key_id=made["key_id"])
    keys.app.clock.advance(other.settings.auth_cache_seconds)

    assert other.settings.auth_cache_seconds < 30
    with pytest.raises(AuthenticationError):
        await other.authenticator.authenticate(f"Bearer {made['key']}")


async def test_with_the_store_down_a_key_is_a_503_once_its_time_is_up(keys: Keys) -> None:
    made = await keys.make()
    assert await keys.works(made["key"])
    keys.app.clock.advance(20)
    transport = keys.app.cosmos.transport
    transport.lose_requests, before = 1_000, transport.requests

    answer = await keys.app.client.call("list_bots", Call(headers=bearer(made["key"])))

    assert (answer.status, answer.json()["error"]) == (503, "DependencyUnavailableError")
    assert transport.requests - before == 3


async def test_a_key_may_revoke_itself(keys: Keys) -> None:
    made = await keys.make(role="tenant_admin")

    mine = await keys.call("revoke_key", key_id=made["key_id"], headers=bearer(made["key"]))

    assert mine.status == 204
    assert not await keys.works(made["key"])


async def test_a_key_ends_by_itself_at_the_very_second(keys: Keys) -> None:
    made = await keys.make(expires_at=(EPOCH + timedelta(seconds=60)).isoformat())

    keys.app.clock.advance(59.9)
    assert await keys.works(made["key"])
    keys.app.clock.advance(0.1)
    assert not await keys.works(made["key"])
    assert (await keys.listed())[made["key_id"]]["status"] == "expired"


@pytest.mark.parametrize(
    "expires_at", ["2026-01-31T10:30:00Z", "2026-02-31", "2027-01-01T00:00:00", "9999-12-31T23:59:59-14:00"]
)
async def test_a_key_cannot_end_before_it_begins_nor_at_no_clocks_time(keys: Keys, expires_at: str) -> None:
    answer = await keys.call("create_key", {"name": "x", "expires_at": expires_at})

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["body.expires_at"])


async def test_rotation_makes_a_like_key_and_lets_the_old_one_go_on_for_the_overlap(keys: Keys) -> None:
    old = await keys.make(name="ci", role="tenant_admin")

    answer = await keys.call("rotate_key", {"overlap_seconds": 600}, key_id=old["key_id"])

    new = answer.json()
    assert (answer.status, new["name"], new["role"], new["expires_at"]) == (201, "ci", "tenant_admin", None)
    assert new["key_id"] != old["key_id"]
    assert (await keys.listed())[old["key_id"]]["replaced_by"] == new["key_id"]
    keys.app.clock.advance(599)
    assert (await keys.works(old["key"]), await keys.works(new["key"])) == (True, True)
    keys.app.clock.advance(1)
    assert (await keys.works(old["key"]), await keys.works(new["key"])) == (False, True)


async def test_the_overlap_is_a_day_unless_it_is_said(keys: Keys) -> None:
    old = await keys.make()

    await keys.call("rotate_key", {}, key_id=old["key_id"])

    ends = (await keys.listed())[old["key_id"]]["expires_at"]
    assert ends == (EPOCH + timedelta(days=1)).isoformat().replace("+00:00", "Z")


async def test_without_an_overlap_the_old_key_ends_at_once_though_it_was_in_use(keys: Keys) -> None:
    old = await keys.make()
    assert await keys.works(old["key"])

    await keys.call("rotate_key", {"overlap_seconds": 0}, key_id=old["key_id"])

    assert not await keys.works(old["key"])


async def test_rotation_renews_the_lifetime_and_never_prolongs_the_old_key(keys: Keys) -> None:
    old = await keys.make(expires_at=(EPOCH + timedelta(seconds=100)).isoformat())
    keys.app.clock.advance(90)

    new = (await keys.call("rotate_key", {"overlap_seconds": DAY}, key_id=old["key_id"])).json()

    assert new["expires_at"] == (EPOCH + timedelta(seconds=190)).isoformat().replace("+00:00", "Z")
    keys.app.clock.advance(10)
    assert (await keys.works(old["key"]), await keys.works(new["key"])) == (False, True)


async def test_only_a_working_key_that_has_no_successor_is_rotated(keys: Keys) -> None:
    rotated, revoked = await keys.make(), await keys.make()
    expired = await keys.make(expires_at=(EPOCH + timedelta(seconds=1)).isoformat())
    successor = (await keys.call("rotate_key", {}, key_id=rotated["key_id"])).json()["key_id"]
    await keys.call("revoke_key", key_id=revoked["key_id"])
    keys.app.clock.advance(1)

    again = await keys.call("rotate_key", {}, key_id=rotated["key_id"])

    assert (again.status, again.json()["detail"]["replaced_by"]) == (409, successor)
    assert (await keys.call("rotate_key", {}, key_id=revoked["key_id"])).status == 409
    assert (await keys.call("rotate_key", {}, key_id=expired["key_id"])).status == 409
    assert (await keys.call("rotate_key", {}, key_id=successor)).status == 201


async def test_of_two_rotations_at_once_one_wins_and_no_third_key_is_left(keys: Keys) -> None:
    made = await keys.make()
    store = keys.app.runtime.keys
    acme = parse_tenant_id("acme")
    old = await store.read(acme, made["key_id"])
    described = NewKey("a key", Role.USER, EPOCH)
    await store.replace(old, generate_key(acme), described, old_expires_at=EPOCH)

    with pytest.raises(ConflictError):
        await store.replace(old, generate_key(acme), described, old_expires_at=EPOCH)

    assert len(await keys.listed()) == 3  # the administrator's, the old and its one successor


@pytest.mark.parametrize("route", ["revoke_key", "rotate_key"])
async def test_foreign_and_absent_keys_look_the_same_and_stay_as_they_are(keys: Keys, route: str) -> None:
    stranger = await keys.app.new_key("globex", Role.TENANT_ADMIN)
    body: dict[str, str] | None = {} if route == "rotate_key" else None
    mine = await keys.make()

    at_mine = await keys.call(route, body, key_id=mine["key_id"], headers=stranger, tenant_id="globex")
    at_absent = await keys.call(route, body, key_id="0" * 12, headers=stranger, tenant_id="globex")
    by_path = await keys.call(route, body, key_id=mine["key_id"], headers=stranger)

    assert (at_mine.status, at_absent.status, by_path.status) == (404, 404, 404)
    said = [one.json()["message"].replace(mine["key_id"], "0" * 12) for one in (at_mine, at_absent)]
    assert said[0] == said[1]
    assert await keys.works(mine["key"])


async def test_a_users_key_manages_no_keys(keys: Keys) -> None:
    user = await keys.app.new_key("acme", Role.USER)
    mine = await keys.make()

    answers = [
        await keys.call("create_key", {"name": "x"}, headers=user),
        await keys.call("list_keys", headers=user),
        await keys.call("revoke_key", key_id=mine["key_id"], headers=user),
        await keys.call("rotate_key", {}, key_id=mine["key_id"], headers=user),
    ]

    assert {answer.status for answer in answers} == {403}


async def test_each_change_of_a_key_is_in_the_trail_without_secret_or_name(keys: Keys) -> None:
    keys.app.clock.advance(1)
    made = await keys.make(name="alice@example.org")
    keys.app.clock.advance(1)
    new = (await keys.call("rotate_key", {}, key_id=made["key_id"])).json()
    keys.app.clock.advance(1)
    await keys.call("revoke_key", key_id=made["key_id"])
    keys.app.clock.advance(1)
    await keys.call("revoke_key", key_id="0" * 12)

    assert (await keys.trail())[:4] == [
        ("key.revoke", "0" * 12, "refused"),
        ("key.revoke", made["key_id"], "done"),
        ("key.rotate", made["key_id"], "done"),
        ("key.create", made["key_id"], "done"),
    ]
    kept = keys.app.cosmos.container("audit")
    entries = (await keys.app.must("list_audit", Call(headers=keys.boss))).json()["items"]
    stored = [str(await kept.read(("acme",), entry["id"])) for entry in entries]
    for secret in (made["key"], new["key"], "alice@example.org"):
        assert not [one for one in stored if secret in one or secret[-30:] in one]


async def test_no_key_is_made_while_the_trail_is_down(keys: Keys) -> None:
    def lose_audits(request: Any) -> None:  # noqa: ANN401  # azure-core's request
        keys.app.cosmos.transport.lose_requests = 1 if "/colls/audit/" in request.url else 0

    before = set(await keys.listed())
    keys.app.cosmos.transport.watch = lose_audits
    answer = await keys.call("create_key", {"name": "x"})
    keys.app.cosmos.transport.watch = lambda _: None

    assert answer.status == 503
    assert set(await keys.listed()) == before


@pytest.mark.parametrize("route", ["create_key", "rotate_key", "revoke_key"])
async def test_a_change_whose_answer_the_store_lost_is_made_once(keys: Keys, route: str) -> None:
    old = await keys.make()
    before = len(await keys.listed())
    transport = keys.app.cosmos.transport
    lost = False

    def lose_one(request: Any) -> None:  # noqa: ANN401  # azure-core's request
        nonlocal lost
        if not lost and "/colls/tenants/" in request.url and request.method in {"POST", "PATCH"}:
            lost, transport.lose_answers = True, 1

    transport.watch = lose_one
    bodies: dict[str, dict[str, str]] = {"create_key": {"name": "x"}, "rotate_key": {}}
    body = bodies.get(route)
    answer = await keys.call(route, body, key_id="" if route == "create_key" else old["key_id"])

    assert lost
    assert answer.status < 300, answer.body
    assert len(await keys.listed()) == before + (route != "revoke_key")
    if body is not None:
        assert await keys.works(answer.json()["key"])
