"""A partition of one owner gives and changes nothing of another, whatever it is handed."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import pytest

from shared.cosmos.container import BatchOperation, ItemNotFoundError, Patch, PatchOperation, Query
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import APIError
from tests.support.fakes import tenant_context
from tests.support.memory_cosmos import DEFINITION, MemoryCosmos, memory_cosmos

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SECRET = "the-owners-words"  # noqa: S105  # nobody's password
OWNER = tenant_context("victimcorp")
STRANGERS = ("stranger", "victimcorp2", "VICTIMCORP")
IDS = ("secret", "victimcorp/secret", "victimcorp|secret")
ETAGS = (None, "theirs", "*")
OWNERS_IN_BODIES: tuple[Any, ...] = (None, "victimcorp", ["victimcorp"], {"$ref": "victimcorp"}, "global:x")
CONTAINERS: Final = {
    container["id"]: container["partitionKey"]["paths"]
    for container in json.loads(DEFINITION.read_text())["containers"]
}


class Thing(StoredItem):
    """Something of either's; its payload names an owner, truly or not."""

    words: str = ""
    tenant_id: Any = None
    bot_id: str = "secret"
    conversation_id: str = "secret"
    day: str = "secret"


type Operation = Callable[[Partition, Thing, str | None], Awaitable[object]]
_RENAME = Patch((PatchOperation("set", "/words", "changed"),))


def _patch(etag: str | None) -> Patch:
    return Patch(_RENAME.operations, etag=etag)


OPERATIONS: dict[str, Operation] = {
    "read": lambda mine, thing, _: mine.read(Thing, thing.id),
    "create": lambda mine, thing, _: mine.create(thing),
    "upsert": lambda mine, thing, _: mine.upsert(thing),
    "patch": lambda mine, thing, etag: mine.patch(Thing, thing.id, _patch(etag)),
    "delete": lambda mine, thing, etag: mine.delete(thing.id, etag),
    "create or read": lambda mine, thing, _: mine.create_or_read(thing),
    "query": lambda mine, thing, _: mine.query(
        Thing,
        Query(
            "SELECT c.id, c.words FROM c WHERE c.id = @id OR c.tenant_id = 'victimcorp' OR true",
            {"@id": thing.id},
        ),
    ),
    "batch of creates": lambda mine, thing, _: mine.batch([mine.creating(thing)]),
    "batch of patches": lambda mine, thing, etag: mine.batch([mine.patching(thing.id, _patch(etag))]),
    "batch of deletes": lambda mine, thing, etag: mine.batch([BatchOperation("delete", thing.id, etag=etag)]),
}


WITH_ETAG = {"patch", "delete", "batch of patches", "batch of deletes"}
WITH_BODY = {"create", "upsert", "create or read", "batch of creates"}


def ways(name: str) -> product[tuple[str, str, str | None, Any]]:
    """Combine who asks, for which id, under which ETag, with whose name in the body, as far as it is sent."""
    etags = ETAGS if name in WITH_ETAG else (None,)
    owners = OWNERS_IN_BODIES if name in WITH_BODY else (None,)
    return product(STRANGERS, IDS, etags, owners)


def levels(paths: list[str], item_id: str) -> tuple[str, ...]:
    """Name the further levels of a hierarchical key, as an item of this id has them."""
    return tuple(item_id if path == "/id" else "secret" for path in paths[1:])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.slow
async def test_an_operation_of_a_strangers_reaches_nothing_of_the_owners(container: str) -> None:
    paths = CONTAINERS[container]
    asked = 0
    async with memory_cosmos() as cosmos:
        theirs = Partition.of(OWNER, cosmos.container(container), *levels(paths, "secret"))
        stored = await theirs.create(Thing(id="secret", words=SECRET))
        before = cosmos.rows_of("victimcorp")

        every_way = ((name, *way) for name in OPERATIONS for way in ways(name))
        for name, tenant, item_id, etag, owner in every_way:
            mine = Partition.of(tenant_context(tenant), cosmos.container(container), *levels(paths, item_id))
            thing = Thing(id=item_id, words="mine", tenant_id=owner)
            try:
                answer = repr(await OPERATIONS[name](mine, thing, stored.etag if etag == "theirs" else etag))
            except (APIError, ValueError) as error:  # the SDK's own, for ids that no item can have
                answer = repr(error)
            asked += 1
            assert SECRET not in answer, (name, tenant, item_id)

        assert cosmos.rows_of("victimcorp") == before
        assert all(
            json.loads(body)["words"] != SECRET for one in STRANGERS for _, _, body in cosmos.rows_of(one)
        )
    ways_each = 2 + len(WITH_ETAG) * len(ETAGS) + len(WITH_BODY) * len(OWNERS_IN_BODIES)
    assert asked == len(STRANGERS) * len(IDS) * ways_each


@pytest.mark.parametrize("name", [name for name in CONTAINERS if len(CONTAINERS[name]) > 1])
async def test_a_query_of_all_that_a_tenant_has_ends_at_the_tenant(name: str) -> None:
    async with memory_cosmos() as cosmos:
        container = cosmos.container(name)
        for tenant in ("victimcorp", *STRANGERS):
            own = Partition.of(tenant_context(tenant), container, *levels(CONTAINERS[name], "secret"))
            await own.create(Thing(id="secret", words=f"of {tenant}"))

        for tenant in STRANGERS:
            found = await Partition.of(tenant_context(tenant), container).query(
                Thing, Query("SELECT c.id, c.words FROM c")
            )
            assert [thing.words for thing in found] == [f"of {tenant}"]


async def test_what_is_missing_is_missing_by_name() -> None:
    async with memory_cosmos() as cosmos:
        stranger = Partition.of(tenant_context("stranger"), cosmos.container("bots"))

        with pytest.raises(ItemNotFoundError, match="secret"):
            await stranger.patch(Thing, "secret", _RENAME)


def test_without_a_tenant_there_is_no_partition() -> None:
    cosmos = MemoryCosmos.__new__(MemoryCosmos)
    for missing in (None, "", "victimcorp", {"tenant_id": "victimcorp"}):
        with pytest.raises(ValueError, match="tenant_id"):
            Partition.of(missing, cosmos)  # type: ignore[arg-type]  # what a careless caller would hand over
