"""One user asks for what is another user's of the same tenant, on each route: nothing is seen or changed."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call, FakeAuthenticator, tenant_context, user_context
from tests.support.isolation import NAMES, Operation, operation, operations
from tests.support.whole_app import SharedStart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp

SECRET = "what-alice-said"  # noqa: S105  # nobody's password
ALICES = ("conversations", "jobs")
"""The containers in which things belong to users."""


@dataclass
class World:
    """The app with a tenant, its bot, and what Alice has."""

    app: WholeApp
    alice: dict[str, str]
    bob: dict[str, str]
    names: dict[str, str]

    def rows(self) -> list[bytes]:
        """Return what is stored of Alice's, to the byte."""
        connection = self.app.cosmos.database.connection
        found = connection.execute("SELECT number, id FROM containers").fetchall()
        return [
            bytes(body)
            for number, name in found
            if name in ALICES
            for (body,) in connection.execute(f"SELECT body FROM items_{number} ORDER BY pk, id")  # noqa: S608  # a number
        ]


def named() -> dict[str, str]:
    """Name what Alice has, and something absent for whatever else a route may ask for."""
    parameters = {parameter: "0" * 12 for one in operations() for parameter in one.parameters}
    return defaultdict(lambda: "absent", parameters | NAMES | {"tenant_id": "acme"})


def let_in(app: WholeApp) -> dict[str, dict[str, str]]:
    """Let the tenant's administrator and two of its users in; returns the headers that present each."""
    callers = app.runtime.__dict__["authenticator"] = FakeAuthenticator()
    return {
        "boss": callers.add("boss", tenant_context("acme", Role.TENANT_ADMIN)),
        "alice": callers.add("alice", user_context("alice")),
        "bob": callers.add("bob", user_context("bob")),
    }


async def _prepare(app: WholeApp) -> None:
    """Let Alice come by a conversation and a job."""
    await app.new_tenant("acme")
    callers = let_in(app)
    boss, alice = callers["boss"], callers["alice"]
    await app.must("save_prompt", Call.of({"template": "x"}, headers=boss, name=NAMES["name"]))
    config = {"prompt": {"name": NAMES["name"]}}
    await app.must("save_bot", Call.of(config, headers=boss, bot_id=NAMES["bot_id"]))
    said = {"message": SECRET, "conversation_id": NAMES["conversation_id"]}
    await app.must("chat", Call.of(said, headers=alice, bot_id=NAMES["bot_id"]))
    job = {"id": NAMES["job_id"], "text": SECRET}
    await app.must("accept_job", Call.of(job, headers=alice))


_START: Final = SharedStart(_prepare)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with _START.open() as (app, _):
        callers = let_in(app)
        yield World(app, callers["alice"], callers["bob"], named())


def call(world: World, one: Operation, headers: dict[str, str]) -> Call:
    body = one.body(world.names)
    return Call(one.address(world.names), "", headers, b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize("one", operations(), ids=lambda one: one.name)
async def test_another_user_of_the_tenant_sees_and_changes_nothing(one: Operation) -> None:
    async with world() as made:
        before = made.rows()

        answer = await made.app.client.call(one.name, call(made, one, made.bob))

        assert answer.status < 500, answer
        assert SECRET not in answer.body.decode()
        if one.name in {"list_conversations", "list_jobs"}:
            assert answer.json()["items"] == []
        assert [row for row in before if row not in made.rows()] == []
        if {"conversation_id", "job_id"} & set(one.parameters):
            assert answer.status == 404, answer


@pytest.mark.parametrize("name", ["get_conversation", "list_conversations", "get_job", "list_jobs"])
async def test_the_user_does_see_what_others_are_kept_from(name: str) -> None:
    async with world() as made:
        answer = await made.app.client.call(name, call(made, operation(name), made.alice))

        assert answer.status == 200
        assert NAMES["conversation_id"] in str(answer.json()) or NAMES["job_id"] in str(answer.json())
