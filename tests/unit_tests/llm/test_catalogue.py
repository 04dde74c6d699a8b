"""The catalogue: entries over entries, what a tenant may use of them, and how old they may be."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import pytest

from shared.cosmos.partition import Partition
from shared.errors import (
    ConfigurationError,
    DependencyUnavailableError,
    PreconditionFailedError,
    ValidationError,
)
from shared.llm.catalogue import TTL_SECONDS, CatalogueBase, ModelCatalogue, parse_configured
from shared.llm.catalogue_store import NOT_STORED_ETAG, CatalogueItem, CatalogueStore
from shared.llm.chat_model import ModelNotFoundError, ModelUnavailableError
from shared.llm.deployments import CatalogueEntry, CatalogueSource, Provider
from shared.llm.packaged_models import packaged_models
from tests.support.fakes import FakeClock, platform_context, tenant_context
from tests.support.memory_cosmos import memory_cosmos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import FrameType

    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from tests.support.memory_cosmos import MemoryCosmos

ACME, GLOBEX = tenant_context("acme"), tenant_context("globex")
BASE = CatalogueBase(packaged_models())


def entry(**said: object) -> CatalogueEntry:
    return CatalogueEntry.model_validate(said)


class Bench:
    """Two instances over one store."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos, self.clock = cosmos, clock
        self.container: Container = cosmos.container("tenants")
        self.store = CatalogueStore(self.container, clock)
        self.allowed: dict[str, list[str]] = {}
        self.catalogue = self.instance()

    def instance(self, base: CatalogueBase = BASE) -> ModelCatalogue:
        async def allowed(tenant: TenantContext) -> Sequence[str]:
            return self.allowed.get(tenant.tenant_id, [])

        return ModelCatalogue(base, self.store, allowed, self.clock)

    async def put(self, name: str, **said: object) -> CatalogueItem:
        item = await self.store.put(name, entry(**said), "admin", None)
        self.catalogue.forget()
        return item


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock = FakeClock()
    async with memory_cosmos(clock) as cosmos:
        yield Bench(cosmos, clock)


async def test_what_is_stored_wins_over_the_setting_and_that_over_the_table(bench: Bench) -> None:
    configured = parse_configured({"gpt-4o": {"default_output_tokens": 11}, "o3": {"reasoning": False}})
    catalogue = bench.instance(CatalogueBase(packaged_models(), configured))
    await bench.put("gpt-4o", default_output_tokens=22)

    known = await catalogue.deployments()

    assert (known["gpt-4o"].default_output_tokens, known["gpt-4o"].source) == (22, CatalogueSource.STORED)
    assert (known["o3"].reasoning, known["o3"].source) == (False, CatalogueSource.SETTING)
    assert (known["gpt-5"].reasoning, known["gpt-5"].source) == (True, CatalogueSource.PACKAGED)


async def test_a_form_of_answers_is_the_entrys_then_the_packaged_models_then_a_schemas(bench: Bench) -> None:
    await bench.put("old", model="gpt-4-turbo")
    await bench.put("older", model="gpt-4-turbo", answer_format="text")
    await bench.put("other", provider="openai-compatible", base_url="http://localhost:11434/v1")
    known = await bench.catalogue.deployments()
    names = ("old", "older", "other", "gpt-4o")
    assert [known[name].answer_format for name in names] == [
        "json_object",
        "text",
        "json_schema",
        "json_schema",
    ]


def test_the_nearest_of_many_names_are_found_without_comparing_each_closely() -> None:
    close = Counter[str]()

    def count(frame: FrameType, event: str, _argument: object) -> None:
        close[event] += frame.f_code is SequenceMatcher.ratio.__code__

    sys.setprofile(count)
    try:
        error = ModelNotFoundError("gpt-4omini", [*(f"{n}" * 100 for n in range(500)), "gpt-4o-mini"])
    finally:
        sys.setprofile(None)

    assert isinstance(available := error.detail["available"], list)
    assert available[0] == "gpt-4o-mini"
    assert close["call"] <= 30


async def test_a_removed_entry_gives_way_to_the_one_below(bench: Bench) -> None:
    await bench.put("gpt-4o", enabled=False)
    assert "gpt-4o" not in await bench.catalogue.deployments()
    await bench.store.remove("gpt-4o", None)
    bench.catalogue.forget()
    assert (await bench.catalogue.deployments())["gpt-4o"].source is CatalogueSource.PACKAGED


async def test_an_entry_that_this_release_cannot_read_lets_the_one_below_not_come_back(bench: Bench) -> None:
    item = await bench.put("gpt-4o", enabled=False)
    newer = item.model_copy(update={"entry": {"provider": "of-a-newer-release", "enabled": False}})
    await Partition.of_platform(bench.container, "models").upsert(newer)
    bench.catalogue.forget()

    assert "gpt-4o" not in await bench.catalogue.deployments()
    with pytest.raises(ModelUnavailableError):
        await bench.catalogue.route(ACME, "gpt-4o")


async def test_names_with_slashes_and_colons_are_kept_apart(bench: Bench) -> None:
    for name in ("a/b", "a:b", "a.b", "vendor/model:8b"):
        await bench.put(name, deployment=name)
    known = await bench.catalogue.deployments()
    assert {known[name].deployment for name in ("a/b", "a:b", "a.b")} == {"a/b", "a:b", "a.b"}
    assert await bench.store.remove("a/b", None)
    assert not await bench.store.remove("a/b", None)


async def test_a_change_is_in_force_here_at_once_and_elsewhere_after_fifteen_seconds(bench: Bench) -> None:
    other = bench.instance()
    await other.deployments()
    await bench.put("ours", model="gpt-4o")

    assert TTL_SECONDS == 15
    assert "ours" in await bench.catalogue.deployments()
    bench.clock.advance(TTL_SECONDS - 1)
    assert "ours" not in await other.deployments()
    bench.clock.advance(1)
    assert "ours" in await other.deployments()


async def test_many_at_once_share_one_question_and_a_warm_path_asks_none(bench: Bench) -> None:
    before = bench.cosmos.transport.requests
    await asyncio.gather(*(bench.catalogue.route(ACME, "gpt-4o") for _ in range(50)))
    for _ in range(50):
        await bench.catalogue.route(GLOBEX, "gpt-4o")
    assert bench.cosmos.transport.requests - before == 1


async def test_while_the_store_is_down_the_last_known_entries_hold_and_nothing_is_made_up(
    bench: Bench,
) -> None:
    await bench.put("ours", model="gpt-4o")
    await bench.catalogue.deployments()
    fresh = bench.instance()
    bench.cosmos.transport.lose_requests = 10**6
    bench.clock.advance(3600)

    assert "ours" in await bench.catalogue.deployments()
    with pytest.raises(DependencyUnavailableError):
        await fresh.deployments()
    bench.clock.advance(24 * 3600)
    with pytest.raises(DependencyUnavailableError):
        await bench.catalogue.deployments()


async def test_unknown_and_not_allowed_look_the_same(bench: Bench) -> None:
    await bench.put("secret-model", model="gpt-4o")
    bench.allowed["globex"] = ["gpt-4o", "gone"]

    await bench.catalogue.require(ACME, "secret-model", "body.model")
    told = []
    for name in ("secret-model", "no-such-model"):
        with pytest.raises(ModelNotFoundError) as caught:
            await bench.catalogue.require(GLOBEX, name, "body.model")
        told.append(
            str((caught.value.status, caught.value.message, dict(caught.value.detail))).replace(name, "it")
        )
        with pytest.raises(ModelUnavailableError):
            await bench.catalogue.route(GLOBEX, name)

    assert told[0] == told[1]
    assert "body.model" in told[0]
    assert "secret" not in told[1]
    assert list(await bench.catalogue.usable(GLOBEX)) == ["gpt-4o"]


async def test_where_only_azure_may_answer_a_model_of_another_provider_is_refused_by_its_field(
    bench: Bench,
) -> None:
    await bench.put("llama", provider="openai-compatible", base_url="http://localhost:11434/v1")
    await bench.put("elsewhere", base_url="https://a.openai.azure.com")

    for name in ("gpt-4o", "elsewhere"):
        await bench.catalogue.require(ACME, name, "body.model", only_azure=True)
    await bench.catalogue.require(ACME, "llama", "body.model")
    with pytest.raises(ValidationError, match="not one of Azure's") as caught:
        await bench.catalogue.require(ACME, "llama", "body.model", only_azure=True)
    fields = caught.value.detail["fields"]
    assert isinstance(fields, dict)
    assert list(fields) == ["body.model"]


async def test_the_administrator_knows_all_models_and_a_tenant_those_that_it_may_use(bench: Bench) -> None:
    bench.allowed["acme"] = ["gpt-4o"]
    assert list(await bench.catalogue.known_to(ACME)) == ["gpt-4o"]
    assert {"gpt-4o", "gpt-5"} <= set(await bench.catalogue.known_to(platform_context()))


async def test_a_route_has_only_what_the_tenant_may_use(bench: Bench) -> None:
    await bench.put("ours", model="gpt-4o", fallbacks=["gpt-4.1", "gone", "gpt-5", "text-embedding-3-small"])

    assert [one.name for one in await bench.catalogue.route(ACME, "ours")] == ["ours", "gpt-4.1", "gpt-5"]
    bench.allowed["acme"] = ["ours", "gpt-5"]
    assert [one.name for one in await bench.catalogue.route(ACME, "ours")] == ["ours", "gpt-5"]


async def test_an_embedding_model_answers_no_chat(bench: Bench) -> None:
    with pytest.raises(ModelNotFoundError):
        await bench.catalogue.require(ACME, "text-embedding-3-small", "body.model")
    with pytest.raises(ModelUnavailableError):
        await bench.catalogue.route(ACME, "text-embedding-3-small")


async def test_the_own_resource_is_called_by_its_configured_version(bench: Bench) -> None:
    catalogue = bench.instance(CatalogueBase(packaged_models(), api_version="2024-10-21"))
    await bench.put("elsewhere", base_url="https://a.openai.azure.com")
    known = await catalogue.deployments()
    assert (known["gpt-4o"].provider, known["gpt-4o"].api_version) == (
        Provider.AZURE_API_VERSION,
        "2024-10-21",
    )
    assert known["elsewhere"].provider is Provider.AZURE


async def test_prices_of_another_currency_are_left_out(bench: Bench) -> None:
    await bench.put("ours", model="gpt-4o", price={"prompt": "1", "completion": "2"})
    in_euro = await bench.instance(CatalogueBase(packaged_models(), currency="EUR")).prices()
    assert (in_euro.currency, list(in_euro.models)) == ("EUR", ["ours"])
    assert "gpt-4o" in (await bench.catalogue.prices()).models


async def test_a_stored_entry_that_would_send_a_secret_astray_is_not_read(bench: Bench) -> None:
    await bench.put("ours", model="gpt-4o")
    bad = {"base_url": "https://evil.example", "key_setting": "COSMOS_KEY"}
    item = CatalogueItem(id="bad", name="bad", entry=bad, updated_at=bench.clock.now(), updated_by="x")
    await Partition.of_platform(bench.container, "models").create(item)

    known = await bench.catalogue.deployments()

    assert "bad" not in known
    assert "ours" in known


async def test_two_who_change_one_entry_do_not_overwrite_each_other(bench: Bench) -> None:
    first = await bench.store.put("ours", entry(model="gpt-4o"), "admin", NOT_STORED_ETAG)
    for stale in (NOT_STORED_ETAG, '"other"'):
        with pytest.raises(PreconditionFailedError):
            await bench.store.put("ours", entry(model="o3"), "admin", stale)
    second = await bench.store.put("ours", entry(model="o3"), "admin", first.etag)
    with pytest.raises(PreconditionFailedError):
        await bench.store.remove("ours", first.etag)
    assert await bench.store.remove("ours", second.etag)
    with pytest.raises(PreconditionFailedError):
        await bench.store.put("ours", entry(), "admin", second.etag)
    with pytest.raises(PreconditionFailedError):
        await bench.store.remove("ours", second.etag)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"a b": {}}, "MODEL_CATALOGUE.a b"),
        ({"a": {"provder": "azure"}}, "MODEL_CATALOGUE.a.provder"),
        ({"a": {"key_setting": "ADMIN_API_KEY"}}, "MODEL_CATALOGUE.a.key_setting"),
        ({"a": 1}, "MODEL_CATALOGUE.a"),
        ({"bots": {}, "bot/support": {}}, "MODEL_CATALOGUE.bot/support"),
    ],
)
def test_a_malformed_setting_names_what_is_wrong(value: object, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configured(value)
    assert any(name.startswith(named) for name in caught.value.missing)
