"""A stranger asks for what is tenant A's on every route, in thousands of ways, and gets and changes nothing.

The cases are generated: who asks, by which ids, with which headers, which query and which body. For each
answer it is checked what was said, and for each request to the store whose partition it names.
"""

from __future__ import annotations

import base64
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import azure.functions as func
import pytest

from local.cosmos.engine.effective_key import effective_key
from shared.cosmos.container import Query
from shared.tenancy.context import Role
from shared.tenancy.keys import ApiKey, parse_key
from tests.support.fakes import Call, FakeAuthenticator, tenant_context
from tests.support.isolation import (
    BLOB,
    CREATES_OWN,
    KEY_OF_A_REQUEST,
    NAMES,
    SECRET,
    SETUP,
    Operation,
    operation,
    operations,
)
from tests.support.soak import SOAK, sized
from tests.support.whole_app import SharedStart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.core.pipeline.transport import HttpRequest

    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp

pytestmark = sized(600)

OWNER = "victimcorp"
STRANGER = "stranger"
GENERATED: Final = 100_000 if SOAK else 10_000

CALLERS = ("boss", "user", "spliced", "renamed")
IDS = (
    "theirs",
    "ours",
    "absent",
    "traversal",
    "encoded",
    "partition",
    "platform",
    "nul",
    "quoted",
    "wildcard",
    "long",
)
HEADERS = (
    "none",
    "x-tenant-id",
    "if-match",
    "if-match any",
    "if-none-match",
    "principal id",
    "principal",
    "idempotency-key",
    "cookie",
    "forwarded",
    "request id",
)
QUERIES = ("none", "tenant_id", "cursor", "forged cursor", "scope", "filter", "version", "strict", "known")
BODIES = ("valid", "tenant_id in it", "ids in it", "nested", "empty", "list")


@dataclass(frozen=True)
class Case:
    """One request of a stranger's."""

    caller: str = "boss"
    ids: str = "theirs"
    headers: str = "none"
    query: str = "none"
    body: str = "valid"


def cases_of(one: Operation, at_least: int) -> list[Case]:
    """Vary each thing alone, two things at once (25 of the pairs, in a soak all), and then anything.

    They are the same in every run.
    """
    bodies = BODIES[:1] if one.method in {"GET", "DELETE"} else BODIES
    ids = IDS if one.parameters else IDS[:1]
    cases = [Case(caller, way) for caller, way in product(CALLERS, ids)]
    cases += [Case(caller, headers=headers) for caller, headers in product(CALLERS, HEADERS)]
    cases += [Case(caller, query=query) for caller, query in product(CALLERS, QUERIES)]
    cases += [Case(caller, body=body) for caller, body in product(CALLERS, bodies)]
    chance = random.Random(one.name)  # noqa: S311  # which cases, not which secrets
    pairs = list(product(QUERIES, HEADERS))
    drawn = pairs if SOAK else chance.sample(pairs, 25)
    cases += [Case(query=query, headers=headers) for query, headers in drawn]
    while len(cases) < at_least:
        ways = (CALLERS[:2], ids, HEADERS, QUERIES, bodies)
        cases.append(
            Case(*(way[0] if chance.random() < 0.4 else chance.choice(way) for way in ways))
        )  # often deep
    return cases


PER_OPERATION: Final = GENERATED // len(operations()) + 1


@dataclass
class World:
    """The app with tenant A, who has something of everything, and tenant B, who has nothing.

    Attributes:
        names: A's resources by path parameter.
        marks: What may stand in no answer to B: A's words, ETags, hashes.
        trespasses: Requests to the store that named A's partition.
    """

    app: WholeApp
    names: dict[str, str]
    owner: dict[str, str]
    keys: dict[str, dict[str, str]]
    marks: list[str] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    trespasses: list[str] = field(default_factory=list)

    def watch(self, request: HttpRequest) -> None:
        """Note a request that A's partition, or all partitions, would answer."""
        key = request.headers.get("x-ms-documentdb-partitionkey")
        if key is not None:
            if OWNER in json.dumps(json.loads(key)):
                self.trespasses.append(f"{request.method} {request.url} {key}")
            return
        low, high = (bytes.fromhex(request.headers.get(f"x-ms-{end}-epk") or "") for end in ("start", "end"))
        place = effective_key(OWNER)
        if not low or (low <= place + b"\xff" and place < high):
            self.trespasses.append(f"{request.method} {request.url} from {low.hex()} to {high.hex()}")

    def rows(self) -> list[tuple[str, str, bytes]]:
        """Return all that is stored of A's: container, ETag and body, to the byte."""
        return self.app.cosmos.rows_of(OWNER)


async def _prepare(app: WholeApp) -> tuple[dict[str, str], dict[str, dict[str, str]], list[str]]:
    """Let A come by something of everything; returns names, headers by whose they are, and A's cursors."""
    await app.new_tenant(OWNER)
    await app.new_tenant(STRANGER)
    owner = await app.new_key(OWNER, Role.TENANT_ADMIN)
    boss = await app.new_key(STRANGER, Role.TENANT_ADMIN)
    user = await app.new_key(STRANGER, Role.USER)
    app.blobs[BLOB.format(tenant_id=OWNER)] = SECRET.encode()
    await _ship_line(app)
    await app.keep_content(OWNER, NAMES["request_id"], SECRET)
    names = await app.own_everything(OWNER, owner)
    cursors = []
    for listing in operations():
        if "cursor" in listing.query and listing.role != "admin":
            call = Call(listing.address(names), "limit=1", owner)
            cursor = (await app.must(listing.name, call)).json()["next_cursor"]
            cursors += [cursor] if cursor else []
    return names, {"owner": owner, "boss": boss, "user": user}, cursors


async def _ship_line(app: WholeApp) -> None:
    """Let A have a log line, which only a timer ships."""
    line = {
        "timestamp": (app.runtime.clock.now() - timedelta(minutes=1)).isoformat(),
        "level": "INFO",
        "message": SECRET,
        "tenant_id": OWNER,
        "request_id": NAMES["request_id"],
    }
    content = json.dumps(line).encode() + b"\n"
    name = f"{OWNER}/{line['timestamp'][:10]}/103000000000-{0:032x}.jsonl"
    app.blobs[name] = content
    await app.functions["index_logs"](func.blob.InputStream(data=content, name=f"logs/{name}"))


_START: Final = SharedStart(_prepare)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with _START.open() as (app, (names, keys, cursors)):
        owner = keys.pop("owner")
        theirs, ours = (
            parse_key(key["authorization"].removeprefix("Bearer ")) for key in (owner, keys["boss"])
        )
        assert theirs is not None
        assert ours is not None
        keys["spliced"] = _bearer(ApiKey(theirs.tenant_id, theirs.key_id, ours.secret))
        keys["renamed"] = _bearer(ApiKey(theirs.tenant_id, ours.key_id, ours.secret))
        made = World(app, names, owner, keys, cursors=cursors)
        made.etags = [etag for _, etag, _ in made.rows()]
        made.marks = [SECRET, *made.etags, theirs.secret, theirs.hash()]
        app.cosmos.transport.watch = made.watch
        yield made


def _bearer(key: ApiKey) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def spelled(way: str, name: str) -> str:
    """Write an id of A's in another way."""
    return {
        "theirs": name,
        "ours": name,
        "absent": "7654321" if name.isdecimal() else "nobodys" + name[-8:],
        "traversal": f"../{OWNER}/{name}",
        "encoded": f"..%2f{OWNER}%2f{name}",
        "partition": f"{OWNER}|{name}",
        "platform": "global:tenants",
        "nul": f"{name}\x00",
        "quoted": f"' OR c.tenant_id = '{OWNER}",
        "wildcard": "%",
        "long": name * 300,
    }[way]


def headers_of(world: World, case: Case, one: Operation) -> dict[str, str]:
    etag = world.etags[0]
    principal = base64.b64encode(json.dumps({"userId": OWNER, "userRoles": ["admin"]}).encode()).decode()
    forged = {
        "none": {},
        "x-tenant-id": {"x-tenant-id": OWNER},
        "if-match": {"if-match": etag},
        "if-match any": {"if-match": "*"},
        "if-none-match": {"if-none-match": etag},
        "principal id": {"x-ms-client-principal-id": OWNER, "x-ms-client-principal-name": OWNER},
        "principal": {"x-ms-client-principal": principal},
        "idempotency-key": {"idempotency-key": KEY_OF_A_REQUEST + one.name},
        "cookie": {"cookie": f"tenant_id={OWNER}; key={world.owner['authorization'][-20:]}"},
        "forwarded": {"x-forwarded-for": "127.0.0.1", "x-original-url": f"/api/v1/tenants/{OWNER}"},
        "request id": {"x-request-id": OWNER},
    }
    return forged[case.headers] | world.keys[case.caller]


def query_of(world: World, case: Case, one: Operation) -> str:
    forged_cursor = base64.urlsafe_b64encode(json.dumps([OWNER, "0"]).encode()).decode()
    known = {"limit": "100", "cursor": (world.cursors or ["x"])[0], "scope": OWNER, "tenant_id": OWNER}
    varied = {
        "none": "",
        "tenant_id": f"tenant_id={OWNER}",
        "cursor": "cursor=" + (world.cursors or ["x"])[len(one.name) % max(len(world.cursors), 1)],
        "forged cursor": f"cursor={forged_cursor}",
        "scope": f"scope=global&scope={OWNER}",
        "filter": f"text={SECRET}&user_id={OWNER}&app_id={OWNER}",
        "version": "version=1",
        "strict": "strict=true",
        "known": "&".join(f"{name}={known.get(name, OWNER)}" for name in one.query),
    }[case.query]
    needed = "" if case.query == "known" else one.needed_query(world.names)
    return "&".join(filter(None, (needed, varied)))


def body_of(case: Case, one: Operation, names: dict[str, str]) -> bytes:
    valid = one.body(names)
    if valid is None:
        return b""
    bodies: dict[str, Any] = {
        "valid": valid,
        "tenant_id in it": valid | {"tenant_id": OWNER},
        "ids in it": valid | names | {"id": names["job_id"], "_etag": "x", "_self": "x"},
        "nested": {name: {"tenant_id": OWNER, "$ref": OWNER} for name in valid},
        "empty": {},
        "list": [valid, {"tenant_id": OWNER}],
    }
    return json.dumps(bodies[case.body]).encode()


async def ask(world: World, one: Operation, case: Case) -> Answer:
    world.app.clock.advance(0.5)  # what is cached is now and then too old
    address = {name: spelled(case.ids, value) for name, value in one.address(world.names).items()}
    if case.ids == "ours" and "tenant_id" in address:
        address["tenant_id"] = STRANGER
    sent = headers_of(world, case, one)
    body = body_of(case, one, world.names)
    query = query_of(world, case, one)
    answer = await world.app.client.call(one.name, Call(address, query, sent, body))
    said = answer.body.decode() + json.dumps(answer.headers)
    asked = json.dumps([address, sent, body.decode(), query])
    assert not [mark for mark in world.marks if mark in said and mark not in asked], (case, said)
    assert not world.trespasses, (case, world.trespasses)
    assert answer.status < 500, (case, said)
    return answer


def is_refused(one: Operation, case: Case, answer: Answer) -> bool:
    """Tell whether the answer gives a stranger nothing."""
    if case.caller in {"spliced", "renamed"}:
        return answer.status == 401
    if one.role == "admin":
        # Where the path names a tenant, another's is absent before its role is looked at.
        return answer.status in {403, 404}
    if not one.parameters or one.name in CREATES_OWN:
        return True
    if case.ids == "ours" and one.parameters == ("tenant_id",):
        return answer.status != 401
    return 400 <= answer.status < 500 and answer.status != 401


@pytest.mark.parametrize("one", operations(), ids=lambda one: one.name)
async def test_a_stranger_sees_and_changes_nothing(one: Operation) -> None:
    async with world() as made:
        before = made.rows()
        assert len(before) > len(SETUP)

        for case in cases_of(one, PER_OPERATION):
            if case.caller in {"spliced", "renamed"}:
                # To refuse a key that names A, the key's hash is looked up where A's keys are: no more.
                made.app.cosmos.transport.watch = lambda _: None
            answer = await ask(made, one, case)
            made.app.cosmos.transport.watch = made.watch
            assert is_refused(one, case, answer), (case, answer)

        assert made.rows() == before
        sent = made.app.runtime.__dict__["sender"].sent
        assert [owner for owner, _, _ in sent].count(OWNER) <= len(SETUP)


@pytest.mark.parametrize(
    "one", [one for one in operations() if one.parameters and one.role != "admin"], ids=lambda one: one.name
)
async def test_foreign_and_absent_look_the_same(one: Operation) -> None:
    if one.name in CREATES_OWN:
        pytest.skip("it makes the stranger's own")
    async with world() as made:
        for case in cases_of(one, 0):
            if (
                case.ids != "theirs"
                or case.caller not in {"boss", "user"}
                or case.headers == "idempotency-key"
            ):
                continue
            foreign = await ask(made, one, case)
            absent = await ask(made, one, Case(case.caller, "absent", case.headers, case.query, case.body))

            assert foreign.status == absent.status, (case, foreign, absent)
            assert foreign.headers.keys() == absent.headers.keys()
            assert _told(foreign) == _told(absent)


def _told(refusal: Answer) -> object:
    """Return what a refusal tells but for the name that was asked for, in whatever form it has."""
    body = refusal.json()
    if "detail" in body:
        return body["error"], sorted(body["detail"])
    return body["error"] | {"message": ""}


@pytest.mark.parametrize(
    "one",
    [one for one in operations() if one.method == "GET" and one.parameters],
    ids=lambda one: one.name,
)
async def test_the_owner_does_see_what_strangers_are_kept_from(one: Operation) -> None:
    async with world() as made:
        made.app.cosmos.transport.watch = lambda _: None
        key = made.app.admin if one.role == "admin" else made.owner

        answer = await made.app.client.call(
            one.name, Call(one.address(made.names), one.needed_query(made.names), key)
        )

        assert answer.status == 200, answer


async def test_an_edge_that_takes_strangers_for_the_owner_is_found() -> None:
    async with world() as made:
        mistaken = FakeAuthenticator()
        key = made.keys["boss"]["authorization"].removeprefix("Bearer ")
        mistaken.add(key, tenant_context(OWNER, Role.TENANT_ADMIN))
        made.app.runtime.__dict__["authenticator"] = mistaken

        with pytest.raises(AssertionError, match=SECRET):
            await ask(made, operation("get_bot"), Case())


async def test_a_store_access_in_the_owners_partition_is_found() -> None:
    async with world() as made:
        await made.app.cosmos.container("bots").read((OWNER,), "nothing of this name")
        query = Query("SELECT c.id FROM c")
        await made.app.cosmos.container("conversations").query((OWNER,), query)

        assert len(made.trespasses) == 2


def test_there_are_as_many_cases_as_are_claimed() -> None:
    assert sum(len(cases_of(one, PER_OPERATION)) for one in operations()) >= GENERATED
