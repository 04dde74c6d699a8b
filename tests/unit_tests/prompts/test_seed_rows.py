"""What the system behind the prompt manager document gets wrong, row by row, done right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from compat.prompt_manager import CosmosPromptManager
from shared.errors import DependencyUnavailableError, ValidationError
from shared.tenancy.source import Source
from tests.unit_tests.prompts.account import MemoryAccount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit_tests.prompts.app import App


@pytest.fixture
def account() -> MemoryAccount:
    return MemoryAccount()


@pytest.fixture
def manager(account: MemoryAccount) -> Iterator[CosmosPromptManager]:
    with CosmosPromptManager(account) as opened:
        yield opened


@pytest.mark.parametrize("tenant_id", [None, "", " ", "global:", "../acme"])
def test_a_missing_or_malformed_tenant_is_a_value_error_and_never_everybody(
    manager: CosmosPromptManager, tenant_id: str | None
) -> None:
    manager.save_prompt("p", "secret", "acme")

    for attempt in (
        lambda: manager.list_prompts(tenant_id),
        lambda: manager.get_prompt("p", tenant_id),
        lambda: manager.get_prompt_details("p", tenant_id),
        lambda: manager.get_all_prompt_details(tenant_id),
        lambda: manager.get_prompts_batch(["p"], tenant_id),
        lambda: manager.save_prompt("p", "x", tenant_id),
        lambda: manager.save_prompts_batch([], tenant_id),
        lambda: manager.delete_prompt("p", tenant_id),
        lambda: manager.delete_prompts_batch(["p"], tenant_id),
    ):
        with pytest.raises(ValueError, match="tenant_id"):
            attempt()
    assert manager.get_prompt("p", "acme") == "secret"


def stored_owners(account: MemoryAccount) -> list[str]:
    """Read all that is stored, past the app and its partitions."""
    connection = account.cosmos.database.connection
    owners = []
    for number, _ in connection.execute("SELECT number, id FROM containers").fetchall():
        for (body,) in connection.execute(f"SELECT body FROM items_{number}").fetchall():  # noqa: S608  # a number
            owners.append(json.loads(bytes(body))["tenant_id"])
    return owners


@pytest.mark.parametrize("field", ["tenant_id", "id", "_etag", "kind", "partition_key"])
def test_a_body_that_names_another_tenant_lands_nowhere(manager: CosmosPromptManager, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        manager.save_prompt("p", {"template": "x", field: "victim"}, "acme")
    report = manager.save_prompts_batch(
        [
            {"prompt_name": "p", "prompt_data": "x", field: "victim"},
            {"prompt_name": "q", "prompt_data": {"template": "x", field: "victim"}},
        ],
        "acme",
    )

    assert dict(report) == {"p": False, "q": False}
    assert manager.list_prompts("acme") == manager.list_prompts("victim") == []


async def test_over_http_such_a_body_is_a_422_that_names_the_field(app: App) -> None:
    refused = await app.save(tenant_id="globex")

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["body.tenant_id"])
    assert (await app.get(headers=app.stranger)).status == 404


def test_a_global_prompt_is_read_by_every_tenant_and_the_answer_says_that_it_is_one(
    manager: CosmosPromptManager,
) -> None:
    manager.save_prompt("greeting", "Hello", scope="global")

    for tenant_id in ("acme", "globex"):
        details = manager.get_prompt_details("greeting", tenant_id)
        assert details is not None
        assert (details.content.template, details.source) == ("Hello", Source.GLOBAL)
    manager.save_prompt("greeting", "Hi", "acme")
    own = manager.get_prompt_details("greeting", "acme")
    assert own is not None
    assert (own.content.template, own.source) == ("Hi", Source.TENANT)


def test_only_what_is_transient_is_tried_again_and_after_a_jittered_wait(
    manager: CosmosPromptManager, account: MemoryAccount
) -> None:
    manager.save_prompt("p", "x", "acme")
    before, slept = account.cosmos.transport.requests, len(account.clock.slept)
    account.cosmos.transport.lose_requests = 2

    assert manager.get_prompt("p", "acme") == "x"
    waits = account.clock.slept[slept:]
    assert account.cosmos.transport.requests - before == 3
    assert len(waits) == 2
    assert 0 <= waits[0] <= 0.1
    assert 0 <= waits[1] <= 0.2
    assert waits[0] != waits[1]

    with pytest.raises(ValidationError):
        manager.save_prompt("p", "{a.b}", "acme")
    manager.get_prompt("never", "acme")
    assert len(account.clock.slept) == slept + 2

    account.cosmos.transport.lose_requests = 10**6
    with pytest.raises(DependencyUnavailableError):
        manager.get_prompt("q", "acme")
    assert len(account.clock.slept) == slept + 4


def test_a_batch_of_50_is_a_read_and_two_writes_and_reading_50_is_one_request(
    manager: CosmosPromptManager, account: MemoryAccount
) -> None:
    manager.health_check()
    batch = [{"prompt_name": f"p{number:02}", "prompt_data": f"text {number}"} for number in range(50)]
    before = account.cosmos.transport.requests

    assert all(manager.save_prompts_batch(batch, "acme").values())
    saved = account.cosmos.transport.requests
    assert manager.get_prompts_batch([f"p{number:02}" for number in range(50)], "acme") == {
        item["prompt_name"]: item["prompt_data"] for item in batch
    }

    assert (saved - before, account.cosmos.transport.requests - saved) == (3, 1)


def test_an_empty_template_is_named_and_stops_no_other(manager: CosmosPromptManager) -> None:
    report = manager.save_prompts_batch(
        [{"prompt_name": "empty", "prompt_data": ""}, {"prompt_name": "full", "prompt_data": "x"}], "acme"
    )

    assert dict(report) == {"empty": False, "full": True}
    assert "at least 1 character" in report.failures["empty"].message
    assert manager.list_prompts("acme") == ["full"]


def test_deleting_says_what_happened(manager: CosmosPromptManager) -> None:
    manager.save_prompt("p", "x", "acme")

    assert manager.delete_prompt("p", "globex") is False
    assert manager.delete_prompt("p", "acme") is True
    assert manager.delete_prompt("p", "acme") is False
    assert dict(manager.delete_prompts_batch(["p"], "acme")) == {"p": False}


def test_the_store_stamps_the_tenant_on_all_that_is_written(
    manager: CosmosPromptManager, account: MemoryAccount
) -> None:
    async def owners() -> list[str]:
        return stored_owners(account)

    manager.save_prompt("p", "x", "acme")
    manager.delete_prompt("p", "acme")

    on_its_thread = manager._thread.run(owners())  # noqa: SLF001  # the database is of that thread
    assert on_its_thread == ["acme"] * 3
