"""`/tokens/*` over the edge of the whole app, on the real ledger and a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import Query
from shared.http.openapi import build_openapi
from shared.tenancy.context import Role
from shared.tenancy.store import Tier
from shared.tokens.api_models import RATE_LIMIT_HEADERS
from shared.tokens.limits import TIER_LIMITS
from tests.support.fakes import Answer, Call
from tests.support.whole_app import WholeApp, whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT = TIER_LIMITS[Tier.STANDARD]
LOCK: dict[str, object] = {"app_id": "bot", "token_count": 1_000, "model": "gpt-4o"}


class Caller:
    """One tenant's user."""

    def __init__(self, app: WholeApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def post(self, name: str, body: object, query: str = "") -> Answer:
        call = Call.of(body, headers=self._headers)
        return await self._app.client.call(name, Call(query=query, headers=call.headers, body=call.body))

    async def lock(self, query: str = "", /, **fields: object) -> Answer:
        return await self.post("lock_tokens", LOCK | fields, query)

    async def locked(self, **fields: object) -> str:
        answer = await self.lock(**fields)
        assert answer.json()["allowed"] is True, answer.body
        return str(answer.json()["request_id"])

    async def status(self, app_id: str = "bot") -> dict[str, float]:
        answer = await self._app.must(
            "get_token_status", Call(query=f"app_id={app_id}", headers=self._headers)
        )
        found: dict[str, float] = answer.json()
        return found


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with whole_app() as opened:
        yield opened


async def tenant(app: WholeApp, tenant_id: str) -> Caller:
    await app.new_tenant(tenant_id, "standard")
    return Caller(app, await app.new_key(tenant_id, Role.USER))


@pytest.fixture
async def acme(app: WholeApp) -> Caller:
    return await tenant(app, "acme")


async def test_a_lock_says_so_with_a_compound_id_and_what_is_left(acme: Caller) -> None:
    answer = await acme.lock()

    body = answer.json()
    assert (answer.status, body["allowed"]) == (200, True)
    token_id, rate_id = body["request_id"].split(":")
    assert token_id
    assert rate_id
    assert answer.headers["x-ratelimit-limit-tokens"] == str(LIMIT.tokens_per_minute)
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(LIMIT.tokens_per_minute - 1_000)
    assert answer.headers["x-ratelimit-limit-requests"] == str(LIMIT.requests_per_minute)
    assert answer.headers["x-ratelimit-remaining-requests"] == str((LIMIT.concurrency or 0) - 1)
    assert 55 <= int(answer.headers["x-ratelimit-reset-tokens"]) <= 66
    assert "retry-after" not in answer.headers


async def test_a_quiet_lock_and_its_headers_are_one_round_trip(app: WholeApp, acme: Caller) -> None:
    await acme.locked()
    before = app.cosmos.transport.requests

    await acme.locked()

    assert app.cosmos.transport.requests - before == 1


@pytest.mark.parametrize(("query", "status"), [("", 200), ("strict=false", 200), ("strict=true", 429)])
async def test_a_refusal_has_its_headers_and_is_a_429_only_where_asked(
    acme: Caller, query: str, status: int
) -> None:
    await acme.locked(token_count=LIMIT.tokens_per_minute - 10)

    refused = await acme.lock(query, token_count=11)

    assert refused.status == status
    assert (refused.json()["allowed"], refused.json()["request_id"]) == (False, None)
    assert refused.json()["message"]
    assert refused.headers["x-ratelimit-remaining-tokens"] == "10"
    assert 1 <= int(refused.headers["retry-after"]) <= 66


async def test_waiting_as_long_as_a_refusal_says_succeeds(app: WholeApp, acme: Caller) -> None:
    await acme.locked(token_count=LIMIT.tokens_per_minute)
    refused = await acme.lock()

    app.clock.advance(int(refused.headers["retry-after"]))

    await acme.locked()


async def test_a_report_takes_its_locks_place_however_often_it_comes(app: WholeApp, acme: Caller) -> None:
    request_id = await acme.locked()
    report = {"app_id": "bot", "request_id": request_id, "prompt_tokens": 200, "completion_tokens": 0}

    answers = [await acme.post("report_tokens", report | {"user_id": "u/1"}) for _ in range(3)]
    answers.append(await acme.post("release_tokens", {"app_id": "bot", "request_id": request_id}))

    assert [(answer.status, answer.json()) for answer in answers] == [(200, {"success": True})] * 4
    status = await acme.status()
    assert (status["used_tokens"], status["locked_tokens"], status["used_requests"]) == (200, 0, 1)
    text = "SELECT c.prompt_tokens, c.user_id FROM c WHERE STARTSWITH(c.id, 'usage:')"
    usage = await app.cosmos.container("ledger").query(("acme",), Query(text))
    assert usage == [{"prompt_tokens": 200, "user_id": "u/1"}]


async def test_a_release_gives_its_lock_back_once(acme: Caller) -> None:
    kept, given_back = await acme.locked(), await acme.locked()

    for _ in range(3):
        answer = await acme.post("release_tokens", {"app_id": "bot", "request_id": given_back})
        assert answer.json() == {"success": True}

    assert kept != given_back
    assert (await acme.status())["locked_tokens"] == 1_000


async def test_what_is_not_this_applications_lock_looks_absent_and_is_not_looked_up(
    app: WholeApp, acme: Caller
) -> None:
    request_id = await acme.locked()
    globex = await tenant(app, "globex")
    token_id, _, rate_id = request_id.partition(":")
    own_junk = ["x", ":", token_id, f"{token_id}:", f"{rate_id}:{token_id}", f"{token_id}:{rate_id}:", "é:é"]
    strangers = [(acme, "bot", wrong) for wrong in own_junk]
    strangers += [(globex, "bot", request_id), (acme, "other", request_id)]
    counts = {"prompt_tokens": 1, "completion_tokens": 1}

    await globex.locked()  # from here on its key is known, as acme's is
    before = app.cosmos.transport.requests
    answers = []
    for caller, app_id, wrong in strangers:
        body = {"app_id": app_id, "request_id": wrong}
        answers += [
            await caller.post("report_tokens", body | counts),
            await caller.post("release_tokens", body),
        ]

    assert app.cosmos.transport.requests == before
    assert {(answer.status, answer.json()["error"]) for answer in answers} == {(404, "LockNotFoundError")}
    assert len({answer.json()["message"] for answer in answers}) == 1
    assert (await acme.status())["locked_tokens"] == 1_000


@pytest.mark.parametrize("count", [0, -1, 1.0, 1.5, "5", True, None, 10**9 + 1, 10**30])
async def test_a_lock_takes_a_bounded_positive_integer(acme: Caller, count: object) -> None:
    answer = await acme.lock(token_count=count)

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["body.token_count"])
    assert (await acme.status())["locked_tokens"] == 0


@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"])
@pytest.mark.parametrize("count", [-1, 1.0, "5", True, None, 10**9 + 1])
async def test_a_report_mints_nothing(acme: Caller, field: str, count: object) -> None:
    request_id = await acme.locked()
    report = {"app_id": "bot", "request_id": request_id, "prompt_tokens": 1, "completion_tokens": 1}

    answer = await acme.post("report_tokens", report | {field: count})

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, [f"body.{field}"])
    assert (await acme.status())["locked_tokens"] == 1_000


@pytest.mark.parametrize(
    ("field", "whole"), [("cached_tokens", "prompt_tokens"), ("reasoning_tokens", "completion_tokens")]
)
async def test_a_kind_of_tokens_is_no_more_than_its_whole(acme: Caller, field: str, whole: str) -> None:
    request_id = await acme.locked()
    report = {"app_id": "bot", "request_id": request_id, "prompt_tokens": 7, "completion_tokens": 7}

    refused = await acme.post("report_tokens", report | {field: 8})
    of_a_refused_whole = await acme.post("report_tokens", report | {whole: -1, field: 7})

    assert (refused.status, refused.json()["detail"]["fields"]) == (
        422,
        {f"body.{field}": f"must be <= {whole}"},
    )
    assert list(of_a_refused_whole.json()["detail"]["fields"]) == [f"body.{whole}"]
    assert (await acme.post("report_tokens", report | {field: 7})).status == 200
    assert (await acme.status())["used_tokens"] == 14


async def test_names_are_bounded(acme: Caller) -> None:
    for fields in ({"app_id": "a" * 129}, {"app_id": "a b"}, {"model": ""}, {"model": "m" * 129}):
        answer = await acme.lock(**fields)
        [field] = fields
        assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, [f"body.{field}"])
    for model in ("a\nb", "gpt-4o\n", "gpt\u20114o"):
        assert (await acme.lock(model=model)).status == 422
    assert (await acme.lock("strict=maybe")).status == 422


async def test_a_lock_without_a_model_is_for_the_deployments_own(app: WholeApp, acme: Caller) -> None:
    request_id = await acme.locked(model=None)
    body = {"app_id": "bot", "request_id": request_id, "prompt_tokens": 1, "completion_tokens": 2}
    await acme.post("report_tokens", body)

    text = "SELECT c.model FROM c WHERE STARTSWITH(c.id, 'usage:')"
    usage = await app.cosmos.container("ledger").query(("acme",), Query(text))
    assert usage == [{"model": app.runtime.settings.openai_model}]


async def test_the_status_asks_for_a_well_formed_application(app: WholeApp, acme: Caller) -> None:
    assert (await acme.status())["limit_tokens"] == LIMIT.tokens_per_minute
    headers = await app.new_key("acme", Role.USER)
    for query in ("", "app_id=", "app_id=a%20b", "app_id=a%0A"):
        answer = await app.client.call("get_token_status", Call(query=query, headers=headers))
        assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["query.app_id"])


async def test_a_key_is_required(app: WholeApp) -> None:
    for name in ("lock_tokens", "report_tokens", "release_tokens", "get_token_status"):
        assert (await app.client.call(name, Call())).status == 401


async def test_the_document_knows_every_header_of_a_lock(app: WholeApp, acme: Caller) -> None:
    document = build_openapi(app.runtime.routes, "1")
    responses = document["paths"]["/api/v1/tokens/lock"]["post"]["responses"]
    await acme.locked(token_count=LIMIT.tokens_per_minute)

    for query, status in (("", "200"), ("strict=true", "429")):
        refused = await acme.lock(query)
        documented = {name.lower() for name in responses[status]["headers"]}
        limits = {name for name in refused.headers if name.startswith(("x-ratelimit", "retry-after"))}
        assert limits <= documented
        assert len(limits) == 3 + len(RATE_LIMIT_HEADERS)
