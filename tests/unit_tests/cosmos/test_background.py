"""Work in the background asks the store in its own throughput bucket, where it has one; requests never do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import BatchOperation, Patch, PatchOperation, Query
from shared.cosmos.sdk import SdkContainer
from shared.resilience.background import background_work, is_in_background
from tests.unit_tests.messaging.deliveries import FakeDelivery
from tests.unit_tests.messaging.edge import Edge, Order, order

if TYPE_CHECKING:
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos

BUCKET = "x-ms-cosmos-throughput-bucket"
ACME = ("acme",)


async def ask_for_everything(container: Container) -> None:
    """Do each operation once."""
    await container.create(ACME, {"id": "a", "tenant_id": "acme", "n": 0})
    await container.upsert(ACME, {"id": "b", "tenant_id": "acme"})
    await container.replace(ACME, {"id": "b", "tenant_id": "acme", "n": 1}, None)
    await container.read(ACME, "a")
    await container.patch(ACME, "a", Patch((PatchOperation("incr", "/n", 1),)))
    await container.query(ACME, Query("SELECT c.id FROM c", limit=5))
    await container.batch(ACME, [BatchOperation("delete", item_id="a")])
    await container.delete(ACME, "b", None)


async def buckets(cosmos: MemoryCosmos, bucket: int | None, *, background: bool) -> list[str | None]:
    """Tell the bucket of each request."""
    proxy = cosmos.client.get_database_client("tenantry").get_container_client("prompts")
    container = SdkContainer(proxy, cosmos.dependency, bucket)
    seen: list[str | None] = []
    cosmos.transport.watch = lambda request: seen.append(request.headers.get(BUCKET))
    if background:
        with background_work():
            await ask_for_everything(container)
    else:
        await ask_for_everything(container)
    return seen


@pytest.mark.parametrize(
    ("bucket", "background", "sent"), [(2, True, "2"), (2, False, None), (None, True, None)]
)
async def test_only_work_in_the_background_names_the_bucket_and_each_of_its_operations_does(
    cosmos: MemoryCosmos, bucket: int | None, sent: str | None, *, background: bool
) -> None:
    assert await buckets(cosmos, bucket, background=background) == [sent] * 8


async def test_a_message_is_handled_in_the_background_and_what_comes_after_is_not(
    cosmos: MemoryCosmos, clock: FakeClock
) -> None:
    edge = Edge(cosmos, clock)
    seen: list[bool] = []

    async def handle(tenant: TenantContext, message: Order) -> None:
        seen.append(is_in_background())

    await edge.queue.take(FakeDelivery(order()), handle)

    assert seen == [True]
    assert not is_in_background()
