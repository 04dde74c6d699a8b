"""A container without asyncio, with azure-cosmos's methods on items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from tenantry_client.cosmos.blocking_pool import run_to_end
from tenantry_client.cosmos.change_feed import ChangeFeed
from tenantry_client.cosmos.container_operations import ContainerOperations
from tenantry_client.cosmos.delegation import ClientFace, Delegated
from tenantry_client.cosmos.feed_ranges import read_feed_range, write_feed_range
from tenantry_client.cosmos.item_feed import ItemFeed
from tenantry_client.cosmos.item_reading import ItemReader
from tenantry_client.cosmos.paged import CosmosItemPaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tenantry_client.cosmos.answers import CosmosDict, CosmosList
    from tenantry_client.cosmos.client_core import ClientCore
    from tenantry_client.cosmos.container_operations import Item
    from tenantry_client.cosmos.item_batches import BatchStep
    from tenantry_client.cosmos.partition_key import PartitionKeyType
    from tenantry_client.cosmos.request_options import (
        ChangeFeedOptions,
        CreateOptions,
        ListOptions,
        PatchOptions,
        QueryOptions,
        ReadManyOptions,
        ReadOptions,
        RequestOptions,
        WriteOptions,
    )


class ContainerProxy:
    """One container. Errors are those of `tenantry_client.cosmos.exceptions`.

    Args:
        client: The client.
        database_id: The database.
        container_id: The container.
    """

    scripts = Delegated()
    is_system_key = Delegated()
    read_offer = Delegated()
    get_throughput = Delegated()
    replace_throughput = Delegated()
    list_conflicts = Delegated()
    query_conflicts = Delegated()
    get_conflict = Delegated()
    delete_conflict = Delegated()
    semantic_rerank = Delegated()

    def __init__(self, client: ClientFace, database_id: str, container_id: str) -> None:
        self.id = container_id
        self.database_link = f"dbs/{database_id}"
        self.container_link = f"{self.database_link}/colls/{container_id}"
        self._client = client
        self._database_id = database_id
        self._state = client.client_connection.container(database_id, container_id)
        self._operations = ContainerOperations(self._state)

    def __repr__(self) -> str:
        return f"<ContainerProxy [{self.container_link}]>"[:1024]

    @property
    def client_connection(self) -> ClientCore:
        """The client behind this."""
        return self._client.client_connection

    def read(
        self,
        *,
        populate_partition_key_range_statistics: bool | None = None,
        populate_quota_info: bool | None = None,
        **options: Unpack[RequestOptions],
    ) -> CosmosDict:
        """Return the container's properties."""
        head = (
            "x-ms-documentdb-populatepartitionstatistics: True\r\n"
            if populate_partition_key_range_statistics
            else ""
        )
        head += "x-ms-documentdb-populatequotainfo: True\r\n" if populate_quota_info else ""
        compiled = self._state.compiler.of_read(options)
        properties = run_to_end(self._state.read_properties(compiled, head))
        if compiled.hook is not None:
            compiled.hook(properties.get_response_headers(), properties)
        return properties

    def create_item(self, body: Mapping[str, Any], **options: Unpack[CreateOptions]) -> CosmosDict:
        """Store a new item; return it as it is stored."""
        return run_to_end(self._operations.create(body, options))

    def read_item(
        self, item: Item, partition_key: PartitionKeyType, **options: Unpack[ReadOptions]
    ) -> CosmosDict:
        """Return an item; an empty one where the condition says that the caller has it already."""
        return run_to_end(self._operations.read(item, partition_key, options))

    def upsert_item(self, body: Mapping[str, Any], **options: Unpack[WriteOptions]) -> CosmosDict:
        """Store an item, whether or not one of its id is there; return it as it is stored."""
        return run_to_end(self._operations.upsert(body, options))

    def replace_item(
        self, item: Item, body: Mapping[str, Any], **options: Unpack[WriteOptions]
    ) -> CosmosDict:
        """Replace an item; return it as it is stored."""
        return run_to_end(self._operations.replace(item, body, options))

    def patch_item(
        self,
        item: Item,
        partition_key: PartitionKeyType,
        patch_operations: Sequence[Mapping[str, Any]],
        **options: Unpack[PatchOptions],
    ) -> CosmosDict:
        """Change an item where it stands; return it as it is stored."""
        return run_to_end(self._operations.patch(item, partition_key, patch_operations, options))

    def delete_item(
        self, item: Item, partition_key: PartitionKeyType, **options: Unpack[WriteOptions]
    ) -> None:
        """Remove an item."""
        run_to_end(self._operations.delete(item, partition_key, options))

    def delete_all_items_by_partition_key(
        self, partition_key: PartitionKeyType, **options: Unpack[WriteOptions]
    ) -> None:
        """Remove all items of a partition; the service goes on with that after it has answered."""
        run_to_end(self._operations.delete_partition(partition_key, options))

    def execute_item_batch(
        self,
        batch_operations: Sequence[BatchStep],
        partition_key: PartitionKeyType,
        **options: Unpack[WriteOptions],
    ) -> CosmosList:
        """Do all of the operations, at most 100, or none; return the answer of each."""
        return run_to_end(self._operations.batch(batch_operations, partition_key, options))

    def read_items(
        self,
        items: Sequence[tuple[str, PartitionKeyType]],
        *,
        max_concurrency: int | None = None,  # noqa: ARG002 - the port has it
        **options: Unpack[ReadManyOptions],
    ) -> CosmosList:
        """Return those of the items that there are, in the order in which they are named."""
        return run_to_end(ItemReader(self._state, self._operations, options).read(items))

    def read_all_items(self, **options: Unpack[ListOptions]) -> CosmosItemPaged:
        """Return all items."""
        return CosmosItemPaged(lambda token: ItemFeed(self._state, None, options, token))

    def query_items(self, query: str, **options: Unpack[QueryOptions]) -> CosmosItemPaged:
        """Return the results of a query: within a partition, within a range of them, or over all."""
        return CosmosItemPaged(lambda token: ItemFeed(self._state, query, options, token))

    def query_items_change_feed(self, **options: Unpack[ChangeFeedOptions]) -> CosmosItemPaged:
        """Return what has changed; `by_page` and the header `etag` tell where to go on later."""
        return CosmosItemPaged(lambda token: ChangeFeed(self._state, options, token))

    def read_feed_ranges(self, *, force_refresh: bool = False) -> Iterator[dict[str, Any]]:
        """Return the ranges that the physical partitions have now."""
        routing = run_to_end(self._state.routing(anew=force_refresh))
        for partition in routing.partitions:
            yield write_feed_range(partition.range)

    def feed_range_from_partition_key(self, partition_key: PartitionKeyType) -> dict[str, Any]:
        """Return the range of one partition, or of a prefix of a hierarchical key."""
        facts = run_to_end(self._state.facts())
        return write_feed_range(facts.definition.range_of(partition_key))

    def is_feed_range_subset(
        self, parent_feed_range: Mapping[str, Any], child_feed_range: Mapping[str, Any]
    ) -> bool:
        """Tell whether one range lies within another."""
        return read_feed_range(child_feed_range).within(read_feed_range(parent_feed_range))

    def _sdk(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        return self._client.sdk().get_database_client(self._database_id).get_container_client(self.id)
