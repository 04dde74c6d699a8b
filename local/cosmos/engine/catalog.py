"""Databases and containers: found by name, created, replaced, deleted."""

from __future__ import annotations

import dataclasses
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from local.cosmos.engine import identity
from local.cosmos.engine.partition import EVERYTHING, EpkRange
from local.cosmos.engine.policy import Policy, complete, parse_policy
from local.cosmos.errors import bad_request, conflict, not_found, owner_not_found, precondition_failed
from local.cosmos.storage.database import ContainerRow, DatabaseRow
from local.cosmos.storage.items import ItemTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    """A container ready for use.

    Attributes:
        ranges: The physical partitions by their ids.
    """

    name: ContainerName
    row: ContainerRow
    policy: Policy
    table: ItemTable
    rid: str
    self_link: str
    ranges: Mapping[str, EpkRange]

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
        parse_policy(completed)
        ts = int(self._clock())
        with self._store.transaction():
            row = self._store.add_container(
                ContainerRow(0, database.number, name.container, ts, "", completed, throughput)
            )
            row = dataclasses.replace(row, etag=identity.etag(row.number, 0, ts))
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

    def split(self, name: ContainerName, *at: bytes) -> None:
        """Split a container, once, into physical partitions that end where the given keys begin.

        It lasts until the process ends: what is stored does not depend on it.
        """
        container = self.container(name)
        if len(container.ranges) > 1 or not at:
            raise ValueError("a container is split once, and somewhere")
        bounds = [b"", *sorted(set(at)), None]
        ranges = {
            str(number): EpkRange(low or b"", high)
            for number, (low, high) in enumerate(itertools.pairwise(bounds), 1)
        }
        self._containers[name] = dataclasses.replace(container, ranges=ranges)

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
        ranges = {"0": EVERYTHING} if known is None else known.ranges
        container = Container(name, row, policy, table, rid, self_link, ranges)
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
