"""`TokenClient` over both transports without a socket, and what HTTP alone can get wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    LockNotFoundError,
    MalformedRequestError,
    PermissionDeniedError,
    ValidationError,
)
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.tenancy.context import Role, TenantContext, acting_for
from shared.tokens.client import TokenClient
from shared.tokens.client_http import (
    NAME,
    POLICY,
    AzureAdToken,
    HttpAnswer,
    HttpRequest,
    HttpTransport,
    TenantKey,
    classify,
)
from tests.support.fakes import Call, FakeClock
from tests.support.token_client_contract import TokenClientContract
from tests.support.whole_app import WholeApp, whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from azure.core.credentials_async import AsyncTokenCredential

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
    requests: list[HttpRequest] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpAnswer:
        self.requests.append(request)
        url = urlsplit(request.url)
        call = Call(query=url.query, headers=request.headers, body=request.body or b"")
        answer = await self.app.client.call(ROUTES[request.method, url.path], call)
        return HttpAnswer(answer.status, answer.headers, answer.body)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class FixedCredential:
    """Always the same header."""

    header: str = "Bearer key"

    async def authorization(self) -> str:
        return self.header


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with whole_app() as opened:
        for tenant_id in ("acme", "globex"):
            await opened.new_tenant(tenant_id, "standard")
        yield opened


async def context(app: WholeApp, tenant_id: str) -> TenantContext:
    headers = await app.new_key(tenant_id, Role.USER)
    found = await app.runtime.authenticator.authenticate(headers["authorization"])
    assert isinstance(found, TenantContext)
    return found


class TestInProcess(TokenClientContract):
    """The contract over the ledger of the process."""

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
    credential = FixedCredential(headers["authorization"])
    return over(RouteSender(app), app.clock, credential)


def over(
    sender: RouteSender | ScriptedSender, clock: FakeClock, credential: FixedCredential | AzureAdToken
) -> TokenClient:
    dependency = Dependency(NAME, classify, POLICY, clock)
    transport = HttpTransport("http://token-counter:8000/", sender, credential, dependency)
    return TokenClient("my_app", transport=transport)


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


@dataclass
class ScriptedSender:
    """Answers by a script, the last line again and again."""

    script: list[HttpAnswer | Exception | Callable[[], HttpAnswer]]
    requests: list[HttpRequest] = field(default_factory=list)
    is_open: bool = False

    async def send(self, request: HttpRequest) -> HttpAnswer:
        self.requests.append(request)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, HttpAnswer) else step()

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False


def answer(status: int, body: object = None, **headers: str) -> HttpAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status, named, b"" if body is None else json.dumps(body).encode())


LOCKED = answer(200, {"allowed": True, "request_id": "a:b", "message": "Locked"})


def scripted(
    *script: HttpAnswer | Exception, clock: FakeClock | None = None
) -> tuple[TokenClient, ScriptedSender]:
    sender = ScriptedSender([*script])
    return over(sender, clock or FakeClock(), FixedCredential()), sender


async def test_a_call_is_the_documents_request() -> None:
    client, sender = scripted(LOCKED)

    await client.lock_tokens(1000, model="gpt-4o")

    [request] = sender.requests
    assert (request.method, request.url) == ("POST", "http://token-counter:8000/api/v1/tokens/lock")
    assert request.headers["authorization"] == "Bearer key"
    assert json.loads(request.body or b"") == {"app_id": "my_app", "token_count": 1000, "model": "gpt-4o"}
    assert "Bearer key" not in repr(request)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_passing_failure_is_tried_three_times_and_then_named(status: int) -> None:
    client, sender = scripted(answer(status))

    with pytest.raises(DependencyUnavailableError, match="The token counter is not available"):
        await client.lock_tokens(1)

    assert len(sender.requests) == 3


async def test_a_lost_connection_is_tried_again() -> None:
    client, sender = scripted(ConnectionError("refused"), answer(503), LOCKED)

    assert (await client.lock_tokens(1)).allowed
    assert len(sender.requests) == 3


async def test_retry_after_is_waited_for_and_handed_on() -> None:
    clock = FakeClock()
    client, _ = scripted(answer(503, retry_after="7"), LOCKED, clock=clock)
    await client.lock_tokens(1)
    assert 7 <= sum(clock.slept) < 8

    client, sender = scripted(answer(503, retry_after="600"), clock=clock)
    with pytest.raises(DependencyUnavailableError) as refused:
        await client.lock_tokens(1)
    assert refused.value.retry_after == 600
    assert len(sender.requests) == 1


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "nan", "inf", ""])
async def test_a_retry_after_that_is_no_number_of_seconds_is_not_waited_for(header: str) -> None:
    clock = FakeClock()
    client, _ = scripted(answer(503, retry_after=header), LOCKED, clock=clock)

    assert (await client.lock_tokens(1)).allowed
    assert sum(clock.slept) < 1


async def test_a_counter_that_keeps_failing_is_left_alone_for_a_while() -> None:
    clock = FakeClock()
    client, sender = scripted(answer(503), clock=clock)
    for _ in range(5):
        with pytest.raises(DependencyUnavailableError):
            await client.get_status()
    before = len(sender.requests)

    with pytest.raises(DependencyUnavailableError):
        await client.get_status()
    assert len(sender.requests) == before

    clock.advance(6)
    sender.script = [LOCKED]
    assert (await client.lock_tokens(1)).allowed


async def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    class Hanging(ScriptedSender):
        async def send(self, request: HttpRequest) -> HttpAnswer:
            self.requests.append(request)
            raise TimeoutError

    sender = Hanging([])
    dependency = Dependency(NAME, classify, Policy(attempts=3), FakeClock())
    transport = HttpTransport("https://counter.example", sender, FixedCredential(), dependency)

    with pytest.raises(DependencyTimeoutError):
        await TokenClient("my_app", transport=transport).get_status()
    assert len(sender.requests) == 3


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (answer(400, {"error": "MalformedRequestError", "message": "no JSON"}), MalformedRequestError),
        (answer(401, {"error": "AuthenticationError", "message": "wrong key"}), AuthenticationError),
        (answer(403, {"error": "PermissionDeniedError", "message": "role"}), PermissionDeniedError),
        (answer(404, {"error": "LockNotFoundError", "message": "none"}), LockNotFoundError),
        (answer(404, {"error": "RouteNotFoundError", "message": "none"}), DependencyUnavailableError),
        (answer(404), DependencyUnavailableError),
        (answer(302, location="http://elsewhere"), DependencyUnavailableError),
        (answer(200, {"hello": "world"}), DependencyUnavailableError),
        (answer(200), DependencyUnavailableError),
        (HttpAnswer(401, {}, b"<html>a proxy"), AuthenticationError),
    ],
)
async def test_a_refusal_keeps_its_meaning_and_is_not_tried_again(
    refusal: HttpAnswer, expected: type[Exception]
) -> None:
    client, sender = scripted(refusal)

    with pytest.raises(expected):
        await client.release_tokens("a:b")
    assert len(sender.requests) == 1


async def test_an_invalid_request_names_the_servers_fields() -> None:
    detail = {"fields": {"token_count": "must be <= 20000"}}
    client, _ = scripted(answer(422, {"error": "ValidationError", "message": "too many", "detail": detail}))

    with pytest.raises(ValidationError) as refused:
        await client.lock_tokens(10**8)
    assert (refused.value.message, refused.value.detail) == ("too many", detail)


async def test_a_block_keeps_the_connections_and_closes_them() -> None:
    client, sender = scripted(LOCKED)
    async with client:
        assert sender.is_open
    assert not sender.is_open


@dataclass
class FakeCredential:
    """Issues tokens that live an hour; fails when told."""

    clock: FakeClock
    failures: list[Exception] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    async def get_token(self, *scopes: str) -> SimpleNamespace:
        if self.failures:
            raise self.failures.pop(0)
        self.scopes += scopes
        ends = int(self.clock.now().timestamp()) + 3600
        return SimpleNamespace(token=f"token{len(self.scopes)}", expires_on=ends)


def azure_ad(clock: FakeClock, *failures: Exception) -> tuple[AzureAdToken, FakeCredential]:
    credential = FakeCredential(clock, [*failures])
    return AzureAdToken("api://token-counter/", clock, cast("AsyncTokenCredential", credential)), credential


async def test_azure_ad_tokens_are_for_the_resource_and_renewed_before_they_end() -> None:
    clock = FakeClock()
    token, credential = azure_ad(clock)
    sender = ScriptedSender([LOCKED])
    client = over(sender, clock, token)

    for seconds in (0, 3000, 400):
        clock.advance(seconds)
        await client.lock_tokens(1)

    sent = [request.headers["authorization"] for request in sender.requests]
    assert sent == ["Bearer token1", "Bearer token1", "Bearer token2"]
    assert credential.scopes == ["api://token-counter/.default"] * 2


async def test_azure_ad_that_issues_no_token_is_named_and_one_that_is_down_tried_again() -> None:
    clock = FakeClock()
    token, _ = azure_ad(clock, ServiceRequestError("down"))
    assert (await over(ScriptedSender([LOCKED]), clock, token).lock_tokens(1)).allowed

    token, _ = azure_ad(clock, ClientAuthenticationError("no such app"))
    with pytest.raises(AuthenticationError, match="issues no token"):
        await over(ScriptedSender([LOCKED]), clock, token).lock_tokens(1)


def test_the_arguments_name_one_way_to_a_ledger() -> None:
    sender = ScriptedSender([LOCKED])
    dependency = Dependency(NAME, classify, POLICY, FakeClock())
    transport = HttpTransport("http://a", sender, FixedCredential(), dependency)
    with pytest.raises(ValueError, match="a base_url or a transport"):
        TokenClient("my_app")
    with pytest.raises(ValueError, match="a base_url or a transport"):
        TokenClient("my_app", "http://a", transport=transport)
    with pytest.raises(ValueError, match="resource_uri"):
        TokenClient("my_app", "http://a", use_auth=True)
    for wrong in ("ftp://a", "token-counter:8000", "http://", ""):
        with pytest.raises(ValueError, match="base_url"):
            TokenClient("my_app", wrong)
    TokenClient("my_app", "http://token-counter:8000", "api://token-counter", use_auth=True)


async def test_without_a_key_the_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN_COUNTER_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="TOKEN_COUNTER_KEY"):
        await TokenClient("my_app", "http://token-counter:8000").lock_tokens(1)

    monkeypatch.setenv("TOKEN_COUNTER_KEY", "tk.acme.k.s")
    assert await TenantKey().authorization() == "Bearer tk.acme.k.s"
