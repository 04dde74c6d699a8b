"""User tokens in the whole app, verified by keys that it fetches from a real server over a socket."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from shared.errors import DependencyTimeoutError, DependencyUnavailableError
from shared.resilience.dependency import Dependency
from shared.resilience.http_get import HttpGet, classify
from shared.resilience.policy import Policy
from shared.tenancy.context import Role
from shared.tenancy.jwks import MAX_BYTES
from tests.support.fakes import Call
from tests.support.identity_provider import AUDIENCE, IdentityProvider, public_jwk, public_pem, rsa_key
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp

type Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """A web server on a port of its own that keeps what it was asked."""

    behave: Behaviour
    asked: list[str] = field(default_factory=list)
    address: str = ""
    runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.asked.append(request.path)
            return await self.behave(request)

        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", port)
        await site.start()
        self.address = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None


@asynccontextmanager
async def serving(behave: Behaviour) -> AsyncIterator[Server]:
    server = Server(behave)
    await server.start()
    yield server
    await server.stop()


@dataclass
class World:
    """The app with one tenant, and the provider of its users."""

    app: WholeApp
    provider: IdentityProvider
    server: Server

    async def list_bots(self, token: str) -> Answer:
        return await self.app.client.call("list_bots", Call(headers={"authorization": f"Bearer {token}"}))

    async def state(self) -> str:
        """Ask readiness how the provider is."""
        ready = (await self.app.client.call("health_ready", Call())).json()
        dependencies = ready.get("dependencies") or ready["detail"]["dependencies"]
        (state,) = [one["state"] for one in dependencies if one["name"] == "Identity provider"]
        return str(state)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    provider = IdentityProvider()

    async def publish(request: web.Request) -> web.StreamResponse:
        return web.Response(body=provider.document(server.address + request.path))

    async with serving(publish) as server:
        provider.issuer, provider.jwks_url = server.address, server.address + "/keys"
        settings = {
            "OIDC_ISSUER": server.address,
            "OIDC_AUDIENCE": AUDIENCE,
            "OIDC_ALLOW_HTTP": "true",
        }
        async with whole_app(**settings) as app:
            provider.clock = app.clock
            await app.new_tenant("acme")
            await app.new_tenant("globex")
            yield World(app, provider, server)


async def test_a_users_token_is_accepted_by_keys_that_were_discovered_and_fetched_once(world: World) -> None:
    answers = [await world.list_bots(world.provider.token()) for _ in range(5)]

    assert {answer.status for answer in answers} == {200}
    assert world.server.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_what_is_not_the_providers_for_this_app_and_now_is_a_401_in_the_same_words(
    world: World,
) -> None:
    provider = world.provider
    now = int(provider.claims()["iat"])
    refused = {
        "alg none": provider.unsigned(),
        "HS256 with the public key": provider.signed_by_secret(public_pem(rsa_key())),
        "wrong audience": provider.token(aud="api://other"),
        "wrong issuer": provider.token(iss="https://other.example"),
        "expired": provider.token(exp=now - 61),
        "not yet valid": provider.token(nbf=now + 61),
        "unknown kid": provider.token(headers={"kid": "other"}),
        "another's key": provider.token(key=rsa_key(1)),
        "no tenant claim": provider.token(tid=None),
        "a tenant that does not exist": provider.token(tid="nobody"),
        "no role": provider.token(roles=[]),
    }

    answers = {name: await world.list_bots(token) for name, token in refused.items()}

    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(refused, 401)
    assert len({answer.json()["message"] for answer in answers.values()}) == 1


async def test_a_suspended_tenants_user_is_refused_at_once_where_it_was_suspended(world: World) -> None:
    token = world.provider.token()
    assert (await world.list_bots(token)).status == 200

    body = {"status": "suspended"}
    await world.app.must("update_tenant", Call.of(body, headers=world.app.admin, tenant_id="acme"))

    assert (await world.list_bots(token)).status == 401


async def test_addresses_in_a_token_are_never_asked(world: World) -> None:
    evil = rsa_key(1)

    async def publish(_: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": [public_jwk("current", evil), public_jwk("evil", evil)]})

    async with serving(publish) as theirs:
        for kid in ("current", "evil"):
            headers = {"kid": kid, "jku": theirs.address + "/keys", "x5u": theirs.address + "/cert"}
            token = world.provider.token(key=evil, headers=headers | {"jwk": public_jwk(kid, evil)})
            assert (await world.list_bots(token)).status == 401

        assert theirs.asked == []


async def test_a_key_set_with_a_shared_secret_lets_nobody_sign_with_it(world: World) -> None:
    world.provider.published.append({"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"})

    assert (await world.list_bots(world.provider.token())).status == 200
    forged = world.provider.signed_by_secret(b"secret", kid="shared")
    assert (await world.list_bots(forged)).status == 401


async def test_a_provider_that_is_down_is_a_503_until_it_is_back(world: World) -> None:
    port = int(world.server.address.rsplit(":", 1)[1])
    await world.server.stop()

    answer = await world.list_bots(world.provider.token())

    assert (answer.status, answer.json()["detail"]["dependency"]) == (503, "The identity provider")
    assert answer.headers["retry-after"] == "5"
    assert await world.state() == "down"
    by_key = await world.app.new_key("acme", Role.USER)
    assert (await world.app.client.call("list_bots", Call(headers=by_key))).status == 200

    await world.server.start(port)
    world.app.clock.advance(5)
    assert (await world.list_bots(world.provider.token())).status == 200
    assert await world.state() == "up"


async def test_a_rotated_key_is_found_within_30_seconds(world: World) -> None:
    assert (await world.list_bots(world.provider.token())).status == 200
    world.provider.published = [public_jwk("next", rsa_key(1))]
    token = world.provider.token(key=rsa_key(1), headers={"kid": "next"})

    world.app.clock.advance(30)
    assert (await world.list_bots(token)).status == 200


QUICK = Policy(attempts=3, attempt_seconds=0.05, total_seconds=1, backoff_seconds=0.001)


async def fetch(behave: Behaviour) -> tuple[bytes | Exception, Server]:
    async with serving(behave) as server:
        documents = HttpGet(Dependency("The identity provider", classify, QUICK), MAX_BYTES)
        try:
            return await documents.fetch(server.address + "/keys"), server
        except (DependencyUnavailableError, DependencyTimeoutError) as error:
            return error, server
        finally:
            await documents.close()


@pytest.mark.parametrize(("status", "requests"), [(500, 3), (429, 3), (404, 1), (302, 1)])
async def test_a_provider_that_refuses_is_asked_three_times_at_most_and_only_where_that_may_help(
    status: int, requests: int
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": "/elsewhere"})

    failed, server = await fetch(refuse)

    assert isinstance(failed, DependencyUnavailableError)
    assert server.asked == ["/keys"] * requests  # nowhere else


async def test_a_provider_that_never_answers_holds_nobody_up() -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    started = time.monotonic()
    failed, server = await fetch(hang)

    assert isinstance(failed, DependencyUnavailableError | DependencyTimeoutError)
    assert len(server.asked) == 3
    assert time.monotonic() - started < 20  # it would be 30 for one attempt


async def test_a_document_without_end_is_not_read_to_it() -> None:
    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(MAX_BYTES // 1024 + 2):
            await response.write(b"x" * 1024)
        return response

    failed, _ = await fetch(pour)

    assert isinstance(failed, DependencyUnavailableError)


async def test_a_document_comes_whole() -> None:
    async def publish(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * MAX_BYTES)

    document, _ = await fetch(publish)

    assert document == b"x" * MAX_BYTES
