"""`CosmosPromptManager`: the document's call shapes, inside and outside a running loop, tenant by tenant."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compat.prompt_manager import CosmosPromptManager
from shared.errors import (
    ConflictError,
    DependencyUnavailableError,
    PermissionDeniedError,
    ValidationError,
)
from shared.prompts.stored_models import StoredMessage
from shared.tenancy.context import Role, acting_for
from shared.tenancy.source import Source
from tests.support.fakes import tenant_context
from tests.unit_tests.prompts.account import MemoryAccount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compat.prompt_manager import PromptData

EXAMPLE = Path(__file__).with_name("document_example.py.txt")


@pytest.fixture
def account() -> MemoryAccount:
    return MemoryAccount()


@pytest.fixture
def manager(account: MemoryAccount) -> Iterator[CosmosPromptManager]:
    with CosmosPromptManager(account) as opened:
        yield opened


def requests(account: MemoryAccount) -> int:
    return account.cosmos.transport.requests


def test_the_documents_example_runs_but_for_its_import_line(account: MemoryAccount) -> None:
    program = re.sub(
        r"^from azpaddypy\S* import",
        "from compat.prompt_manager import",
        EXAMPLE.read_text(),
        flags=re.MULTILINE,
    )
    variables: dict[str, object] = {"cosmos_client": account}

    exec(program, variables)  # noqa: S102  # the document's own lines

    manager = variables["prompt_manager"]
    assert isinstance(manager, CosmosPromptManager)
    with manager:
        assert variables["prompt"] == "Your prompt template here..."
        assert variables["prompt_names"] == ["answering_user_prompt"]
        assert manager.list_prompts(tenant_id="tenant_abc123") == ["answering_user_prompt"]
        assert manager.get_prompts_batch(["prompt1", "prompt2"], "tenant_abc123") == {
            "prompt1": None,
            "prompt2": None,
        }
        assert account.opened == [("prompts", "prompts")]


def test_a_warm_get_leaves_the_thread_and_the_store_alone(
    manager: CosmosPromptManager, account: MemoryAccount
) -> None:
    manager.save_prompt("p", "text", "acme")
    manager.get_prompt("p", "acme")
    before = requests(account)

    assert [manager.get_prompt("p", "acme") for _ in range(5)] == ["text"] * 5
    assert requests(account) == before


async def test_every_method_has_its_asynchronous_twin(manager: CosmosPromptManager) -> None:
    chat = [{"role": "system", "content": "Be {tone}"}, {"placeholder": "history"}]

    assert await manager.save_prompt_async("p", chat, "acme") is True
    template = await manager.get_prompt_async("p", "acme")
    assert template == await manager.get_prompt_async("p", "acme")
    assert isinstance(template, tuple)
    assert template[0] == StoredMessage(role="system", content="Be {tone}")
    details = await manager.get_prompt_details_async("p", "acme")
    assert details is not None
    assert (details.version.version, details.source) == (1, Source.TENANT)
    saved = await manager.save_prompts_batch_async([{"prompt_name": "q", "prompt_data": "x"}], "acme")
    assert dict(saved) == {"q": True}
    assert await manager.list_prompts_async("acme") == ["p", "q"]
    assert [one.version for one in await manager.get_all_prompt_details_async("acme")] == [1, 1]
    assert (await manager.get_prompts_batch_async(["q"], "acme")) == {"q": "x"}
    assert dict(await manager.delete_prompts_batch_async(["q", "r"], "acme")) == {"q": True, "r": False}
    assert await manager.delete_prompt_async("p", "acme") is True
    assert (await manager.health_check_async())["status"] == "healthy"


async def test_the_synchronous_methods_work_inside_a_running_loop(manager: CosmosPromptManager) -> None:
    assert asyncio.get_running_loop().is_running()
    assert manager.save_prompt("p", "text", "acme")
    assert manager.get_prompt("p", "acme") == "text"


def test_a_batch_reads_only_what_is_not_at_hand(manager: CosmosPromptManager, account: MemoryAccount) -> None:
    manager.save_prompts_batch([{"prompt_name": n, "prompt_data": n} for n in ("a", "b", "c")], "acme")
    manager.get_prompt("a", "acme")
    before = requests(account)

    first = manager.get_prompts_batch(["a", "b", "c"], "acme")
    again = manager.get_prompts_batch(["c", "a", "b"], "acme")

    assert (first, requests(account) - before) == ({"a": "a", "b": "b", "c": "c"}, 1)
    assert again == first


def test_what_is_not_there_is_none_or_false(manager: CosmosPromptManager) -> None:
    assert manager.get_prompt("p", "acme") is None
    assert manager.get_prompt_details("p", "acme") is None
    assert manager.delete_prompt("p", "acme") is False
    assert manager.list_prompts("acme") == []


def test_the_list_is_whole_and_asks_for_100_at_a_time(
    manager: CosmosPromptManager, account: MemoryAccount
) -> None:
    names = [f"p{number:03}" for number in range(205)]
    manager.save_prompts_batch([{"prompt_name": n, "prompt_data": "x"} for n in names], "acme")
    before = requests(account)

    assert manager.list_prompts("acme") == names
    assert requests(account) - before == 3


def test_a_whole_draft_can_be_saved_by_its_fields(manager: CosmosPromptManager) -> None:
    manager.save_prompt("p", {"template": "Hi {who}", "config": {"model": "m"}, "tags": ["a"]}, "acme")

    details = manager.get_prompt_details("p", "acme")
    assert details is not None
    assert (details.content.config, details.version.tags) == ({"model": "m"}, ("a",))
    bad: list[PromptData] = [
        {"template": "x", "tenant_id": "victim"},
        {"template": "x", "id": "y"},
        "",
        [],
        {},
    ]
    for data in (*bad, "{a.b}", {"template": object()}):
        with pytest.raises(ValidationError):
            manager.save_prompt("q", data, "acme")
    assert manager.list_prompts("acme") == ["p"]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**53, {1, 2}, object()])
def test_a_config_that_no_store_keeps_as_it_is_is_refused(
    manager: CosmosPromptManager, value: object
) -> None:
    with pytest.raises(ValidationError):
        manager.save_prompt("p", {"template": "x", "config": {"a": [value]}}, "acme")


def test_a_config_is_not_nested_too_deeply(manager: CosmosPromptManager) -> None:
    nested: object = 1
    for _ in range(16):
        nested = [nested]
    with pytest.raises(ValidationError, match="nested 16 deep"):
        manager.save_prompt("p", {"template": "x", "config": {"a": nested}}, "acme")


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b", "x" * 129])
def test_a_name_is_plain_everywhere(manager: CosmosPromptManager, name: str) -> None:
    for attempt in (
        lambda: manager.get_prompt(name, "acme"),
        lambda: manager.save_prompt(name, "x", "acme"),
        lambda: manager.delete_prompt(name, "acme"),
        lambda: manager.get_prompts_batch([name], "acme"),
    ):
        with pytest.raises(ValidationError):
            attempt()


def test_a_batch_tells_of_each_item_also_of_one_without_a_name(manager: CosmosPromptManager) -> None:
    report = manager.save_prompts_batch(
        [
            {"prompt_name": "a", "prompt_data": "x"},
            {"prompt_data": "x"},
            {"prompt_name": "b"},
            {"prompt_name": "c", "prompt_data": "x", "tenant_id": "victim"},
            {"prompt_name": "a", "prompt_data": "again"},
        ],
        tenant_id="acme",
    )

    assert list(report) == ["a", "#1", "b", "c"]
    assert dict(report) == {"a": True, "#1": False, "b": False, "c": False}
    assert len(report) == 4
    assert {name: error.message for name, error in report.failures.items()} == {
        "#1": "Invalid prompt: name: Input should be a valid string",
        "b": "Invalid prompt: template: Field required",
        "c": "Invalid prompt: tenant_id: Extra inputs are not permitted",
    }


@pytest.mark.slow
def test_an_item_that_no_json_can_hold_is_named_and_stops_no_other(manager: CosmosPromptManager) -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    bad: dict[str, object] = {
        "deep": {"template": "x", "config": deep},
        "key": {"template": "x", "config": {"a": [{"\ud800": 1}]}},
        "value": {"template": "x", "config": {"a": "\ud800"}},
        "other": {"template": "x", "name": "victim"},
    }
    items = [{"prompt_name": name, "prompt_data": data} for name, data in bad.items()]

    report = manager.save_prompts_batch(
        [*items, {"prompt_name": "good", "prompt_data": "x"}, {"prompt_name": "p", "name": "q"}], "acme"
    )

    assert dict(report) == dict.fromkeys([*bad, "good", "p"], False) | {"good": True}
    assert manager.list_prompts("acme") == ["good"]
    assert all(isinstance(error, ValidationError) for error in report.failures.values())
    with pytest.raises(ValidationError, match="too deeply"):
        manager.save_prompt("deep", {"template": "x", "config": deep}, "acme")


def test_inside_a_request_the_tenant_is_the_requests_and_no_other(manager: CosmosPromptManager) -> None:
    manager.save_prompt("p", "globex's", "globex")
    with acting_for(tenant_context("acme")):
        manager.save_prompt("p", "acme's")
        assert manager.get_prompt("p") == manager.get_prompt("p", "acme") == "acme's"
        for attempt in (lambda: manager.get_prompt("p", "globex"), lambda: manager.list_prompts("globex")):
            with pytest.raises(ValueError, match="not the tenant of this request"):
                attempt()
        with pytest.raises(PermissionDeniedError):
            manager.save_prompt("p", "x", scope="global")
    with acting_for(tenant_context("acme", Role.ADMIN)):
        assert manager.save_prompt("everybodys", "x", scope="global")
    assert manager.get_prompt("everybodys", "globex") == "x"


def test_a_manager_without_the_fallback_reads_no_global_prompt(account: MemoryAccount) -> None:
    with CosmosPromptManager(account, global_fallback=False) as manager:
        manager.save_prompt("p", "all's", scope="global")

        assert manager.get_prompt("p", "acme") is None
        assert manager.get_prompt("p", scope="global") == "all's"


def test_global_prompts_are_asked_for_by_name(manager: CosmosPromptManager) -> None:
    manager.save_prompts_batch([{"prompt_name": "p", "prompt_data": "all's"}], scope="global")

    assert manager.list_prompts(scope="global") == ["p"]
    assert manager.list_prompts("acme") == []
    assert manager.get_prompt("p", scope="global") == manager.get_prompt("p", "acme") == "all's"
    assert manager.get_prompts_batch(["p"], "acme") == {"p": "all's"}
    details = manager.get_prompt_details("p", "acme")
    assert details is not None
    assert details.source is Source.GLOBAL
    assert manager.delete_prompts_batch(["p"], scope="global")["p"]


def test_an_unhealthy_store_is_told_and_not_raised(
    manager: CosmosPromptManager, account: MemoryAccount
) -> None:
    assert manager.health_check()["status"] == "healthy"
    account.cosmos.transport.lose_requests = 10**6

    health = manager.health_check()

    assert (health["status"], health["checks"]["container"]["error"]) == (
        "unhealthy",
        "Cosmos DB is not available",
    )
    with pytest.raises(DependencyUnavailableError):
        manager.get_prompt("p", "acme")


def test_a_call_on_its_own_thread_is_refused_instead_of_waiting_for_itself(
    manager: CosmosPromptManager, account: MemoryAccount
) -> None:
    manager.save_prompt("p", "x", "acme")
    raised: list[RuntimeError] = []

    def call_back(_: object) -> None:
        account.cosmos.transport.watch = lambda _: None
        try:
            manager.list_prompts("acme")
        except RuntimeError as error:
            raised.append(error)

    account.cosmos.transport.watch = call_back
    manager.list_prompts("acme")

    assert ["its own thread" in str(error) for error in raised] == [True]


def test_writers_on_many_threads_are_told_what_became_of_each(manager: CosmosPromptManager) -> None:
    async def main() -> list[bool | BaseException]:
        saves = (asyncio.to_thread(manager.save_prompt, "p", f"text {n}", "acme") for n in range(16))
        return await asyncio.gather(*saves, return_exceptions=True)

    outcomes = asyncio.run(main())

    details = manager.get_prompt_details("p", "acme")
    assert details is not None
    assert details.version.version == outcomes.count(True)
    assert all(outcome is True or isinstance(outcome, ConflictError) for outcome in outcomes)


def test_closing_twice_and_closing_unused_do_no_harm(account: MemoryAccount) -> None:
    manager = CosmosPromptManager(account)
    manager.close()
    manager.close()
