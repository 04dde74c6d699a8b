"""`TokenClient` over HTTP: attempts, waits, the breaker, errors and credentials."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from tenantry_client.errors import (
    CredentialError,
    ForbiddenError,
    InvalidRequestError,
    MissingKeyError,
    NoAnswerInTimeError,
    NoSuchLockError,
    OutOfReachError,
    TooManyRequestsError,
)
from tenantry_client.http.credentials import AzureAdToken, EnvironmentKey, FixedKey
from tenantry_client.http.service import HttpService, Reply, Times
from tenantry_client.token_client import KEY_VARIABLES, NAME, HttpTransport, TokenClient
from tests.support.virtual_time import simulate
from tests.unit_tests.tenantry_client.scripted import ScriptedSender, answer

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from tenantry_client.http.service import Credential
    from tests.unit_tests.tenantry_client.scripted import Step

LOCKED = answer(200, {"allowed": True, "request_id": "a:b", "message": "Locked"})


def over(
    sender: ScriptedSender, credential: Credential | None = None, times: Times | None = None
) -> TokenClient:
    service = HttpService(
        "http://token-counter:8000/", credential or FixedKey("key"), sender, times, name=NAME
    )
    return TokenClient("my_app", transport=HttpTransport(service))


def scripted(*script: Step) -> tuple[TokenClient, ScriptedSender]:
    sender = ScriptedSender([*script])
    return over(sender), sender


async def timed(call: asyncio._CoroutineLike[object]) -> float:
    """Run a call to its end and return the seconds that it waited."""
    began = asyncio.get_running_loop().time()
    await call
    return asyncio.get_running_loop().time() - began


async def test_a_call_is_the_documents_request() -> None:
    client, sender = scripted(LOCKED)

    await client.lock_tokens(1000, model="gpt-4o")

    [request] = sender.requests
    assert (request.method, request.url) == ("POST", "http://token-counter:8000/api/v1/tokens/lock")
    assert request.headers["authorization"] == "Bearer key"
    assert json.loads(request.body or b"") == {"app_id": "my_app", "token_count": 1000, "model": "gpt-4o"}


@pytest.mark.parametrize("address", ["http://a", "http://a/", "http://a/api/v1", "http://a/api/v1/"])
async def test_an_address_may_name_the_api_or_not(address: str) -> None:
    sender = ScriptedSender([LOCKED])
    transport = HttpTransport(HttpService(address, FixedKey("Bearer key"), sender))

    await TokenClient("my_app", transport=transport).lock_tokens(1)

    assert sender.requests[0].url == "http://a/api/v1/tokens/lock"
    assert sender.requests[0].headers["authorization"] == "Bearer key"


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_three_times_and_then_named(status: int) -> None:
    client, sender = scripted(answer(status))

    with pytest.raises(OutOfReachError, match="The token counter is not available") as refused:
        simulate(client.lock_tokens(1))

    assert (len(sender.requests), refused.value.status) == (3, status)


def test_too_many_requests_are_tried_again_and_never_open_the_breaker() -> None:
    client, sender = scripted(answer(429, retry_after="2"))

    async def run() -> None:
        for _ in range(6):
            with pytest.raises(TooManyRequestsError) as refused:
                await client.lock_tokens(1)
            assert (refused.value.status, refused.value.retry_after) == (429, 2)

    simulate(run())
    assert len(sender.requests) == 18


def test_a_lost_connection_is_tried_again() -> None:
    client, sender = scripted(ConnectionError("refused"), answer(503), LOCKED)

    assert simulate(client.lock_tokens(1)).allowed
    assert len(sender.requests) == 3


def test_retry_after_is_waited_for_and_handed_on() -> None:
    client, _ = scripted(answer(503, retry_after="7"), LOCKED)
    assert 7 <= simulate(timed(client.lock_tokens(1))) < 8

    client, sender = scripted(answer(503, retry_after="600"))
    with pytest.raises(OutOfReachError) as refused:
        simulate(client.lock_tokens(1))
    assert refused.value.retry_after == 600
    assert len(sender.requests) == 1


def test_a_retry_after_that_is_a_date_counts_from_the_answers_own() -> None:
    dates = {"retry_after": "Wed, 21 Oct 2026 07:28:09 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    client, _ = scripted(answer(503, **dates), LOCKED)

    assert 9 <= simulate(timed(client.lock_tokens(1))) < 10


@pytest.mark.parametrize(
    "header", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "nan", "inf", "", "1_0", "1e2", "\u0665", "9" * 400]
)
def test_a_retry_after_that_is_no_number_of_seconds_is_not_waited_for(header: str) -> None:
    client, _ = scripted(answer(503, retry_after=header), LOCKED)

    assert simulate(timed(client.lock_tokens(1))) < 1


def test_a_counter_that_keeps_failing_is_left_alone_for_a_while() -> None:
    client, sender = scripted(answer(503))

    async def run() -> None:
        for _ in range(5):
            with pytest.raises(OutOfReachError):
                await client.get_status()
        before = len(sender.requests)
        with pytest.raises(OutOfReachError) as refused:
            await client.get_status()
        assert (len(sender.requests), refused.value.retry_after) == (before, 5)

        await asyncio.sleep(6)
        with pytest.raises(OutOfReachError):
            await client.get_status()
        assert len(sender.requests) == before + 3
        with pytest.raises(OutOfReachError):
            await client.get_status()
        assert len(sender.requests) == before + 3

        await asyncio.sleep(6)
        sender.script = [LOCKED]
        assert (await client.lock_tokens(1)).allowed
        assert (await client.lock_tokens(1)).allowed

    simulate(run())


def test_one_call_alone_finds_out_whether_a_counter_is_back() -> None:
    client, sender = scripted(answer(503))

    async def run() -> None:
        for _ in range(5):
            with pytest.raises(OutOfReachError):
                await client.get_status()
        await asyncio.sleep(6)
        before = len(sender.requests)
        await asyncio.gather(*(client.get_status() for _ in range(10)), return_exceptions=True)
        assert len(sender.requests) == before + 3

    simulate(run())


def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    def hang() -> Reply:
        raise TimeoutError

    client, sender = scripted(hang)

    with pytest.raises(NoAnswerInTimeError):
        simulate(client.get_status())
    assert len(sender.requests) == 3


def test_a_call_that_is_cancelled_ends_and_counts_for_nothing() -> None:
    client, sender = scripted(answer(503, retry_after="20"))

    async def run() -> None:
        for _ in range(8):
            call = asyncio.ensure_future(client.get_status())
            await asyncio.sleep(1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        sender.script = [LOCKED]
        assert (await client.lock_tokens(1)).allowed

    simulate(run())


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (answer(400, {"error": "MalformedRequestError", "message": "no JSON"}), InvalidRequestError),
        (answer(401, {"error": "AuthenticationError", "message": "wrong key"}), CredentialError),
        (answer(403, {"error": "PermissionDeniedError", "message": "role"}), ForbiddenError),
        (answer(404, {"error": "LockNotFoundError", "message": "none"}), NoSuchLockError),
        (answer(404, {"error": "RouteNotFoundError", "message": "none"}), OutOfReachError),
        (answer(404), OutOfReachError),
        (answer(302, location="http://elsewhere"), OutOfReachError),
        (answer(200, {"hello": "world"}), OutOfReachError),
        (answer(200), OutOfReachError),
        (Reply(401, {}, b"<html>a proxy"), CredentialError),
        (Reply(403, {}, b"[" * 100_000), ForbiddenError),
        (answer(422, ["no object"]), InvalidRequestError),
    ],
)
async def test_a_refusal_keeps_its_meaning_and_is_not_tried_again(
    refusal: Reply, expected: type[Exception]
) -> None:
    client, sender = scripted(refusal)

    with pytest.raises(expected):
        await client.release_tokens("a:b")
    assert len(sender.requests) == 1


async def test_an_invalid_request_names_the_servers_fields() -> None:
    detail = {"fields": {"token_count": "must be <= 20000"}}
    client, _ = scripted(answer(422, {"error": "ValidationError", "message": "too many", "detail": detail}))

    with pytest.raises(InvalidRequestError) as refused:
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

    seconds: float = 0
    failures: list[Exception] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    async def get_token(self, *scopes: str) -> SimpleNamespace:
        if self.failures:
            raise self.failures.pop(0)
        self.scopes += scopes
        return SimpleNamespace(token=f"token{len(self.scopes)}", expires_on=int(self.seconds) + 3600)


def azure_ad(*failures: Exception) -> tuple[AzureAdToken, FakeCredential]:
    credential = FakeCredential(failures=[*failures])
    token = AzureAdToken("api://token-counter/", cast("AsyncTokenCredential", credential), credential.now)
    return token, credential


async def test_azure_ad_tokens_are_for_the_resource_and_renewed_before_they_end() -> None:
    token, credential = azure_ad()
    sender = ScriptedSender([LOCKED])
    client = over(sender, token)

    for seconds in (0, 3000, 400):
        credential.seconds += seconds
        await client.lock_tokens(1)

    sent = [request.headers["authorization"] for request in sender.requests]
    assert sent == ["Bearer token1", "Bearer token1", "Bearer token2"]
    assert credential.scopes == ["api://token-counter/.default"] * 2


def test_azure_ad_that_issues_no_token_is_named_and_one_that_is_down_tried_again() -> None:
    token, _ = azure_ad(ServiceRequestError("down"))
    assert simulate(over(ScriptedSender([LOCKED]), token).lock_tokens(1)).allowed

    token, _ = azure_ad(ClientAuthenticationError("no such app"))
    with pytest.raises(CredentialError, match="issues no token"):
        simulate(over(ScriptedSender([LOCKED]), token).lock_tokens(1))


def test_the_arguments_name_one_way_to_a_ledger() -> None:
    transport = HttpTransport(HttpService("http://a", FixedKey("k"), ScriptedSender([LOCKED])))
    with pytest.raises(ValueError, match="a base_url or a transport"):
        TokenClient("my_app")
    with pytest.raises(ValueError, match="a base_url or a transport"):
        TokenClient("my_app", "http://a", transport=transport)
    with pytest.raises(ValueError, match="resource_uri"):
        TokenClient("my_app", "http://a", use_auth=True)
    for wrong in ("ftp://a", "token-counter:8000", "http://", "", "http://a?b=c", "http://u:p@a"):
        with pytest.raises(ValueError, match="base_url"):
            TokenClient("my_app", wrong)
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        TokenClient("my_app", "http://a:b")
    TokenClient("my_app", "http://token-counter:8000", "api://token-counter", use_auth=True)


async def test_without_a_key_the_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingKeyError, match="TOKEN_COUNTER_KEY"):
        await TokenClient("my_app", "http://token-counter:8000").lock_tokens(1)

    monkeypatch.setenv("TENANTRY_KEY", " Bearer tk.acme.k.t\n")
    assert await EnvironmentKey(*KEY_VARIABLES).authorization() == "Bearer tk.acme.k.t"
    monkeypatch.setenv("TOKEN_COUNTER_KEY", "tk.acme.k.s")
    assert await EnvironmentKey(*KEY_VARIABLES).authorization() == "Bearer tk.acme.k.s"


@pytest.mark.parametrize("key", ["", "  ", "bearer ", "a b", "a\nb", "a\r\nx-tenant-id: b", "schlüssel"])
def test_what_no_header_can_hold_is_no_key(key: str) -> None:
    with pytest.raises(MissingKeyError, match=r"The API key (is empty|holds characters that no key has)$"):
        FixedKey(key)


def test_a_wait_ends_with_the_time_of_the_call() -> None:
    sender = ScriptedSender([answer(503, retry_after="4")])
    client = over(sender, times=Times(attempt=1, total=10))

    with pytest.raises(OutOfReachError):
        simulate(client.lock_tokens(1))
    assert len(sender.requests) == 3
