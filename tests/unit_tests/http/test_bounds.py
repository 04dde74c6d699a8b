"""Bounds of bodies and answers: too much is refused before it is built, and strings do not count."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from shared.errors import MalformedRequestError, ValidationError
from shared.http.bounds import AnswerTooLargeError, RouteBounds, request_cost
from shared.http.models import ReplyModel, RequestModel
from shared.http.openapi import build_openapi
from shared.http.pipeline import serve
from shared.http.routes import Routes
from shared.tenancy.context import Role, TenantContext
from tests.support.fakes import Call, FakeClock, RouteClient, request_of, tenant_context
from tests.unit_tests.http.test_pipeline import Services, declare_notes

if TYPE_CHECKING:
    from pydantic import JsonValue

SMALL = RouteBounds(body_bytes=1_000, body_seconds=0.01, containers=5, levels=3, values=8, answer_bytes=100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('[]{},":\\ é'), max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def containers(value: JsonValue) -> int:
    return isinstance(value, list | dict) + sum(containers(one) for one in inside(value))


def values(value: JsonValue) -> int:
    """Count what the scan sees: each object or list, and each comma."""
    members = inside(value)
    return isinstance(value, list | dict) + max(0, len(members) - 1) + sum(values(one) for one in members)


def levels(value: JsonValue) -> int:
    return isinstance(value, list | dict) and 1 + max((levels(one) for one in inside(value)), default=0)


def inside(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


@given(value=JSON, ascii_only=st.booleans())
@pytest.mark.slow
def test_a_body_is_refused_just_where_it_holds_more_than_the_bounds(
    value: JsonValue, *, ascii_only: bool
) -> None:
    content = json.dumps(value, ensure_ascii=ascii_only).encode()
    beyond = containers(value) > 5 or levels(value) > 3 or values(value) > 8

    try:
        SMALL.check_json(content)
    except ValidationError:
        assert beyond
    else:
        assert not beyond


@given(content=st.binary(max_size=200) | st.text('[]{},"\\a').map(str.encode))
def test_whatever_is_scanned_is_passed_or_refused(content: bytes) -> None:
    with suppress(MalformedRequestError, ValidationError):
        SMALL.check_json(content)


def test_what_no_parser_takes_is_no_json() -> None:
    with pytest.raises(MalformedRequestError):
        RouteBounds().check_json(b"[" * 201 + b"]" * 201)


class BookRequest(RequestModel):
    pages: list[int]


class BookReply(ReplyModel):
    text: str


def declare_books(services: Services) -> RouteClient:
    routes = Routes(services, "books")

    @routes.post("v1/books", min_role=Role.USER, bounds=SMALL)
    async def write_book(tenant: TenantContext, book: BookRequest) -> BookReply:
        """Write a book."""
        return BookReply(text="x" * book.pages[0])

    return RouteClient(services)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"pages": [1]}'.ljust(1_000), 200),
        (b'{"pages": [1]}'.ljust(1_001), 413),
        (b'{"pages": [1, 2, 3, 4, 5, 6, 7]}', 200),
        (b'{"pages": [1, 2, 3, 4, 5, 6, 7, 8]}', 422),
        (b'{"pages": [[], [], [], []]}', 422),
        (b'{"pages": [89]}', 200),
        (b'{"pages": [90]}', 422),
    ],
)
async def test_a_route_declares_bounds_of_its_own(body: bytes, status: int) -> None:
    services = Services()
    client = declare_books(services)
    user = services.authenticator.add("user", tenant_context("acme"))

    answer = await client.call("write_book", Call(headers=user, body=body))

    assert answer.status == status


async def test_a_body_that_never_comes_is_408() -> None:
    services = Services()
    client = declare_books(services)
    user = services.authenticator.add("user", tenant_context("acme"))
    request = request_of(client.route("write_book"), Call(headers=user))

    async def never() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    answer = await serve(client.route("write_book"), services, Request(request.scope, never))

    assert answer.status_code == 408
    assert b"BodyTimeoutError" in answer.body


async def test_an_answer_beyond_the_bound_says_how_large_one_may_be() -> None:
    services = Services()
    client = declare_books(services)
    user = services.authenticator.add("user", tenant_context("acme"))

    answer = await client.call("write_book", Call(headers=user, body=b'{"pages": [500]}'))

    assert answer.json()["error"] == AnswerTooLargeError.__name__
    assert answer.json()["detail"] == {"max_bytes": 100}


def test_the_document_tells_the_bounds_of_each_operation() -> None:
    services = Services()
    declare_notes(services)
    declare_books(services)
    paths = build_openapi(services.routes, "1")["paths"]

    assert paths["/api/v1/books"]["post"]["x-bounds"] == {
        "body_bytes": 1_000,
        "body_seconds": 0.01,
        "containers": 5,
        "levels": 3,
        "values": 8,
        "answer_bytes": 100,
    }
    assert paths["/api/v1/notes"]["get"]["x-bounds"] == {"answer_bytes": 8 * 1024 * 1024}


async def test_a_tenant_has_one_answer_at_a_time_where_the_route_says_so() -> None:
    services = Services()
    routes = Routes(services, "volumes")
    working: list[str] = []
    most: list[list[str]] = []
    go_on = asyncio.Event()

    @routes.get("v1/volumes", min_role=Role.USER, bounds=RouteBounds(one_at_a_time=True))
    async def list_volumes(tenant: TenantContext) -> BookReply:
        """List the volumes."""
        working.append(tenant.tenant_id)
        most.append(sorted(working))
        await go_on.wait()
        working.remove(tenant.tenant_id)
        return BookReply(text="x")

    client = RouteClient(services)
    callers = [services.authenticator.add(name, tenant_context(name)) for name in ("acme", "globex")]
    asking = [
        asyncio.create_task(client.call("list_volumes", Call(headers=caller)))
        for caller in callers
        for _ in range(3)
    ]
    for _ in range(100):
        await asyncio.sleep(0)
    go_on.set()
    answers = await asyncio.gather(*asking)

    assert most[:2] == [["acme"], ["acme", "globex"]]
    assert all(len(at_once) == len(set(at_once)) for at_once in most)
    assert [answer.status for answer in answers] == [200] * 6
    told = build_openapi(services.routes, "1")["paths"]["/api/v1/volumes"]["get"]["x-bounds"]
    assert told == {"answer_bytes": 8 * 1024 * 1024, "one_at_a_time": True}


async def test_a_large_body_weighs_as_many_requests_as_it_costs() -> None:
    services = Services(rates={"free": 100})
    declare_notes(services)
    client = RouteClient(services)
    user = services.authenticator.add("user", tenant_context("acme"))
    large = Call({"note_id": "a"}, headers=user, body=b'{"text": "x"}'.ljust(600_000))

    answers = [await client.call("put_note", large) for _ in range(4)]

    assert request_cost(large.body) == 36
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["63", "26", "25", "24"]


@pytest.mark.parametrize("size", [64 * 1024 - 1, 64 * 1024])
@pytest.mark.parametrize("body", [b'{"text": "x"}', b'{"text": 7}'], ids=["taken", "refused"])
async def test_only_large_bodies_of_one_tenant_wait_for_each_other(body: bytes, size: int) -> None:
    clock = FakeClock()
    services = Services(clock, rates={"free": 1_000})
    declare_notes(services)
    client = RouteClient(services)
    for tenant in ("acme", "globex"):
        user = services.authenticator.add(tenant, tenant_context(tenant))
        call = Call({"note_id": "a"}, headers=user, body=body.ljust(size))
        await client.call("put_note", call)
    assert clock.slept == []

    await client.call("put_note", call)

    assert len(clock.slept) == (size >= 64 * 1024)


async def test_a_body_that_weighs_more_than_a_minute_is_taken_by_an_idle_caller() -> None:
    services = Services(rates={"free": 10})
    declare_notes(services)
    user = services.authenticator.add("user", tenant_context("acme"))
    call = Call({"note_id": "a"}, headers=user, body=b'{"text": "x"}'.ljust(600_000))
    client = RouteClient(services)

    statuses = []
    for _ in range(3):
        statuses.append((await client.call("put_note", call)).status)
        services.clock.advance(120)  # type: ignore[attr-defined]  # a FakeClock

    assert statuses == [200, 200, 200]
