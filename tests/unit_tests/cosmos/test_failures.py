"""Each failure of Cosmos DB is classified by itself, and a tenant's rate is no other tenant's failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import ClientError
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.utils import CaseInsensitiveDict
from azure.cosmos import CosmosDict, exceptions

from shared.cosmos.partition import Partition, StoredItem
from shared.cosmos.sdk import SdkContainer, classify
from shared.errors import DependencyUnavailableError
from shared.resilience.azure_transport import ConnectionLostError
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpRequest
    from azure.cosmos.aio import ContainerProxy

    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos


SDK: Any = exceptions  # its constructors have no types


def refusal(status: int) -> Exception:
    error: Exception = SDK.CosmosHttpResponseError(status_code=status, message="refused")
    return error


TRANSIENT: dict[str, Exception] = {
    **{str(status): refusal(status) for status in (408, 410, 449, 500, 502, 503, 504)},
    "a batch's 449": SDK.CosmosBatchOperationError(0, {}, 449, "refused", []),
    "no connection": ServiceRequestError("refused"),
    "no answer": ServiceResponseError("closed"),
    "the SDK's own time limit": SDK.CosmosClientTimeoutError(),
    "aiohttp's": ClientError("broken"),
    "a lost connection": ConnectionLostError("lost"),
    "the socket's": ConnectionResetError("reset"),
}
FINAL: dict[str, Exception] = {
    **{str(status): refusal(status) for status in (400, 401, 403, 404, 409, 412, 413)},
    "a batch's 409": SDK.CosmosBatchOperationError(0, {}, 409, "refused", []),
    "a defect": ValueError("wrong"),
}


class Proxy:
    """A container of the SDK's that fails as it is told, by tenant, and counts what it is asked."""

    id = "prompts"

    def __init__(self, failures: dict[str, list[Exception]]) -> None:
        self.failures = failures
        self.asked: list[str] = []

    async def read_item(self, item_id: str, partition_key: str) -> CosmosDict:
        self.asked.append(partition_key)
        if self.failures.get(partition_key):
            raise self.failures[partition_key].pop(0)
        return CosmosDict({"id": item_id}, response_headers=CaseInsensitiveDict())


def open_container(proxy: Proxy, clock: FakeClock) -> SdkContainer:
    dependency = Dependency("Cosmos DB", classify, Policy(), clock)
    return SdkContainer(cast("ContainerProxy", proxy), dependency)


@pytest.mark.parametrize("failure", TRANSIENT)
async def test_what_another_attempt_may_cure_is_tried_again(failure: str, clock: FakeClock) -> None:
    proxy = Proxy({"acme": [TRANSIENT[failure]]})

    assert await open_container(proxy, clock).read(("acme",), "a") is not None
    assert proxy.asked == ["acme", "acme"]
    told = classify(TRANSIENT[failure])
    assert told is not None
    assert not told.throttled


@pytest.mark.parametrize("failure", FINAL)
async def test_what_no_attempt_cures_is_asked_once(failure: str, clock: FakeClock) -> None:
    error = FINAL[failure]
    proxy = Proxy({"acme": [error]})
    assert classify(error) is None

    with pytest.raises(Exception):  # noqa: B017, PT011  # which one is the operations' own tests' matter
        await open_container(proxy, clock).read(("acme",), "a")
    assert proxy.asked == ["acme"]


async def test_a_throttled_request_waits_for_as_long_as_the_service_says(clock: FakeClock) -> None:
    throttled: Any = refusal(429)
    throttled.headers = {"x-ms-retry-after-ms": "700"}
    proxy = Proxy({"acme": [throttled]})

    assert await open_container(proxy, clock).read(("acme",), "a") is not None
    assert len(clock.slept) == 1
    assert 0.7 <= clock.slept[0] <= 0.8


async def test_one_tenants_throttling_cuts_off_nobody_else(clock: FakeClock) -> None:
    proxy = Proxy({"acme": [refusal(429) for _ in range(1_000)]})
    container = open_container(proxy, clock)
    for _ in range(20):
        with pytest.raises(DependencyUnavailableError):
            await container.read(("acme",), "a")
    acmes = proxy.asked.count("acme")
    assert acmes < 60  # its own part is left alone by now

    for tenant in ("globex", "acme-eu"):
        assert await container.read((tenant,), "a") == {"id": "a", "_pkrange": None}
    assert proxy.asked.count("acme") == acmes


class NoteItem(StoredItem):
    text: str


async def test_an_item_that_is_deleted_between_the_two_requests_is_created_anew(cosmos: MemoryCosmos) -> None:
    acme = Partition.of(tenant_context("acme"), cosmos.container("prompts"))
    await acme.create(NoteItem(id="n", text="theirs"))
    requests = 0

    def delete_before_the_read(_: HttpRequest) -> None:
        nonlocal requests
        requests += 1
        if requests == 2:
            key = cosmos.key_of("prompts", ("acme",))
            table = cosmos.account.catalog.container(cosmos.name_of("prompts")).table
            table.delete_partition(key.canonical, key.epk)

    cosmos.transport.watch = delete_before_the_read
    stored, is_new = await acme.create_or_read(NoteItem(id="n", text="mine"))

    assert (stored.text, is_new) == ("mine", True)
    found = await acme.read(NoteItem, "n")
    assert found is not None
    assert found.text == "mine"
