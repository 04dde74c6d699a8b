"""The HTTP edge: who gets in, what is refused and how, and what every answer carries."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

import pytest
from pydantic import Field, JsonValue
from starlette.requests import Request

from shared.clock import Clock
from shared.errors import ConflictError, DependencyUnavailableError, RateLimitError
from shared.http.bounds import RouteBounds
from shared.http.idempotency import Idempotency
from shared.http.inputs import IfMatch
from shared.http.models import AcceptedReply, PathModel, QueryModel, RequestModel, TenantPath, VersionedReply
from shared.http.openapi import build_openapi
from shared.http.pipeline import serve
from shared.http.rate_limiter import RequestRateLimiter
from shared.http.route import Answered, Route
from shared.http.routes import Routes
from shared.logging.context import log_context
from shared.resilience.concurrency import Paces
from shared.telemetry.spans import Attributes, SpanFacts, start_telemetry, stop_telemetry
from shared.tenancy.context import PlatformContext, Role, TenantContext, ambient_tenant
from tests.support.fakes import (
    Call,
    FakeAuthenticator,
    FakeClock,
    RouteClient,
    platform_context,
    tenant_context,
)

MAX_BODY_BYTES = RouteBounds().body_bytes


class NoteRequest(RequestModel):
    text: str = Field(min_length=1)
    stars: int = 0
    marks: tuple[str, ...] = Field((), strict=False)


class ScrapRequest(RequestModel):
    scrap: JsonValue


class NotePath(PathModel):
    note_id: str = Field(pattern=r"^[a-z]+$")


class NoteQuery(QueryModel):
    limit: int = Field(10, ge=1, le=100)
    brief: bool = False


class NoteReply(VersionedReply):
    tenant_id: str
    text: str


class NoteAccepted(AcceptedReply):
    note_id: str


@dataclass
class Services:
    """What the edge needs, without a composition root."""

    clock: Clock = field(default_factory=FakeClock)
    authenticator: FakeAuthenticator = field(default_factory=FakeAuthenticator)
    routes: list[Route] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    rates: dict[str, int] = field(default_factory=lambda: {"free": 60})

    @cached_property
    def rate_limiter(self) -> RequestRateLimiter:
        return RequestRateLimiter(self.rates, 60, self.clock)

    @cached_property
    def paces(self) -> Paces:
        return Paces(self.clock)

    @property
    def idempotency(self) -> Idempotency:
        raise AssertionError("no test here sends an Idempotency-Key")


def declare_notes(services: Services) -> None:  # noqa: C901  # one small handler per claim
    routes = Routes(services, "notes")

    @routes.put("v1/notes/{note_id}", min_role=Role.USER)
    async def put_note(
        tenant: TenantContext, path: NotePath, note: NoteRequest, if_match: IfMatch | None
    ) -> NoteReply:
        """Keep a note."""
        text = f"{path.note_id} {note.text} {note.stars} {if_match} {log_context().tenant_id}"
        return NoteReply(tenant_id=ambient_tenant().tenant_id, text=text, etag='"7"')

    @routes.post("v1/notes", min_role=Role.TENANT_ADMIN, status=202)
    async def accept_note(tenant: TenantContext, note: NoteRequest) -> NoteAccepted:
        """Take a note for later."""
        return NoteAccepted(note_id=note.text, status_url=f"/api/v1/notes/{note.text}")

    @routes.get("v1/notes", min_role=Role.USER)
    async def list_notes(tenant: TenantContext, query: NoteQuery) -> NoteReply:
        """List the notes."""
        return NoteReply(tenant_id=tenant.tenant_id, text=str(query.limit))

    @routes.patch("v1/notes/{note_id}", min_role=Role.USER, extra_statuses={429: "The note is not taken now"})
    async def patch_note(tenant: TenantContext, path: NotePath, note: NoteRequest) -> Answered[NoteReply]:
        """Change a note."""
        reply = NoteReply(tenant_id=tenant.tenant_id, text=note.text, etag='"8"')
        return Answered(reply, 429 if note.stars else None, {"x-note": path.note_id})

    @routes.delete("v1/notes/{note_id}", min_role=Role.USER)
    async def delete_note(tenant: TenantContext, path: NotePath) -> None:
        """Forget a note."""
        match path.note_id:
            case "conflict":
                raise ConflictError("The note is pinned", {"note_id": path.note_id})
            case "busy":
                raise RateLimitError("Too many notes", retry_after=1.2)
            case "down":
                raise DependencyUnavailableError("The note store")
            case "defect":
                raise RuntimeError("an api key of tk.secret")

    @routes.get("v1/tenants/{tenant_id}/notes", min_role=Role.TENANT_ADMIN)
    async def tenant_notes(tenant: TenantContext, path: TenantPath) -> NoteReply:
        """Show a tenant's notes."""
        return NoteReply(tenant_id=tenant.tenant_id, text=tenant.principal)

    @routes.post("v1/scraps", min_role=Role.USER)
    async def put_scrap(tenant: TenantContext, scrap: ScrapRequest) -> NoteReply:
        """Take anything."""
        return NoteReply(tenant_id=tenant.tenant_id, text=str(scrap.scrap))

    @routes.get("v1/endless-notes", min_role=Role.USER, seconds=0.01)
    async def endless_notes(tenant: TenantContext) -> NoteReply:
        """Wait for a note that never comes."""
        try:
            await asyncio.Event().wait()
        finally:
            services.ended.append("endless_notes")
        raise AssertionError("unreachable")

    @routes.get("v1/impatient-notes", min_role=Role.USER)
    async def impatient_notes(tenant: TenantContext) -> NoteReply:
        """Run out of a time of its own."""
        raise TimeoutError

    @routes.get("v1/all-notes", min_role=Role.ADMIN)
    async def all_notes(platform: PlatformContext) -> NoteReply:
        """Show everybody's notes."""
        return NoteReply(tenant_id="", text=platform.principal)

    @routes.get("ping", min_role=None)
    async def ping() -> NoteReply:
        """Answer."""
        return NoteReply(tenant_id=str(log_context().tenant_id), text="pong")


@pytest.fixture
def services() -> Services:
    services = Services()
    declare_notes(services)
    return services


@pytest.fixture
def client(services: Services) -> RouteClient:
    return RouteClient(services)


@pytest.fixture
def user(services: Services) -> dict[str, str]:
    return services.authenticator.add("user", tenant_context("acme"))


@pytest.fixture
def tenant_admin(services: Services) -> dict[str, str]:
    return services.authenticator.add("boss", tenant_context("acme", Role.TENANT_ADMIN))


@pytest.fixture
def admin(services: Services) -> dict[str, str]:
    return services.authenticator.add("admin", platform_context())


async def test_a_handler_gets_the_tenant_and_the_checked_models(
    client: RouteClient, user: dict[str, str]
) -> None:
    call = Call.of({"text": "hi", "stars": 3}, headers=user | {"if-match": '"6"'}, note_id="a")

    answer = await client.call("put_note", call)

    assert answer.status == 200
    assert answer.json() == {"etag": '"7"', "tenant_id": "acme", "text": 'a hi 3 "6" acme'}
    assert answer.headers["etag"] == '"7"'
    assert answer.headers["content-type"] == "application/json"


async def test_accepted_work_says_where_to_look(client: RouteClient, tenant_admin: dict[str, str]) -> None:
    answer = await client.call("accept_note", Call.of({"text": "x"}, headers=tenant_admin))

    assert (answer.status, answer.headers["location"]) == (202, "/api/v1/notes/x")


async def test_a_reply_may_have_a_status_and_headers_of_its_own(
    client: RouteClient, user: dict[str, str]
) -> None:
    usual = await client.call("patch_note", Call.of({"text": "x"}, headers=user, note_id="a"))
    unusual = await client.call("patch_note", Call.of({"text": "x", "stars": 1}, headers=user, note_id="a"))

    assert (usual.status, unusual.status) == (200, 429)
    assert usual.body == unusual.body
    assert unusual.headers["x-note"] == "a"
    assert unusual.headers["etag"] == '"8"'


def test_a_status_of_a_routes_own_is_documented_beside_the_edges_refusal(services: Services) -> None:
    operation = build_openapi(services.routes, "1")["paths"]["/api/v1/notes/{note_id}"]["patch"]

    described = operation["responses"]["429"]
    assert described["description"] == "The note is not taken now"
    schemas = described["content"]["application/json"]["schema"]["anyOf"]
    assert [schema["$ref"].rpartition("/")[2] for schema in schemas] == ["NoteReply", "ErrorReply"]


async def test_nothing_to_say_is_an_empty_answer(client: RouteClient, user: dict[str, str]) -> None:
    answer = await client.call("delete_note", Call({"note_id": "a"}, headers=user))

    assert (answer.status, answer.body) == (204, b"")


async def test_a_callers_request_id_comes_back_if_it_is_a_valid_one(client: RouteClient) -> None:
    answer = await client.call("ping", Call(headers={"x-request-id": "abc-1"}))

    assert answer.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "a\r\nset-cookie: x"])
async def test_an_invalid_request_id_is_replaced(client: RouteClient, sent: str) -> None:
    answer = await client.call("ping", Call(headers={"x-request-id": sent}))

    assert len(answer.headers["x-request-id"]) == 32


async def test_an_open_route_asks_for_no_key(client: RouteClient) -> None:
    answer = await client.call("ping")

    assert (answer.status, answer.json()["tenant_id"]) == (200, "None")


async def test_a_refusal_has_the_documented_shape(client: RouteClient) -> None:
    answer = await client.call("list_notes", Call(headers={"x-request-id": "abc"}))

    assert answer.status == 401
    assert answer.json() == {
        "error": "AuthenticationError",
        "message": "The API key is not valid",
        "detail": {},
        "timestamp": "2026-01-31T10:30:00+00:00",
        "request_id": "abc",
    }


async def test_a_role_below_the_routes_is_403(client: RouteClient, user: dict[str, str]) -> None:
    answer = await client.call("accept_note", Call.of({"text": "x"}, headers=user))

    assert (answer.status, answer.json()["error"]) == (403, "PermissionDeniedError")


async def test_the_role_is_checked_before_the_body_is_read(client: RouteClient, user: dict[str, str]) -> None:
    answer = await client.call("accept_note", Call(headers=user, body=b"not json"))

    assert answer.status == 403


async def test_a_body_that_is_not_json_is_400(client: RouteClient, user: dict[str, str]) -> None:
    answer = await client.call("put_note", Call({"note_id": "a"}, headers=user, body=b"{"))

    assert (answer.status, answer.json()["error"]) == (400, "MalformedRequestError")


@pytest.mark.parametrize(
    ("body", "field_name"),
    [
        ({}, "body.text"),
        ({"text": ""}, "body.text"),
        ({"text": 5}, "body.text"),
        ({"text": "x", "stars": "5"}, "body.stars"),
        ({"text": "x", "tenant_id": "victim"}, "body.tenant_id"),
        ([], "body"),
        (None, "body"),
    ],
)
async def test_an_invalid_field_is_422_and_named(
    client: RouteClient, user: dict[str, str], body: object, field_name: str
) -> None:
    answer = await client.call("put_note", Call.of(body, headers=user, note_id="a"))

    assert answer.status == 422
    assert list(answer.json()["detail"]["fields"]) == [field_name]
    assert field_name in answer.json()["message"]


async def test_an_invalid_path_or_query_is_422_and_named(client: RouteClient, user: dict[str, str]) -> None:
    path = await client.call("delete_note", Call({"note_id": "A/b"}, headers=user))
    query = await client.call("list_notes", Call(query="limit=0", headers=user))
    unknown = await client.call("list_notes", Call(query="tenant_id=victim", headers=user))

    assert [answer.status for answer in (path, query, unknown)] == [422, 422, 422]
    assert list(path.json()["detail"]["fields"]) == ["path.note_id"]
    assert list(query.json()["detail"]["fields"]) == ["query.limit"]
    assert list(unknown.json()["detail"]["fields"]) == ["query.tenant_id"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_of_just_a_megabyte_is_taken(
    client: RouteClient, user: dict[str, str], *, announced: bool
) -> None:
    body = b'{"text": "x"}'.ljust(MAX_BODY_BYTES)
    headers = user | ({"content-length": str(len(body))} if announced else {})

    answer = await client.call("put_note", Call({"note_id": "a"}, headers=headers, body=body))

    assert answer.status == 200


@pytest.mark.parametrize("limit", ["1_0", "2.0", "+5", " 5", "05", "\u0665", "1e1", "", "0x1", "-0x1"])
async def test_a_whole_number_has_one_spelling(client: RouteClient, user: dict[str, str], limit: str) -> None:
    answer = await client.call("list_notes", Call(query=f"limit={quote(limit)}", headers=user))

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["query.limit"])


@pytest.mark.parametrize(
    ("brief", "status"), [("true", 200), ("false", 200), ("on", 422), ("1", 422), ("True", 422)]
)
async def test_true_and_false_have_one_spelling_each(
    client: RouteClient, user: dict[str, str], brief: str, status: int
) -> None:
    answer = await client.call("list_notes", Call(query=f"brief={brief}", headers=user))

    assert answer.status == status


async def test_a_body_over_a_megabyte_is_413(client: RouteClient, user: dict[str, str]) -> None:
    body = json.dumps({"text": "x" * MAX_BODY_BYTES}).encode()

    answer = await client.call("put_note", Call({"note_id": "a"}, headers=user, body=body))

    assert (answer.status, answer.json()["detail"]) == (413, {"max_bytes": MAX_BODY_BYTES})


@pytest.mark.parametrize(
    ("note_id", "expected"),
    [
        ("conflict", (409, "ConflictError", None)),
        ("busy", (429, "RateLimitError", "2")),
        ("down", (503, "DependencyUnavailableError", "1")),
    ],
)
async def test_a_domain_error_is_rendered_with_its_status(
    client: RouteClient, user: dict[str, str], note_id: str, expected: tuple[int, str, str | None]
) -> None:
    answer = await client.call("delete_note", Call({"note_id": note_id}, headers=user))

    assert (answer.status, answer.json()["error"], answer.headers.get("retry-after")) == expected


async def test_a_defect_is_logged_and_tells_the_caller_nothing_of_itself(
    client: RouteClient, user: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await client.call("delete_note", Call({"note_id": "defect"}, headers=user))

    assert (answer.status, answer.json()["error"]) == (500, "InternalError")
    assert b"secret" not in answer.body
    assert "RuntimeError" in caplog.text


async def test_the_administrator_acts_for_a_tenant_that_the_header_names(
    client: RouteClient, user: dict[str, str], admin: dict[str, str]
) -> None:
    unnamed = await client.call("list_notes", Call(headers=admin))
    named = await client.call("list_notes", Call(headers=admin | {"x-tenant-id": "acme"}))
    unknown = await client.call("list_notes", Call(headers=admin | {"x-tenant-id": "nobody"}))

    assert (unnamed.status, list(unnamed.json()["detail"]["fields"])) == (422, ["header.x-tenant-id"])
    assert (named.status, named.json()["tenant_id"]) == (200, "acme")
    assert unknown.status == 404


async def test_a_tenants_key_cannot_name_another_tenant(
    services: Services, client: RouteClient, user: dict[str, str]
) -> None:
    services.authenticator.add("other", tenant_context("globex"))

    answer = await client.call("list_notes", Call(headers=user | {"x-tenant-id": "globex"}))

    assert answer.json()["tenant_id"] == "acme"


async def test_a_route_below_a_tenant_is_its_own_and_the_administrators(
    services: Services, client: RouteClient, tenant_admin: dict[str, str], admin: dict[str, str]
) -> None:
    other = services.authenticator.add("other", tenant_context("globex", Role.TENANT_ADMIN))
    path = {"tenant_id": "acme"}

    own = await client.call("tenant_notes", Call(path, headers=tenant_admin))
    platforms = await client.call("tenant_notes", Call(path, headers=admin))
    foreign = await client.call("tenant_notes", Call(path, headers=other))
    absent = await client.call("tenant_notes", Call({"tenant_id": "nobody"}, headers=other))

    assert [own.status, platforms.status, foreign.status, absent.status] == [200, 200, 404, 404]
    assert foreign.json()["message"].replace("acme", "nobody") == absent.json()["message"]


async def test_a_platform_route_is_the_administrators_alone(
    client: RouteClient, tenant_admin: dict[str, str], admin: dict[str, str]
) -> None:
    assert (await client.call("all_notes", Call(headers=tenant_admin))).status == 403
    assert (await client.call("all_notes", Call(headers=admin))).json()["text"] == "admin"


async def test_every_answer_forbids_caching_and_sniffing(client: RouteClient, user: dict[str, str]) -> None:
    good = await client.call("list_notes", Call(headers=user))
    bad = await client.call("list_notes")

    for answer in (good, bad):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_every_request_is_one_line_that_says_whose_it_was_and_how_it_ended(
    client: RouteClient, user: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, str | None, str | None]] = []

    class Watch(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            seen.append((record.getMessage(), log_context().tenant_id, log_context().request_id))
            return True

    watch = Watch()
    caplog.handler.addFilter(watch)
    with caplog.at_level(logging.INFO):
        await client.call("list_notes", Call(headers=user | {"x-request-id": "r1"}))
        await client.call("delete_note", Call({"note_id": "conflict"}, headers=user | {"x-request-id": "r2"}))
        await client.call("list_notes", Call(headers={"x-request-id": "r3"}))
    caplog.handler.removeFilter(watch)

    assert seen == [
        ("Request answered", "acme", "r1"),
        ("Request refused", "acme", "r2"),
        ("Request refused", None, "r3"),
    ]
    assert log_context().tenant_id is None


async def test_a_caller_over_its_rate_is_429_and_told_when_to_come_back(
    services: Services, client: RouteClient, user: dict[str, str]
) -> None:
    answers = [await client.call("list_notes", Call(headers=user)) for _ in range(61)]
    assert isinstance(services.clock, FakeClock)
    services.clock.advance(int(answers[-1].headers["retry-after"]))
    later = await client.call("list_notes", Call(headers=user))

    assert [answer.status for answer in answers] == [200] * 60 + [429]
    assert answers[0].headers["x-ratelimit-limit"] == "60"
    assert [answers[turn].headers["x-ratelimit-remaining"] for turn in (0, 59, 60)] == ["59", "0", "0"]
    assert [answers[turn].headers["x-ratelimit-reset"] for turn in (0, 59, 60)] == ["1", "60", "60"]
    assert answers[-1].json()["error"] == "RequestRateExceededError"
    assert later.status == 200


async def test_every_answer_to_a_valid_key_tells_the_rate_and_no_other_does(
    client: RouteClient, user: dict[str, str]
) -> None:
    forbidden = await client.call("accept_note", Call(headers=user))
    invalid = await client.call("list_notes", Call(query="limit=0", headers=user))
    stranger = await client.call("list_notes")
    anybody = await client.call("ping")

    assert [answer.status for answer in (forbidden, invalid, stranger, anybody)] == [403, 422, 401, 200]
    asked_to_sign_in = ["www-authenticate" in answer.headers for answer in (forbidden, invalid, stranger)]
    assert asked_to_sign_in == [False, False, True]
    for answer in (forbidden, invalid):
        assert "x-ratelimit-remaining" in answer.headers
    for answer in (stranger, anybody):
        assert "x-ratelimit-remaining" not in answer.headers


async def test_the_administrator_acts_at_its_own_cost(
    client: RouteClient, user: dict[str, str], admin: dict[str, str]
) -> None:
    await client.call("list_notes", Call(headers=admin | {"x-tenant-id": "acme"}))
    platforms = await client.call("all_notes", Call(headers=admin))
    tenants = await client.call("list_notes", Call(headers=user))

    assert platforms.headers["x-ratelimit-remaining"] == "58"
    assert tenants.headers["x-ratelimit-remaining"] == "59"


async def test_what_does_not_end_by_itself_is_stopped_when_its_time_is_over(
    services: Services, client: RouteClient, user: dict[str, str]
) -> None:
    answer = await client.call("endless_notes", Call(headers=user))

    assert (answer.status, answer.json()["error"]) == (504, "DeadlineExceededError")
    assert services.ended == ["endless_notes"]


async def test_a_timeout_that_nobody_expected_is_a_defect_and_no_deadline(
    client: RouteClient, user: dict[str, str]
) -> None:
    answer = await client.call("impatient_notes", Call(headers=user))

    assert answer.status == 500


@pytest.mark.parametrize("name", ["limit", "%6cimit"])
async def test_a_parameter_that_is_given_twice_is_422(
    client: RouteClient, user: dict[str, str], name: str
) -> None:
    answer = await client.call("list_notes", Call(query=f"limit=1&{name}=2", headers=user))

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["query.limit"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b'{"text": "\xe2\x82"}',
        b'{"text": "\\ud800"}',
        b'{"text": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"text": "x"} {}',
        b"\x00",
    ],
)
async def test_a_body_that_is_no_json_is_400_however_broken(
    client: RouteClient, user: dict[str, str], body: bytes
) -> None:
    answer = await client.call("put_note", Call({"note_id": "a"}, headers=user, body=body))

    assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "x", "stars": NaN}',
        b'{"text": "x", "stars": 1e999}',
        b'{"text": "x", "stars": 1.5}',
        b'{"text": Infinity}',
        b'{"text": "x", "text": 5}',
    ],
)
async def test_numbers_that_are_none_are_422(client: RouteClient, user: dict[str, str], body: bytes) -> None:
    answer = await client.call("put_note", Call({"note_id": "a"}, headers=user, body=body))

    assert answer.status == 422


async def test_a_whole_number_of_any_size_is_no_defect(client: RouteClient, user: dict[str, str]) -> None:
    body = b'{"text": "x", "stars": ' + b"9" * 10_000 + b"}"

    answers = [
        await client.call("put_note", Call({"note_id": "a"}, headers=user, body=body)),
        await client.call("list_notes", Call(query="limit=" + "9" * 10_000, headers=user)),
    ]

    assert [answer.status for answer in answers] == [400, 422]


async def test_an_announced_body_that_is_too_large_is_refused_unread(
    client: RouteClient, user: dict[str, str]
) -> None:
    call = Call({"note_id": "a"}, headers=user | {"content-length": str(MAX_BODY_BYTES + 1)}, body=b"{}")

    assert (await client.call("put_note", call)).status == 413


@pytest.mark.parametrize("etag", ["", "x" * 256, "\x01", "ü"])
async def test_an_if_match_that_is_no_header_text_is_422(
    client: RouteClient, user: dict[str, str], etag: str
) -> None:
    call = Call.of({"text": "x"}, headers=user | {"if-match": etag}, note_id="a")

    assert list((await client.call("put_note", call)).json()["detail"]["fields"]) == ["header.if-match"]


@pytest.mark.parametrize(
    ("scrap", "status"),
    [
        ("9007199254740991", 200),
        ("-9007199254740991", 200),
        ("9007199254740992", 422),
        ("-9007199254740992", 422),
        ("9" * 4_000, 422),
        ("1.7e308", 200),
        ("1e309", 422),
        ("-1e400", 422),
        ("1" * 400 + ".0", 422),
        ("1e-400", 200),
        ("NaN", 400),
        ("-Infinity", 400),
        ('"NaN is no number, nor is 12345678901234567890 here, nor 1e999"', 200),
        ("[" * 63 + "]" * 63, 200),
        ("[" * 64 + "]" * 64, 422),
        ('{"a":' * 64 + "1" + "}" * 64, 422),
        ("[" + ",".join(["[]"] * 500) + "]", 200),
        ('"' + "[" * 500 + '"', 200),
        ("[" * 5_000 + "]" * 5_000, 400),
    ],
)
async def test_json_that_not_every_reader_reads_alike_is_refused(
    client: RouteClient, user: dict[str, str], scrap: str, status: int
) -> None:
    answer = await client.call("put_scrap", Call(headers=user, body=f'{{"scrap": {scrap}}}'.encode()))

    assert answer.status == status


async def test_a_route_without_parameters_takes_none(client: RouteClient, user: dict[str, str]) -> None:
    answer = await client.call("delete_note", Call({"note_id": "a"}, query="force=1", headers=user))

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["query.force"])


async def test_a_header_that_is_given_twice_is_422(
    services: Services, client: RouteClient, user: dict[str, str]
) -> None:
    route = client.route("put_note")
    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/api/v1/notes/a",
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in user.items()]
        + [(b"if-match", b'"1"'), (b"if-match", b'"2"')],
        "path_params": {"note_id": "a"},
    }

    answer = await serve(route, services, Request(scope, nothing_more))

    assert answer.status_code == 422
    assert b"header.if-match" in answer.body


def twice(sent: dict[str, str], name: str, *values: str) -> Request:
    given = [*sent.items(), *((name, value) for value in values)]
    headers = [(key.encode(), value.encode()) for key, value in given]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    return Request(scope | {"path_params": {}}, nothing_more)


async def test_the_administrator_names_one_tenant_and_no_two(
    services: Services, client: RouteClient, user: dict[str, str], admin: dict[str, str]
) -> None:
    services.authenticator.add("other", tenant_context("globex"))

    answer = await serve(client.route("list_notes"), services, twice(admin, "x-tenant-id", "acme", "globex"))

    assert answer.status_code == 422
    assert b"header.x-tenant-id" in answer.body


async def test_of_two_credentials_none_is_taken(
    services: Services, client: RouteClient, user: dict[str, str]
) -> None:
    other = services.authenticator.add("other", tenant_context("globex"))

    answer = await serve(client.route("list_notes"), services, twice(user, *next(iter(other.items()))))

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        "{" + ",".join(f'"{number}":0' for number in range(50_000)) + "}",
        '{"text":"x","marks":[' + ",".join("0" for _ in range(50_000)) + "]}",
    ],
)
async def test_a_body_of_nothing_but_problems_is_not_answered_at_length(
    client: RouteClient, user: dict[str, str], body: str
) -> None:
    answer = await client.call("put_note", Call({"note_id": "a"}, headers=user, body=body.encode()))

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["body"])
    assert len(answer.body) < 1_000


async def test_a_body_that_ends_early_is_400_and_no_defect(
    services: Services, client: RouteClient, user: dict[str, str]
) -> None:
    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/api/v1/notes/a",
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in user.items()],
        "path_params": {"note_id": "a"},
    }

    answer = await serve(client.route("put_note"), services, Request(scope, nothing_more))

    assert answer.status_code == 400


async def nothing_more() -> dict[str, str]:
    return {"type": "http.disconnect"}


class SeenWork:
    """An exporter that keeps what it was told."""

    def __init__(self) -> None:
        self.facts: list[SpanFacts] = []

    @contextmanager
    def work(self, _name: str, facts: SpanFacts, _headers: Mapping[str, str] | None) -> Iterator[None]:
        yield
        self.facts.append(facts)

    def add(self, name: str, amount: float, attributes: Attributes) -> None:
        """Count nothing."""

    async def stop(self) -> None:
        """Keep what is there."""


@pytest.mark.parametrize(("note", "status", "error"), [("x", 204, None), ("busy", 429, "RateLimitError")])
async def test_a_span_has_the_status_the_tenant_and_the_error_of_its_answer(
    note: str, status: int, error: str | None
) -> None:
    services = Services()
    declare_notes(services)
    user = services.authenticator.add("user", tenant_context("acme"))
    seen = SeenWork()
    start_telemetry(lambda: seen)
    try:
        await RouteClient(services).call("delete_note", Call({"note_id": note}, headers=user))
    finally:
        await stop_telemetry()

    (facts,) = seen.facts
    assert facts.measured["http.response.status_code"] == status
    assert facts.measured.get("error.type") == error
    assert facts.attributes["tenantry.tenant_id"] == "acme"
