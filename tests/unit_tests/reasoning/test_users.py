"""With a user's token, jobs are the user's own; a tenant's key and its administrators see all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call, user_context

if TYPE_CHECKING:
    from tests.unit_tests.reasoning.app import App


@pytest.fixture
def alice(app: App) -> dict[str, str]:
    return app.authenticator.add("alice", user_context("alice"))


@pytest.fixture
def bob(app: App) -> dict[str, str]:
    return app.authenticator.add("bob", user_context("bob"))


async def listed(app: App, headers: dict[str, str]) -> list[str]:
    answer = await app.client.call("list_jobs", Call(headers=headers))
    return [job["job_id"] for job in answer.json()["items"]]


async def test_a_users_job_is_seen_by_the_user_and_by_the_tenant_only(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    manager = app.authenticator.add("manager", user_context("carol", role=Role.TENANT_ADMIN))
    await app.accept(alice, id="j1", text="Why?")
    await app.accept(bob, id="j2", text="How?")
    await app.accept(id="j3", text="When?")

    assert await listed(app, alice) == ["j1"]
    assert await listed(app, bob) == ["j2"]
    assert await listed(app, manager) == await listed(app, app.user) == ["j1", "j2", "j3"]
    foreign, absent = await app.show("j1", bob), await app.show("j9", bob)
    assert (foreign.status, absent.status) == (404, 404)
    assert foreign.json()["message"].replace("j1", "j9") == absent.json()["message"]
    assert (await app.show("j1", alice)).status == 200


async def test_asking_for_what_another_user_asked_is_not_answered_with_the_others_job(
    app: App, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await app.accept(alice, id="j1", text="Why?")

    assert (await app.accept(bob, id="j1", text="Why?")).status == 409
    assert (await app.accept(alice, id="j1", text="Why?")).status == 202


async def test_the_worker_finishes_a_users_job(app: App, alice: dict[str, str]) -> None:
    await app.accept(alice, id="j1", text="Why?")

    await app.deliver(app.sender.sent[0][1].body)

    assert (await app.show("j1", alice)).json()["status"] == "succeeded"
