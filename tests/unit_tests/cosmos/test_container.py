"""`Container`: real status codes decide, three attempts are the most, lost answers do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from local.cosmos.engine.faults import parse_rule
from local.cosmos.wire.messages import Response
from shared.cosmos.container import (
    ANSWERED_BY,
    BatchFailedError,
    BatchFailure,
    BatchOperation,
    Container,
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
    Query,
)
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import DependencyUnavailableError, PayloadTooLargeError
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.cosmos.values import JsonObject
    from shared.cosmos.container import Key
    from tests.support.memory_cosmos import MemoryCosmos

ACME = ("acme",)
CONDITION = "c.tokens + 5 <= 10"


@pytest.fixture(params=["sdk", "fast"])
def container(cosmos: MemoryCosmos, request: pytest.FixtureRequest) -> Container:
    """The container by azure-cosmos, and by the client of our own."""
    return cosmos.sdk_container("prompts") if request.param == "sdk" else cosmos.container("prompts")


def body(item_id: str = "a", **fields: object) -> dict[str, object]:
    return {"id": item_id, "tenant_id": "acme", **fields}


async def test_what_is_created_is_read_back(container: Container) -> None:
    created = await container.create(ACME, body(n=1))

    assert await container.read(ACME, "a") == created
    assert await container.read(ACME, "b") is None
    assert await container.read(("globex",), "a") is None


async def test_an_id_is_created_once(container: Container) -> None:
    await container.create(ACME, body())

    with pytest.raises(ItemExistsError):
        await container.create(ACME, body())


async def test_a_replace_holds_on_to_the_etag(container: Container) -> None:
    first = await container.create(ACME, body(n=1))
    second = await container.replace(ACME, body(n=2), str(first["_etag"]))

    with pytest.raises(ItemChangedError):
        await container.replace(ACME, body(n=3), str(first["_etag"]))
    with pytest.raises(ItemNotFoundError):
        await container.replace(ACME, body("b"), None)
    assert (await container.read(ACME, "a") or {})["n"] == second["n"] == 2


async def test_an_upsert_asks_for_nothing(container: Container) -> None:
    await container.upsert(ACME, body(n=1))
    await container.upsert(ACME, body(n=2))

    assert (await container.read(ACME, "a") or {})["n"] == 2


async def test_a_patch_holds_on_to_its_condition(container: Container) -> None:
    await container.create(ACME, body(tokens=0))
    patch = Patch((PatchOperation("incr", "/tokens", 5), PatchOperation("remove", "/x")), CONDITION)
    counting = Patch((PatchOperation("incr", "/tokens", 5),), CONDITION)

    with pytest.raises(DependencyUnavailableError, match="400"):
        await container.patch(ACME, "a", patch)
    await container.patch(ACME, "a", counting)
    await container.patch(ACME, "a", counting)
    with pytest.raises(ItemChangedError):
        await container.patch(ACME, "a", counting)
    with pytest.raises(ItemNotFoundError):
        await container.patch(ACME, "b", counting)
    assert (await container.read(ACME, "a") or {})["tokens"] == 10


async def test_a_delete_says_what_happened(container: Container) -> None:
    etag = str((await container.create(ACME, body()))["_etag"])

    with pytest.raises(ItemChangedError):
        await container.delete(ACME, "a", '"another"')
    assert await container.delete(ACME, "a", etag) is True
    assert await container.delete(ACME, "a", None) is False


async def test_a_batch_is_done_whole_or_not_at_all(container: Container) -> None:
    await container.create(ACME, body("counter", tokens=0))
    counting = Patch((PatchOperation("incr", "/tokens", 5),), CONDITION)
    operations = [
        BatchOperation("create", "b", body("b")),
        BatchOperation("patch", "counter", patch=counting),
        BatchOperation("upsert", "c", body("c")),
    ]

    stored = await container.batch(ACME, operations)
    with pytest.raises(BatchFailedError) as exists:
        await container.batch(ACME, [BatchOperation("upsert", "d", body("d")), *operations])
    await container.patch(ACME, "counter", counting)
    with pytest.raises(BatchFailedError) as refused:
        await container.batch(ACME, [BatchOperation("upsert", "e", body("e")), operations[1]])

    assert [item["id"] for item in stored] == ["b", "counter", "c"]
    assert (exists.value.index, exists.value.reason) == (1, BatchFailure.EXISTS)
    assert (refused.value.index, refused.value.reason) == (1, BatchFailure.CHANGED)
    assert await container.read(ACME, "d") is None
    assert await container.read(ACME, "e") is None


async def test_a_minimal_batch_answers_the_etags_of_what_it_stored(container: Container) -> None:
    await container.create(ACME, body("old"))
    operations = [
        BatchOperation("create", "new", body("new")),
        BatchOperation("patch", "old", patch=Patch((PatchOperation("set", "/n", 1),))),
        BatchOperation("delete", "old"),
    ]

    first = await container.batch(ACME, operations[:2], minimal=True)
    stored = [await container.read(ACME, item_id) for item_id in ("new", "old")]
    last = await container.batch(ACME, operations[2:], minimal=True)

    assert [answer["_etag"] for answer in first] == [item["_etag"] for item in stored if item is not None]
    assert not any({"id", "_etag"} & answer.keys() for answer in last)
    assert not any("id" in answer for answer in first)


async def test_a_batch_replaces_and_deletes_by_etag(container: Container) -> None:
    etag = str((await container.create(ACME, body(n=1)))["_etag"])
    operations = [
        BatchOperation("replace", "a", body(n=2), etag=etag),
        BatchOperation("create", "b", body("b")),
    ]

    await container.batch(ACME, operations)
    await container.batch(ACME, [BatchOperation("delete", "b")])
    with pytest.raises(BatchFailedError) as stale:
        await container.batch(ACME, [BatchOperation("delete", "a", etag=etag)])

    assert stale.value.reason is BatchFailure.CHANGED
    assert await container.read(ACME, "b") is None


@pytest.mark.parametrize("lost", ["lose_requests", "lose_answers"])
async def test_a_batch_that_is_sent_again_keeps_its_conditions(
    cosmos: MemoryCosmos, container: Container, lost: str
) -> None:
    stored = await container.create(("acme",), {"id": "n", "tenant_id": "acme", "n": 5, "m": 0})
    add = (PatchOperation("incr", "/m", 1),)
    conditional = BatchOperation("patch", "n", patch=Patch(add, condition="c.n < 5"))
    tagged = BatchOperation("patch", "n", patch=Patch(add, etag='"another"'))
    replaced = BatchOperation("replace", "n", body={"id": "n", "tenant_id": "acme"}, etag='"another"')
    for operation in (conditional, tagged, replaced):
        setattr(cosmos.transport, lost, 1)
        with pytest.raises(BatchFailedError) as caught:
            await container.batch(("acme",), [operation])
        assert caught.value.reason is BatchFailure.CHANGED
    assert await container.read(("acme",), "n") == stored


async def test_a_body_tells_which_physical_partition_answered(cosmos: MemoryCosmos) -> None:
    container, keys = cosmos.container("prompts"), [(f"t{number}",) for number in range(8)]

    async def told(key: Key) -> set[object]:
        item: dict[str, object] = {"id": "a", "tenant_id": key[0]}
        change = Patch((PatchOperation("set", "/n", 1),))
        bodies = [
            await container.upsert(key, item),
            await container.replace(key, item, None),
            await container.patch(key, "a", change),
            await container.read(key, "a") or {},
            *await container.batch(key, [BatchOperation("patch", "a", patch=change)]),
        ]
        return {body[ANSWERED_BY] for body in bodies}

    assert [await told(key) for key in keys] == [{"0"}] * len(keys)
    cosmos.split("prompts", keys)
    assert sorted([await told(key) for key in keys], key=str) == [{"1"}] * 4 + [{"2"}] * 4


@pytest.mark.parametrize(
    ("token", "told"),
    [("7:-1#12", "7"), ("7:1#12#4=3", "7"), ("7:-1#12,8:-1#3", None), ("junk", None), (None, None)],
)
async def test_an_answer_of_several_physical_partitions_or_of_none_tells_nothing(
    cosmos: MemoryCosmos, token: str | None, told: str | None
) -> None:
    container = cosmos.sdk_container("prompts")
    await container.create(ACME, body())

    async def answer() -> Response:
        headers = {} if token is None else {"x-ms-session-token": token}
        return Response(200, b'{"id": "a"}', headers)

    cosmos.transport.fault = answer
    assert await container.read(ACME, "a") == {"id": "a", ANSWERED_BY: told}


async def test_a_query_stays_in_its_partition_and_its_limit(container: Container) -> None:
    for number in range(7):
        await container.create(ACME, body(f"i{number}", n=number))
    await container.create(("globex",), {"id": "i9", "tenant_id": "globex", "n": 9})
    query = Query("SELECT c.id, c.n FROM c WHERE c.n >= @least ORDER BY c.id", {"@least": 2}, 3)

    assert [item["id"] for item in await container.query(ACME, query)] == ["i2", "i3", "i4"]
    assert [item["id"] for item in await container.query(("globex",), query)] == ["i9"]


async def test_a_prefix_of_a_hierarchical_key_is_not_a_prefix_of_its_text(cosmos: MemoryCosmos) -> None:
    conversations = cosmos.container("conversations")
    for bot in ("bot", "bots"):
        key = ("acme", bot, "c1")
        item: dict[str, object] = {"id": "head", "tenant_id": "acme", "bot_id": bot, "conversation_id": "c1"}
        await conversations.create(key, item)

    found = await conversations.query(("acme", "bot"), Query("SELECT c.bot_id FROM c"))

    assert found == [{"bot_id": "bot"}]


async def test_an_item_over_two_megabytes_is_too_large(container: Container) -> None:
    with pytest.raises(PayloadTooLargeError):
        await container.create(ACME, body(text="x" * 2_200_000))
    with pytest.raises(PayloadTooLargeError):
        await container.batch(ACME, [BatchOperation("create", "a", body(text="x" * 2_200_000))])


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_lost_request_is_sent_again(cosmos: MemoryCosmos, container: Container, lost: int) -> None:
    await container.create(ACME, body())
    cosmos.transport.requests = 0
    cosmos.transport.lose_requests = lost

    assert await container.read(ACME, "a") is not None
    assert cosmos.transport.requests == lost + 1


@pytest.mark.parametrize("operation", ["read", "create", "query", "batch", "patch"])
async def test_a_store_that_is_down_is_asked_three_times_at_most(
    cosmos: MemoryCosmos, container: Container, operation: str
) -> None:
    await container.create(ACME, body("warm"))
    cosmos.transport.requests = 0
    cosmos.transport.lose_requests = 100
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "read": lambda: container.read(ACME, "a"),
        "create": lambda: container.create(ACME, body()),
        "query": lambda: container.query(ACME, Query("SELECT c.id FROM c")),
        "batch": lambda: container.batch(ACME, [BatchOperation("create", "a", body())]),
        "patch": lambda: container.patch(ACME, "warm", Patch((PatchOperation("set", "/n", 1),))),
    }

    with pytest.raises(DependencyUnavailableError, match="Cosmos DB is not available"):
        await calls[operation]()
    assert cosmos.transport.requests == 3


class NoteItem(StoredItem):
    text: str


async def test_the_store_stamps_the_tenant_and_a_payload_cannot(container: Container) -> None:
    class Sly(NoteItem):
        tenant_id: str = "globex"

    acme = Partition.of(tenant_context("acme"), container)
    await acme.create(Sly(id="n", text="mine"))

    assert (await container.read(ACME, "n") or {})["tenant_id"] == "acme"
    assert await Partition.of(tenant_context("globex"), container).read(NoteItem, "n") is None


async def test_an_item_created_with_a_lost_answer_is_found_again(
    cosmos: MemoryCosmos, container: Container
) -> None:
    acme = Partition.of(tenant_context("acme"), container)
    await acme.create(NoteItem(id="warm", text="x"))
    cosmos.transport.lose_answers = 1

    stored, is_new = await acme.create_or_read(NoteItem(id="n", text="mine"))

    assert (stored.text, is_new) == ("mine", False)


def test_a_partition_without_a_tenant_is_a_value_error(container: Container) -> None:
    with pytest.raises(ValueError, match="tenant_id is required"):
        Partition.of(None, container)  # type: ignore[arg-type]  # what the test is about


@pytest.mark.parametrize("status", [408, 410, 429, 449, 500, 503])
@pytest.mark.parametrize("operation", ["read", "create"])
async def test_a_store_that_refuses_is_asked_three_times_at_most(
    cosmos: MemoryCosmos, container: Container, status: int, operation: str
) -> None:
    await container.create(ACME, body("warm"))
    rule: JsonObject = {"container": "tenantry/prompts", "status": status, "count": 100}
    cosmos.account.faults.add(parse_rule(rule))
    cosmos.transport.requests = 0
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "read": lambda: container.read(ACME, "a"),
        "create": lambda: container.create(ACME, body()),
    }

    with pytest.raises(DependencyUnavailableError):
        await calls[operation]()
    assert cosmos.transport.requests <= 3


async def test_an_item_is_stored_in_its_version_and_made_by_the_names_of_its_fields(
    container: Container,
) -> None:
    item = NoteItem(id="n", text="mine", etag='"seen"')
    await Partition.of(tenant_context("acme"), container).create(item)

    stored = await container.read(ACME, "n") or {}
    assert (item.etag, stored["schema_version"], stored["text"]) == ('"seen"', 1, "mine")
    assert stored["_etag"] != '"seen"'


def test_an_item_that_cannot_be_read_is_told_without_what_people_wrote() -> None:
    with pytest.raises(ValidationError) as caught:
        NoteItem.from_json({"id": "n", "text": ["what a customer wrote"]})

    assert "what a customer wrote" not in str(caught.value)


async def test_many_items_are_read_by_a_hundred_each_once(cosmos: MemoryCosmos, container: Container) -> None:
    acme = Partition.of(tenant_context("acme"), container)
    names = [f"n{number:03}" for number in range(201)]
    for name in names[::2]:
        await acme.create(NoteItem(id=name, text=name))
    cosmos.transport.requests = 0

    found = await acme.read_many(NoteItem, [*names, *names])

    assert sorted(item.id for item in found) == names[::2]
    assert cosmos.transport.requests == 3


async def test_a_patch_operation_without_its_patch_is_a_value_error(container: Container) -> None:
    with pytest.raises(ValueError, match="needs its patch"):
        await container.batch(ACME, [BatchOperation("patch", "a")])
