"""Reads and writes of single items: conditions, expiry, unique keys, size, what the service adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from local.cosmos.engine import charges, identity
from local.cosmos.engine.partition import PartitionKey, value_at
from local.cosmos.engine.patch import Patch, apply_patch
from local.cosmos.engine.policy import MAX_TTL
from local.cosmos.errors import (
    SubStatus,
    bad_request,
    conflict,
    not_found,
    not_modified,
    precondition_failed,
    too_large,
)
from local.cosmos.sql.query import compile_query
from local.cosmos.storage.items import ItemRow
from local.cosmos.values import UNDEFINED, Json, JsonObject, Value, sort_key

if TYPE_CHECKING:
    from local.cosmos.engine.catalog import Clock, Container
    from local.cosmos.storage.database import Database
    from local.cosmos.storage.items import Write

MAX_ITEM_BYTES: Final = 2 * 1024 * 1024
MAX_ID_BYTES: Final = 1023
TICKS_PER_SECOND: Final = 10_000_000
_SYSTEM: Final = frozenset({"_rid", "_self", "_etag", "_attachments", "_ts"})


class Conditions(NamedTuple):
    """If-Match and If-None-Match of one operation."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check_write(self, existing: ItemRow) -> None:
        """Refuse a write whose condition the stored item does not meet.

        Raises:
            CosmosError: 412.
        """
        if self.if_match is not None and self.if_match not in {"*", existing.etag}:
            raise precondition_failed()
        if self.if_none_match is not None and self.if_none_match in {"*", existing.etag}:
            raise precondition_failed()

    def check_read(self, existing: ItemRow) -> None:
        """End a read of what the caller has already.

        Raises:
            CosmosError: 304.
        """
        if self.if_none_match is not None and self.if_none_match in {"*", existing.etag}:
            raise not_modified()


UNCONDITIONAL: Final = Conditions()


class Outcome(NamedTuple):
    """The answer to an operation on an item."""

    status: int
    row: ItemRow | None
    charge: float

    @property
    def size(self) -> int:
        """The bytes of the item as it is stored."""
        return 0 if self.row is None else len(self.row.body)


class Items:
    """Operations on single items. Each is atomic.

    Inside a transaction of the store they are atomic together.
    """

    def __init__(self, store: Database, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def now(self) -> int:
        """Give the current second."""
        return int(self._clock())

    def now_ticks(self) -> int:
        """Give the current time in 100-nanosecond ticks."""
        return int(self._clock() * TICKS_PER_SECOND)

    def find(self, container: Container, key: PartitionKey, item_id: str) -> ItemRow | None:
        """Find a live item."""
        row = container.table.get(key.canonical, item_id)
        return None if row is None or self._is_over(row) else row

    def find_by_rid(self, container: Container, rid: str) -> ItemRow | None:
        """Find an item by its resource id, expired or not."""
        seq = identity.item_number(rid)
        row = None if seq is None else container.table.by_seq(seq)
        wanted = seq is not None and rid == identity.item_rid(
            container.row.database, container.row.number, seq
        )
        return row if wanted else None

    def read(self, container: Container, key: PartitionKey, item_id: str, conditions: Conditions) -> Outcome:
        """Read an item."""
        row = self.find(container, key, item_id)
        if row is None:
            raise not_found()
        conditions.check_read(row)
        return Outcome(200, row, charges.read(len(row.body)))

    def create(self, container: Container, key: PartitionKey | None, item: JsonObject) -> Outcome:
        """Create an item."""
        key = self._key_of(container, item, key)
        item_id = checked_id(item.get("id"))
        with self._store.transaction():
            return self._insert(container, key, item, item_id)

    def upsert(
        self, container: Container, key: PartitionKey | None, item: JsonObject, conditions: Conditions
    ) -> Outcome:
        """Create an item, whatever the conditions, or replace the one that has its id if that meets them."""
        key = self._key_of(container, item, key)
        item_id = checked_id(item.get("id"))
        with self._store.transaction():
            existing = self.find(container, key, item_id)
            if existing is None:
                return self._insert(container, key, item, item_id)
            conditions.check_write(existing)
            return self._overwrite(container, existing, _identified(container, item, existing.seq))

    def replace(
        self, container: Container, key: PartitionKey, item_id: str, item: JsonObject, conditions: Conditions
    ) -> Outcome:
        """Replace an item, whose id may change as well."""
        self._key_of(container, item, key)
        new_id = checked_id(item.get("id"))
        with self._store.transaction():
            existing = self._existing(container, key, item_id, conditions)
            if new_id != item_id:
                self._free_id(container, key, new_id)
            item = _identified(container, item, existing.seq)
            return self._overwrite(container, existing, item, new_id)

    def patch(
        self, container: Container, key: PartitionKey, item_id: str, patch: Patch, conditions: Conditions
    ) -> Outcome:
        """Change parts of an item."""
        with self._store.transaction():
            existing = self._existing(container, key, item_id, conditions)
            stored: JsonObject = orjson.loads(existing.body)
            if patch.condition is not None and not self._passes(stored, patch.condition):
                raise precondition_failed(SubStatus.CONDITION_NOT_MET)
            apply_patch(stored, patch)
            if not container.policy.partition.holds(key, stored):
                raise bad_request("A patch cannot change the partition key of an item.")
            outcome = self._overwrite(container, existing, stored)  # it says already who it is
            if outcome.size > MAX_ITEM_BYTES and len(orjson.dumps(_sent(stored))) > MAX_ITEM_BYTES:
                raise too_large()
            return outcome

    def delete(
        self, container: Container, key: PartitionKey, item_id: str, conditions: Conditions
    ) -> Outcome:
        """Delete an item."""
        with self._store.transaction():
            existing = self._existing(container, key, item_id, conditions)
            container.table.next_write()
            container.table.delete(existing.seq)
        return Outcome(204, None, charges.create(len(existing.body)))

    def delete_partition(self, container: Container, key: PartitionKey) -> None:
        """Delete all items of a partition."""
        with self._store.transaction():
            container.table.next_write()
            container.table.delete_partition(key.canonical, key.epk)

    def _existing(
        self, container: Container, key: PartitionKey, item_id: str, conditions: Conditions
    ) -> ItemRow:
        existing = self.find(container, key, item_id)
        if existing is None:
            raise not_found()
        conditions.check_write(existing)
        return existing

    def _passes(self, item: JsonObject, condition: str) -> bool:
        text = condition.strip()
        query = compile_query(text if text[:6].upper() == "SELECT" else f"SELECT VALUE 1 {text}")
        if query.ordered_scan or not query.reads_items:
            raise bad_request("The patch's condition has to be of the form: from c where <condition>")
        return query.matches(item, {}, self.now_ticks())

    @staticmethod
    def _key_of(container: Container, item: JsonObject, given: PartitionKey | None) -> PartitionKey:
        if given is None:
            return container.policy.partition.of_item(item)
        if not container.policy.partition.holds(given, item):
            raise bad_request(
                "PartitionKey extracted from document doesn't match the one specified in the header. Learn "
                "more: "
                "https://aka.ms/CosmosDB/sql/errors/wrong-pk-value",
                SubStatus.PARTITION_KEY_MISMATCH,
            )
        return given

    def _is_over(self, row: ItemRow) -> bool:
        return row.expires is not None and row.expires <= self.now()

    def _insert(self, container: Container, key: PartitionKey, item: JsonObject, item_id: str) -> Outcome:
        table = container.table
        write = table.next_write()
        item = _identified(container, item, write.number)
        row = self._row(container, item, write, (write.number, key.epk, key.canonical, item_id))
        if not table.insert(row):
            self._free_id(container, key, item_id)
            table.insert(row)
        if container.policy.unique_keys:
            self._claim_unique_keys(container, row, item)
        return Outcome(201, row, charges.create(len(row.body)))

    def _free_id(self, container: Container, key: PartitionKey, item_id: str) -> None:
        """Delete what holds an id if its time is over and it has not been swept yet; else refuse."""
        holder = container.table.get(key.canonical, item_id)
        if holder is None:
            return
        if not self._is_over(holder):
            raise conflict()
        container.table.delete(holder.seq)

    def _overwrite(
        self, container: Container, existing: ItemRow, item: JsonObject, new_id: str | None = None
    ) -> Outcome:
        table = container.table
        place = (existing.seq, existing.epk, existing.pk, new_id or existing.id)
        row = self._row(container, item, table.next_write(), place)
        if container.policy.unique_keys:
            table.clear_unique(existing.seq)
            self._claim_unique_keys(container, row, item)
        table.update(row, existing)
        return Outcome(200, row, charges.replace(len(row.body)))

    def _row(
        self, container: Container, item: JsonObject, write: Write, place: tuple[int, bytes, bytes, str]
    ) -> ItemRow:
        """Build the stored form of an item that says who it is.

        `place` is its number, effective partition key, partition key and id.
        """
        seq, epk, pk, item_id = place
        ts = self.now()
        ttl, expires = _expiry(item, container.policy.default_ttl, ts)
        etag = identity.etag(container.row.number, write.number, ts)
        item["_etag"], item["_ts"] = etag, ts
        try:
            body = orjson.dumps(item)
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise bad_request(f"The item cannot be written as JSON: {error}") from error
        return ItemRow(seq, write.lsn, ts, ttl, expires, epk, pk, item_id, etag, body)

    def _claim_unique_keys(self, container: Container, row: ItemRow, item: JsonObject) -> None:
        for ordinal, paths in enumerate(container.policy.unique_keys):
            # As in the service, a property that is not there counts as null.
            values = [value_at(item, path) for path in paths]
            claim = repr(sort_key([_null_for_undefined(value) for value in values])).encode()
            holder = container.table.claim_unique(row.pk, ordinal, claim, row.seq)
            if holder is None:
                continue
            other = container.table.by_seq(holder)
            if other is None or other.expires is None or other.expires > self.now():
                raise conflict("Unique index constraint violation.")
            container.table.delete(holder)
            container.table.claim_unique(row.pk, ordinal, claim, row.seq)


def _identified(container: Container, item: JsonObject, seq: int) -> JsonObject:
    """Add what the service says of an item once and for all, in place of what a client says."""
    rid = identity.item_rid(container.row.database, container.row.number, seq)
    itself = f"{container.self_link}docs/{rid}/"
    return _sent(item) | {"_rid": rid, "_self": itself, "_attachments": "attachments/"}


def _sent(item: JsonObject) -> JsonObject:
    return item if _SYSTEM.isdisjoint(item) else {name: item[name] for name in item if name not in _SYSTEM}


def checked_id(value: Json) -> str:
    """Give an item's id.

    Raises:
        CosmosError: 400 where it is missing, no string, too long, or has a character that no id may have.
    """
    if not isinstance(value, str) or not value:
        raise bad_request(
            "The input content is invalid because the required properties - 'id; ' - are missing"
        )
    if len(value.encode()) > MAX_ID_BYTES:
        raise bad_request(f"The input name is longer than {MAX_ID_BYTES} bytes.")
    if "/" in value or "\\" in value or "?" in value or "#" in value or value.endswith(" "):
        raise bad_request(f"The input name '{value}' is invalid, contains illegal chars or ends in a space.")
    return value


def _null_for_undefined(value: Value) -> Json:
    if value is UNDEFINED:
        return None
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _expiry(item: JsonObject, default_ttl: int | None, ts: int) -> tuple[int | None, int | None]:
    own = item.get("ttl")
    if default_ttl is None:
        usable = isinstance(own, int) and not isinstance(own, bool) and (own == -1 or 1 <= own <= MAX_TTL)
        return (own if usable and isinstance(own, int) else None), None
    if "ttl" not in item:
        return None, ts + default_ttl if default_ttl > 0 else None
    if isinstance(own, bool) or not isinstance(own, int) or not (own == -1 or 1 <= own <= MAX_TTL):
        raise bad_request(
            f"The input ttl '{own}' is invalid. Ensure to provide a positive integer up to "
            f"'{MAX_TTL}', or '-1' which means never expire."
        )
    return own, ts + own if own > 0 else None
