"""The SQLite file: opening it, transactions, and the catalog of databases and containers.

WAL with synchronous=NORMAL: a commit is in the WAL file, in the kernel's page cache, before the client is
answered, so a kill of the process at any moment loses nothing that was acknowledged, and SQLite's checksummed
frames make a transaction whole or absent. Only a crash of the whole machine could take the last commits back
(never a part of one), which is what a local platform may trade for a write without fsync.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from local.data_folder import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from local.cosmos.values import JsonObject

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS databases (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, ts INTEGER NOT NULL, etag TEXT NOT
    NULL, throughput INTEGER
);
CREATE TABLE IF NOT EXISTS containers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, database INTEGER NOT NULL REFERENCES databases (number),
    id TEXT NOT NULL, ts INTEGER NOT NULL, etag TEXT NOT NULL, properties BLOB NOT NULL, throughput INTEGER,
    lsn INTEGER NOT NULL DEFAULT 0, writes INTEGER NOT NULL DEFAULT 0, ranges BLOB, UNIQUE (database, id)
);
"""
_FROM_VERSION_1: Final = """
ALTER TABLE containers ADD COLUMN writes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE containers ADD COLUMN ranges BLOB;
UPDATE containers SET writes = lsn;
"""
"""Writes had one counter, of which each operation of a batch took a number, and containers one range."""
_SCHEMA_VERSION: Final = 2
_INNER: Final = contextlib.nullcontext()


class DataFormatError(Exception):
    """The data folder was written by another version of this program."""


class DataInUseError(Exception):
    """Another process holds the data folder, or it is no data folder."""


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    """A database as stored; `number` is never used again."""

    number: int
    id: str
    ts: int
    etag: str
    throughput: int | None


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container as stored; `number` is never used again."""

    number: int
    database: int
    id: str
    ts: int
    etag: str
    properties: JsonObject
    throughput: int | None
    ranges: JsonObject | None = None
    """How it is cut into physical partitions, None if it is not."""


class Database:
    """One connection to one file; everything happens on the thread that opened it."""

    def __init__(self, path: Path | str) -> None:
        if isinstance(path, Path):  # not in memory
            make_private(path)
        self.connection = sqlite3.connect(path, timeout=1, isolation_level=None, cached_statements=1024)
        self._begun = False
        self._numbered: dict[int, tuple[int, int]] = {}
        execute = self.connection.execute
        self._lock(path)
        execute("PRAGMA synchronous=NORMAL")
        execute("PRAGMA cache_size=-65536")
        execute("PRAGMA secure_delete=ON")  # what was deleted is not left behind in freed pages
        (version,) = execute("PRAGMA user_version").fetchone()
        if version not in {0, 1, _SCHEMA_VERSION}:
            self.connection.close()
            raise DataFormatError(f"{path} has data format {version}, this program reads {_SCHEMA_VERSION}")
        script = _FROM_VERSION_1 if version == 1 else _SCHEMA
        self.connection.executescript(f"BEGIN; {script} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")

    def _lock(self, path: Path | str) -> None:
        """Keep the file to this process: the numbers of writes are counted in memory."""
        try:
            self.connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self.connection.close()
            raise DataInUseError(f"{path} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Make the block's writes all or nothing; blocks may nest, the outermost decides.

        How far a container's writes are numbered is stored once, with the last of them.
        """
        return _INNER if self._begun else self._outermost()

    @contextlib.contextmanager
    def _outermost(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        self._begun = True
        try:
            yield
            for container, (lsn, writes) in self._numbered.items():
                self.connection.execute(
                    "UPDATE containers SET lsn = ?, writes = ? WHERE number = ?", (lsn, writes, container)
                )
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # on a full disk, SQLite has ended it already
                self.connection.execute("ROLLBACK")
            raise
        finally:
            self._begun = False
            self._numbered.clear()

    def has_written(self, container: int) -> bool:
        """Tell whether the transaction has written to a container already."""
        return container in self._numbered

    def number_write(self, container: int, lsn: int, writes: int) -> None:
        """Remember how far a container's writes are numbered until the transaction that they are in ends."""
        self._numbered[container] = (lsn, writes)

    def databases(self) -> list[DatabaseRow]:
        """List all databases in the order of their creation."""
        rows = self.connection.execute(
            "SELECT number, id, ts, etag, throughput FROM databases ORDER BY number"
        )
        return [DatabaseRow(*row) for row in rows]

    def add_database(self, database_id: str, ts: int, etag: str, throughput: int | None) -> DatabaseRow:
        """Store a new database."""
        cursor = self.connection.execute(
            "INSERT INTO databases (id, ts, etag, throughput) VALUES (?, ?, ?, ?)",
            (database_id, ts, etag, throughput),
        )
        assert cursor.lastrowid is not None  # noqa: S101 - an insert always has one
        return DatabaseRow(cursor.lastrowid, database_id, ts, etag, throughput)

    def drop_database(self, number: int) -> None:
        """Delete a database that has no containers any more."""
        self.connection.execute("DELETE FROM databases WHERE number = ?", (number,))

    def containers(self) -> list[ContainerRow]:
        """List the containers of all databases in the order of their creation."""
        rows = self.connection.execute(
            "SELECT number, database, id, ts, etag, properties, throughput, ranges FROM containers"
            " ORDER BY number"
        )
        return [
            ContainerRow(number, database, container_id, ts, etag, orjson.loads(properties), throughput, cuts)
            for number, database, container_id, ts, etag, properties, throughput, ranges in rows
            for cuts in (None if ranges is None else orjson.loads(ranges),)
        ]

    def add_container(self, row: ContainerRow) -> ContainerRow:
        """Store a new container; the number in `row` is ignored."""
        cursor = self.connection.execute(
            "INSERT INTO containers (database, id, ts, etag, properties, throughput) VALUES (?, ?, ?, ?, ?, "
            "?)",
            (row.database, row.id, row.ts, row.etag, orjson.dumps(row.properties), row.throughput),
        )
        assert cursor.lastrowid is not None  # noqa: S101 - an insert always has one
        return replace(row, number=cursor.lastrowid)

    def update_container(self, row: ContainerRow) -> None:
        """Store changed properties."""
        self.connection.execute(
            "UPDATE containers SET ts = ?, etag = ?, properties = ?, throughput = ?, ranges = ?"
            " WHERE number = ?",
            (
                row.ts,
                row.etag,
                orjson.dumps(row.properties),
                row.throughput,
                None if row.ranges is None else orjson.dumps(row.ranges),
                row.number,
            ),
        )

    def drop_container(self, number: int) -> None:
        """Delete a container's row."""
        self.connection.execute("DELETE FROM containers WHERE number = ?", (number,))

    def set_database_throughput(self, number: int, throughput: int | None) -> None:
        """Store a database's throughput."""
        self.connection.execute("UPDATE databases SET throughput = ? WHERE number = ?", (throughput, number))
