"""The items of one container: one SQLite table, found by key, by partition and by order of change.

`seq` is the rowid: the number of the write that created the item. `lsn` numbers the container's transactions:
the operations of a batch share one. Every access path has its index: (pk, id) for point reads, (epk) for
partitions and ranges of them, (lsn) for the change feed; queries get theirs as they need them (`lookups`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from local.cosmos.storage.lookups import Lookups

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from local.cosmos.storage.database import Database
    from local.cosmos.storage.lookups import Found, Lookup

_COLUMNS: Final = "seq, lsn, ts, ttl, expires, epk, pk, id, etag, body"


class ItemRow(NamedTuple):
    """An item as stored. A tuple, because hundreds of thousands of them are built in a scan."""

    seq: int
    lsn: int
    ts: int
    ttl: int | None
    expires: int | None
    epk: bytes
    pk: bytes
    id: str
    etag: str
    body: bytes


class Extent(NamedTuple):
    """The size of a range of partitions."""

    items: int
    size: int
    partitions: int


class Write(NamedTuple):
    """The numbers of one write: its own, and that of the transaction which it is part of."""

    number: int
    lsn: int


class ItemTable:
    """Reads and writes of one container's items; the caller holds the transaction."""

    def __init__(self, database: Database, number: int, *, unique_keys: int = 0) -> None:
        self._database = database
        self._connection: sqlite3.Connection = database.connection
        self._number = number
        self._unique_keys = unique_keys
        table = f"items_{number}"
        self._table = table
        # The table's name is built from an integer; every value is bound.
        self._select = f"SELECT {_COLUMNS} FROM {table}"
        self._get = f"{self._select} WHERE pk = ? AND id = ?"
        self._insert = (
            f"INSERT INTO {table} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (pk, id) DO NOTHING"
        )
        self._update = f"UPDATE {table} SET lsn=?, ts=?, etag=?, body=? WHERE seq=?"
        self._rename = f"UPDATE {table} SET id=? WHERE seq=?"
        self._set_expiry = f"UPDATE {table} SET ttl=?, expires=? WHERE seq=?"
        self.lookups = Lookups(self._connection, number)
        self.lsn: int
        self._writes: int
        (self.lsn, self._writes) = self._connection.execute(
            "SELECT lsn, writes FROM containers WHERE number = ?", (number,)
        ).fetchone()

    @staticmethod
    def create(database: Database, number: int) -> None:
        """Create the tables of a new container."""
        for statement in (
            (
                f"CREATE TABLE items_{number} (seq INTEGER PRIMARY KEY, lsn INTEGER NOT NULL, ts "
                "INTEGER NOT NULL,"
                " ttl INTEGER, expires INTEGER, epk BLOB NOT NULL, pk BLOB NOT NULL, id TEXT NOT NULL,"
                " etag TEXT NOT NULL, body BLOB NOT NULL)"
            ),
            f"CREATE UNIQUE INDEX items_{number}_key ON items_{number} (pk, id)",
            f"CREATE INDEX items_{number}_epk ON items_{number} (epk)",
            f"CREATE INDEX items_{number}_lsn ON items_{number} (lsn)",
            f"CREATE INDEX items_{number}_expires ON items_{number} (expires) WHERE expires IS NOT NULL",
            (
                f"CREATE TABLE unique_{number} (pk BLOB NOT NULL, ordinal INTEGER NOT NULL, value BLOB "
                "NOT NULL,"
                " seq INTEGER NOT NULL, PRIMARY KEY (pk, ordinal, value)) WITHOUT ROWID"
            ),
            f"CREATE INDEX unique_{number}_seq ON unique_{number} (seq)",
        ):
            database.connection.execute(statement)

    @staticmethod
    def drop(database: Database, number: int) -> None:
        """Delete a container's tables."""
        database.connection.execute(f"DROP TABLE items_{number}")
        database.connection.execute(f"DROP TABLE unique_{number}")

    def next_write(self) -> Write:
        """Number the next write.

        A number that is rolled back is not given again, so two writes never share one.
        """
        if not self._database.has_written(self._number):
            self.lsn += 1
        self._writes += 1
        self._database.number_write(self._number, self.lsn, self._writes)
        return Write(self._writes, self.lsn)

    def get(self, pk: bytes, item_id: str) -> ItemRow | None:
        """Find one item by its key."""
        row = self._connection.execute(self._get, (pk, item_id)).fetchone()
        return None if row is None else ItemRow._make(row)

    def by_seq(self, seq: int) -> ItemRow | None:
        """Find one item by its number."""
        row = self._connection.execute(f"{self._select} WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else ItemRow._make(row)

    def insert(self, row: ItemRow) -> bool:
        """Add an item; tell whether its key was free."""
        return self._connection.execute(self._insert, row).rowcount == 1

    def update(self, row: ItemRow, existing: ItemRow) -> None:
        """Overwrite an item; most keep their id and their time to expire, which spares indexes."""
        self._connection.execute(self._update, (row.lsn, row.ts, row.etag, row.body, row.seq))
        if row.id != existing.id:
            self._connection.execute(self._rename, (row.id, row.seq))
        if (row.ttl, row.expires) != (existing.ttl, existing.expires):
            self._connection.execute(self._set_expiry, (row.ttl, row.expires, row.seq))

    def delete(self, seq: int) -> None:
        """Remove an item and its unique keys."""
        self._connection.execute(f"DELETE FROM {self._table} WHERE seq = ?", (seq,))
        if self._unique_keys:
            self.clear_unique(seq)

    def delete_partition(self, pk: bytes, epk: bytes) -> int:
        """Remove all items of one partition and tell how many they were."""
        if self._unique_keys:
            self._connection.execute(f"DELETE FROM unique_{self._number} WHERE pk = ?", (pk,))
        return self._connection.execute(
            f"DELETE FROM {self._table} WHERE epk = ? AND pk = ?",
            (epk, pk),
        ).rowcount

    def claim_unique(self, pk: bytes, ordinal: int, value: bytes, seq: int) -> int | None:
        """Take a unique key for an item, or tell which item holds it."""
        holder = self._connection.execute(
            f"SELECT seq FROM unique_{self._number} WHERE pk = ? AND ordinal = ? AND value = ?",
            (pk, ordinal, value),
        ).fetchone()
        if holder is not None:
            return int(holder[0])
        self._connection.execute(
            f"INSERT INTO unique_{self._number} VALUES (?, ?, ?, ?)", (pk, ordinal, value, seq)
        )
        return None

    def clear_unique(self, seq: int) -> None:
        """Give back an item's unique keys."""
        self._connection.execute(f"DELETE FROM unique_{self._number} WHERE seq = ?", (seq,))

    def scan_all(self, after_seq: int, now: int) -> Iterator[ItemRow]:
        """Read all live items in order of creation."""
        return self._rows("WHERE seq > ? AND (expires IS NULL OR expires > ?) ORDER BY seq", (after_seq, now))

    def scan_partition(self, pk: bytes, epk: bytes, after_seq: int, now: int) -> Iterator[ItemRow]:
        """Read one partition's live items in order of creation."""
        return self._rows(
            "WHERE epk = ? AND seq > ? AND pk = ? AND (expires IS NULL OR expires > ?) ORDER BY seq",
            (epk, after_seq, pk, now),
        )

    def scan_range(
        self, low: bytes, high: bytes | None, after: tuple[bytes, int], now: int
    ) -> Iterator[ItemRow]:
        """Read the live items of a range of partitions, by partition and order of creation."""
        bound, values = ("", ()) if high is None else (" AND epk < ?", (high,))
        return self._rows(
            f"WHERE epk >= ?{bound} AND (epk, seq) > (?, ?) AND (expires IS NULL OR expires > ?) ORDER "
            "BY epk, seq",
            (low, *values, *after, now),
        )

    def scan_lookup(self, lookup: Lookup, found: Found, now: int) -> Iterator[ItemRow]:
        """Read the live items of a part of an index, in its order."""
        clause, values = self.lookups.clause(lookup, found, now)
        return self._rows(clause, values)

    def changes(self, after_lsn: int, now: int) -> Iterator[ItemRow]:
        """Read live items in the order of their last change."""
        return self._rows(
            "WHERE lsn > ? AND (expires IS NULL OR expires > ?) ORDER BY lsn, seq", (after_lsn, now)
        )

    def partition_changes(self, pk: bytes, epk: bytes, after_lsn: int, now: int) -> Iterator[ItemRow]:
        """Read one partition's live items in the order of their last change."""
        return self._rows(
            # The unary plus keeps SQLite on the partition's index: it must not walk everybody's changes.
            "WHERE epk = ? AND pk = ? AND +lsn > ? AND (expires IS NULL OR expires > ?) ORDER BY +lsn, seq",
            (epk, pk, after_lsn, now),
        )

    def range_changes(self, low: bytes, high: bytes | None, after_lsn: int, now: int) -> Iterator[ItemRow]:
        """Read the live items of a range of partitions in the order of their last change."""
        bound, values = ("", ()) if high is None else (" AND epk < ?", (high,))
        return self._rows(
            f"WHERE epk >= ?{bound} AND +lsn > ? AND (expires IS NULL OR expires > ?) ORDER BY +lsn, seq",
            (low, *values, after_lsn, now),
        )

    def lsn_before(self, ts: int) -> int:
        """Give the position in the change feed after which all changes are at or after a time."""
        # Walks back from the newest change, so it costs what was changed since then.
        before = self._connection.execute(
            f"SELECT lsn FROM {self._table} WHERE ts < ? ORDER BY lsn DESC LIMIT 1", (ts,)
        ).fetchone()
        return 0 if before is None else int(before[0])

    def expired(self, now: int, limit: int) -> list[int]:
        """List items whose time is over."""
        rows = self._connection.execute(
            f"SELECT seq FROM {self._table} WHERE expires IS NOT NULL AND expires <= ? LIMIT ?",
            (now, limit),
        )
        return [seq for (seq,) in rows]

    def set_default_ttl(self, default_ttl: int | None) -> None:
        """Recompute when each item expires; None turns expiry off, -1 leaves it to the items that say so."""
        if default_ttl is None:
            rule, values = "NULL", tuple[int, ...]()
        elif default_ttl < 0:
            rule, values = "CASE WHEN ttl > 0 THEN ts + ttl END", ()
        else:
            rule, values = "CASE WHEN ttl IS NULL THEN ts + ? WHEN ttl > 0 THEN ts + ttl END", (default_ttl,)
        self._connection.execute(f"UPDATE {self._table} SET expires = {rule}", values)

    def distinct_keys(self, low: bytes, high: bytes | None) -> list[bytes]:
        """List the effective partition keys of a range of partitions in their order."""
        bound, values = ("", ()) if high is None else (" AND epk < ?", (high,))
        rows = self._connection.execute(
            f"SELECT DISTINCT epk FROM {self._table} WHERE epk >= ?{bound} ORDER BY epk", (low, *values)
        )
        return [epk for (epk,) in rows]

    def count(self) -> int:
        """Count all items, expired ones included."""
        return self.measure(b"", None).items

    def measure(self, low: bytes, high: bytes | None) -> Extent:
        """Count a range's items, expired ones included, their bytes and their partitions."""
        bound, values = ("", ()) if high is None else (" AND epk < ?", (high,))
        found = self._connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0), COUNT(DISTINCT pk) "
            f"FROM {self._table} WHERE epk >= ?{bound}",
            (low, *values),
        ).fetchone()
        return Extent._make(found)

    def _rows(self, clause: str, values: Sequence[object]) -> Iterator[ItemRow]:
        return map(ItemRow._make, self._connection.execute(f"{self._select} {clause}", values))
