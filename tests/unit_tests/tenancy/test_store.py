"""The directory of tenants: what is listed, page by page, whatever became of an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.cosmos.partition import Partition
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.errors import KeyNotFoundError
from shared.tenancy.key_store import KeyStore
from shared.tenancy.store import DirectoryItem, TenantItem, TenantStatus, TenantStore, Tier
from tests.support.fakes import EPOCH

if TYPE_CHECKING:
    from tests.support.memory_cosmos import MemoryCosmos

ACME = parse_tenant_id("acme")


@pytest.fixture
def store(cosmos: MemoryCosmos) -> TenantStore:
    return TenantStore(cosmos.container("tenants"))


async def create(store: TenantStore, tenant_id: str) -> None:
    await store.create(
        TenantItem(
            tenant_id=tenant_id,
            name=tenant_id,
            tier=Tier.FREE,
            status=TenantStatus.ACTIVE,
            created_at=EPOCH,
        )
    )


async def claim(cosmos: MemoryCosmos, *tenant_ids: str) -> None:
    """Claim ids that come to nothing, as a crash does."""
    directory = Partition.of_platform(cosmos.container("tenants"), "tenants")
    for tenant_id in tenant_ids:
        await directory.create(DirectoryItem(id=tenant_id, name=tenant_id, claimed_as=tenant_id))


async def test_a_page_of_ids_that_nobody_has_does_not_end_the_list_of_tenants(
    store: TenantStore, cosmos: MemoryCosmos
) -> None:
    await claim(cosmos, *(f"a{number:03d}" for number in range(100)))  # a whole page of the directory
    await create(store, "zulu")

    listed = [tenant.tenant_id for tenant in await store.page(None, 100)]
    gone_through = [tenant_id async for ids in store.ids() for tenant_id in ids]

    assert listed == ["zulu"]
    assert gone_through[-1] == "zulu"


async def test_a_page_is_full_though_ids_that_nobody_has_lie_between(
    store: TenantStore, cosmos: MemoryCosmos
) -> None:
    for name in ("alpha", "delta", "golf"):
        await create(store, name)
    await claim(cosmos, "bravo", "charlie", "echo", "foxtrot")

    first = [tenant.tenant_id for tenant in await store.page(None, 2)]
    rest = [tenant.tenant_id for tenant in await store.page(first[-1], 2)]

    assert (first, rest) == (["alpha", "delta"], ["golf"])


@pytest.mark.slow
async def test_more_tenants_than_a_page_are_all_gone_through(store: TenantStore) -> None:
    names = [f"t{number:03d}" for number in range(101)]
    for name in names:
        await create(store, name)

    assert [tenant_id async for ids in store.ids() for tenant_id in ids] == names


async def test_a_change_is_told_even_where_it_failed_since_it_may_have_been_made(
    cosmos: MemoryCosmos, store: TenantStore
) -> None:
    told: list[str] = []
    store.subscribe(told.append)

    with pytest.raises(KeyNotFoundError):
        await KeyStore(cosmos.container("tenants"), store).revoke(ACME, "0" * 12, EPOCH)

    assert told == ["acme"]
