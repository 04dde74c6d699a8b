"""Databases and containers: found by name, created, replaced, deleted."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from local.cosmos.engine import identity
from local.cosmos.engine.partitions import Partitions
from local.cosmos.engine.policy import Policy, complete, parse_policy
from local.cosmos.errors import bad_request, conflict, not_found, owner_not_found, precondition_failed
from local.cosmos.storage.database import ContainerRow, DatabaseRow
from local.cosmos.storage.items import ItemTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.cosmos.engine.partition import EpkRange
    from local.cosmos.storage.database import Database
    from local.cosmos.values import Json, JsonObject

type Clock = Callable[[], float]

MAX_NAME: Final = 255
_BAD_NAME: Final = re.compile(r"[/\\?#\x00-\x1f]| $")


class ContainerName(NamedTuple):
    """A container's full name."""

    database: str
    container: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container ready for use."""

    name: ContainerName
    row: ContainerRow
    policy: Policy
    table: ItemTable
    rid: str
    self_link: str
    partitions: Partitions

    @property
    def ranges(self) -> Mapping[str, EpkRange]:
        """The physical partitions by their ids."""
        return self.partitions.ranges

    def describe(self) -> JsonObject:
        """Give the container's properties as the wire shows them."""
        return {
            **self.row.properties,
            "id": self.row.id,
            "_rid": self.rid,
            "_ts": self.row.ts,
            "_self": self.self_link,
            "_etag": self.row.etag,
            "_docs": "docs/",
            "_sprocs": "sprocs/",
            "_triggers": "triggers/",
            "_udfs": "udfs/",
            "_conflicts": "conflicts/",
        }


def describe_database(row: DatabaseRow) -> JsonObject:
    """Give a database's properties as the wire shows them."""
    rid = identity.database_rid(row.number)
    return {
        "id": row.id,
        "_rid": rid,
        "_self": f"dbs/{rid}/",
        "_etag": row.etag,
        "_colls": "colls/",
        "_users": "users/",
        "_ts": row.ts,
    }


class Catalog:
    """The databases and containers of the account."""

    def __init__(self, store: Database, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._databases: dict[str, DatabaseRow] = {row.id: row for row in store.databases()}
        self._containers: dict[ContainerName, Container] = {}
        names = {row.number: row.id for row in self._databases.values()}
        for row in store.containers():
            self._open(row, names[row.database])

    def databases(self) -> list[DatabaseRow]:
        """List the databases."""
        return list(self._databases.values())

    def database(self, database_id: str) -> DatabaseRow:
        """Find a database."""
        row = self._databases.get(database_id)
        if row is None:
            raise not_found()
        return row

    def owner(self, database_id: str) -> DatabaseRow:
        """Find the database of a container that is about to be listed or created."""
        row = self._databases.get(database_id)
        if row is None:
            raise owner_not_found()
        return row

    def create_database(self, database_id: Json, throughput: int | None = None) -> DatabaseRow:
        """Create a database."""
        name = _checked_name(database_id)
        if name in self._databases:
            raise conflict()
        ts = int(self._clock())
        number = max((row.number for row in self._databases.values()), default=0) + 1
        with self._store.transaction():
            row = self._store.add_database(name, ts, identity.etag(0, number, ts), throughput)
        self._databases[name] = row
        return row

    def delete_database(self, database_id: str, if_match: str | None = None) -> None:
        """Delete a database with all its containers."""
        row = self.database(database_id)
        _check_match(if_match, row.etag)
        inside = [name for name in self._containers if name.database == database_id]
        with self._store.transaction():
            for name in inside:
                self._drop(self._containers[name])
            self._store.drop_database(row.number)
        for name in inside:
            del self._containers[name]
        del self._databases[database_id]

    def containers(self, database_id: str) -> list[Container]:
        """List the containers of a database."""
        self.owner(database_id)
        return [container for name, container in self._containers.items() if name.database == database_id]

    def all_containers(self) -> list[Container]:
        """List the containers of all databases."""
        return list(self._containers.values())

    def container(self, name: ContainerName) -> Container:
        """Find a container."""
        found = self._containers.get(name)
        if found is None:
            if name.database not in self._databases:
                raise owner_not_found()
            raise not_found()
        return found

    def container_of_items(self, name: ContainerName) -> Container:
        """Find the container of items, whose absence is not the items' own."""
        found = self._containers.get(name)
        if found is None:
            raise owner_not_found()
        return found

    def create_container(
        self, database_id: str, properties: JsonObject, throughput: int | None = None
    ) -> Container:
        """Create a container."""
        database = self.owner(database_id)
        name = ContainerName(database_id, _checked_name(properties.get("id")))
        if name in self._containers:
            raise conflict()
        completed = complete(properties)
        version = parse_policy(completed).partition.version
        cut = Partitions.for_throughput(throughput, version)
        ts = int(self._clock())
        with self._store.transaction():
            row = self._store.add_container(
                ContainerRow(0, database.number, name.container, ts, "", completed, throughput)
            )
            ranges = None if len(cut.ranges) == 1 else cut.to_json()
            row = dataclasses.replace(row, etag=identity.etag(row.number, 0, ts), ranges=ranges)
            self._store.update_container(row)
            ItemTable.create(self._store, row.number)
        return self._open(row, database_id)

    def replace_container(
        self, name: ContainerName, properties: JsonObject, if_match: str | None = None
    ) -> Container:
        """Replace a container's properties; its partition key and unique keys stay as they are."""
        old = self.container(name)
        _check_match(if_match, old.row.etag)
        if properties.get("id") != name.container:
            raise bad_request("The id of a container cannot be changed.")
        completed = complete(properties)
        policy = parse_policy(completed)
        if policy.partition != old.policy.partition:
            raise bad_request("Document collection partition key cannot be changed.")
        if policy.unique_keys != old.policy.unique_keys:
            raise bad_request("Document collection unique key policy cannot be changed.")
        ts = int(self._clock())
        etag = identity.etag(old.row.number, int(old.row.etag[1:9], 16) + 1, ts)
        row = dataclasses.replace(old.row, ts=ts, etag=etag, properties=completed)
        with self._store.transaction():
            self._store.update_container(row)
            if policy.default_ttl != old.policy.default_ttl:
                old.table.set_default_ttl(policy.default_ttl)
        return self._open(row, name.database)

    def delete_container(self, name: ContainerName, if_match: str | None = None) -> None:
        """Delete a container with all its items."""
        container = self.container(name)
        _check_match(if_match, container.row.etag)
        with self._store.transaction():
            self._drop(container)
        del self._containers[name]

    def split(self, name: ContainerName, *at: bytes) -> Container:
        """Split a container's physical partitions at the given keys, each of which begins a new one.

        Raises:
            CosmosError: 400 where a key is a bound already, or none is given.
        """
        container = self.container(name)
        row = dataclasses.replace(container.row, ranges=container.partitions.split(at).to_json())
        with self._store.transaction():
            self._store.update_container(row)
        return self._open(row, name.database)

    def split_evenly(self, name: ContainerName, range_id: str | None, parts: int) -> Container:
        """Split one physical partition, or the largest, into parts that have equally many of its keys.

        Raises:
            CosmosError: 400 where it has fewer keys than it is to have parts, 404 where there is no such one.
        """
        container = self.container(name)
        sizes = {
            one: container.table.measure(own.low, own.high).items for one, own in container.ranges.items()
        }
        chosen = max(sizes, key=sizes.__getitem__) if range_id is None else range_id
        if chosen not in sizes:
            raise not_found(f"There is no physical partition {chosen!r}; there are {', '.join(sizes)}.")
        keys = container.table.distinct_keys(container.ranges[chosen].low, container.ranges[chosen].high)
        if len(keys) < parts:
            raise bad_request(f"The physical partition has {len(keys)} keys, too few for {parts} parts.")
        return self.split(name, *(keys[len(keys) * part // parts] for part in range(1, parts)))

    def set_throughput(self, name: ContainerName, throughput: int) -> Container:
        """Store a container's throughput."""
        row = dataclasses.replace(self.container(name).row, throughput=throughput)
        with self._store.transaction():
            self._store.update_container(row)
        return self._open(row, name.database)

    def set_database_throughput(self, database_id: str, throughput: int) -> DatabaseRow:
        """Store a database's throughput."""
        row = dataclasses.replace(self.database(database_id), throughput=throughput)
        with self._store.transaction():
            self._store.set_database_throughput(row.number, throughput)
        self._databases[database_id] = row
        return row

    def ensure(self, definition: JsonObject) -> None:
        """Create what a definition file names and is not there; replace what it describes differently.

        Raises:
            CosmosError: 400 where the definition is malformed, or changes what cannot be changed.
        """
        database_id, wanted = definition.get("database"), definition.get("containers")
        if not isinstance(database_id, str) or not isinstance(wanted, list):
            raise bad_request('The definition needs "database" and a list of "containers".')
        if database_id not in self._databases:
            self.create_database(database_id)
        for properties in wanted:
            if not isinstance(properties, dict):
                raise bad_request("Each container of the definition has to be an object.")
            name = ContainerName(database_id, str(properties.get("id")))
            existing = self._containers.get(name)
            if existing is None:
                self.create_container(database_id, properties)
            elif complete(properties) != existing.row.properties:
                self.replace_container(name, properties)

    def _open(self, row: ContainerRow, database_id: str) -> Container:
        name = ContainerName(database_id, row.id)
        policy = parse_policy(row.properties)
        known = self._containers.get(name)
        table = (
            known.table
            if known is not None
            else ItemTable(self._store, row.number, unique_keys=len(policy.unique_keys))
        )
        rid = identity.container_rid(row.database, row.number)
        self_link = f"dbs/{identity.database_rid(row.database)}/colls/{rid}/"
        container = Container(name, row, policy, table, rid, self_link, Partitions.from_json(row.ranges))
        self._containers[name] = container
        return container

    def _drop(self, container: Container) -> None:
        ItemTable.drop(self._store, container.row.number)
        self._store.drop_container(container.row.number)


def _checked_name(name: Json) -> str:
    if not isinstance(name, str) or not name:
        raise bad_request(
            "The input content is invalid because the required properties - 'id; ' - are missing"
        )
    if len(name) > MAX_NAME or _BAD_NAME.search(name):
        raise bad_request(f"The input name '{name}' is invalid. Ensure to provide a unique non-empty string.")
    return name


def _check_match(if_match: str | None, etag: str) -> None:
    if if_match is not None and if_match not in {"*", etag}:
        raise precondition_failed()
