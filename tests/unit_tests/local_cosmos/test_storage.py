"""The store: which index each access takes, transactions, and the file's format."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from local.cosmos.storage.database import Database, DataFormatError, DataInUseError
from local.cosmos.storage.lookups import Found, Lookup
from tests.unit_tests.local_cosmos.wire import Wire, content, message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.cosmos.storage.items import ItemTable


PLACES = Lookup(1, ("place",), ("turn",))


def statements(wire: Wire, use: Callable[[ItemTable], object]) -> list[str]:
    """Collect what SQLite says about how it runs the statements of one call."""
    wire.with_container()
    (container,) = wire.account.catalog.all_containers()
    container.table.lookups.add(PLACES)
    seen: list[str] = []
    wire.store.connection.set_trace_callback(seen.append)
    use(container.table)
    wire.store.connection.set_trace_callback(None)
    return [
        row[3]
        for statement in seen
        for row in wire.store.connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]


@pytest.mark.parametrize(
    ("use", "index"),
    [
        (lambda table: table.get(b"p", "1"), "items_1_key (pk=? AND id=?)"),
        (lambda table: list(table.scan_partition(b"p", b"e", 5, 0)), "items_1_epk (epk=? AND rowid>?)"),
        (lambda table: list(table.scan_range(b"e", b"f", (b"e", 0), 0)), "items_1_epk (epk>? AND epk<?)"),
        (lambda table: list(table.scan_range(b"e", None, (b"e", 0), 0)), "items_1_epk (epk>?)"),
        (lambda table: list(table.scan_all(5, 0)), "INTEGER PRIMARY KEY (rowid>?)"),
        (lambda table: list(table.changes(5, 0)), "items_1_lsn (lsn>?)"),
        (lambda table: list(table.partition_changes(b"p", b"e", 5, 0)), "items_1_epk (epk=?)"),
        (lambda table: list(table.range_changes(b"e", b"f", 5, 0)), "items_1_epk (epk>? AND epk<?)"),
        (lambda table: table.expired(5, 10), "items_1_expires (expires>? AND expires<?)"),
        (lambda table: table.delete_partition(b"p", b"e"), "items_1_epk (epk=?)"),
        (lambda table: table.lsn_before(5), "items_1_lsn"),
        (
            lambda table: list(table.scan_lookup(PLACES, Found(b"e", "held", "0", "9", descending=True), 0)),
            "(<expr>=? AND <expr>=? AND <expr>>? AND <expr><?)",
        ),
        (lambda table: table.lookups.count(b"e", ("place",), ["held"], 5), "(<expr>=? AND <expr>=?)"),
    ],
)
def test_every_access_goes_by_its_index(wire: Wire, use: Callable[[ItemTable], object], index: str) -> None:
    plans = statements(wire, use)
    assert any(index in plan for plan in plans)
    assert "<expr>" not in index or not any("TEMP B-TREE" in plan for plan in plans)
    assert "SCAN items_1" not in plans[0].replace("SCAN items_1 USING INDEX items_1_lsn", "")


def test_a_failed_transaction_leaves_nothing(wire: Wire) -> None:
    def fail() -> None:
        with wire.store.transaction(), wire.store.transaction():
            wire.store.add_database("inner", 0, "", None)
            raise sqlite3.OperationalError("disk full")

    with pytest.raises(sqlite3.OperationalError):
        fail()
    assert [row.id for row in wire.store.databases()] == ["db"]
    assert wire.call("POST", "/dbs", {"id": "next"}).status == 201


def test_a_full_disk_is_said_so_and_costs_only_what_it_has_no_room_for(wire: Wire) -> None:
    items = wire.with_container()
    wire.create(items, {"id": "1", "pk": "p", "t": "x" * 50_000}, "p")
    wire.store.connection.execute("PRAGMA max_page_count=1")  # as many as there are
    refused = wire.create(items, {"id": "2", "pk": "p", "t": "x" * 50_000}, "p")
    assert refused.status == 500
    assert "database or disk is full" in message(refused)
    assert wire.read(items, "2", "p").status == 404
    assert wire.on_items("DELETE", f"{items}/docs/1", None, "p").status == 204
    assert wire.create(items, {"id": "2", "pk": "p"}, "p").status == 201


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cosmos.sqlite"
    store = Database(path)
    store.connection.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(DataFormatError, match="99"):
        Database(path)


_VERSION_1 = """
CREATE TABLE databases (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, ts INTEGER NOT NULL,
    etag TEXT NOT NULL, throughput INTEGER
);
CREATE TABLE containers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, database INTEGER NOT NULL, id TEXT NOT NULL,
    ts INTEGER NOT NULL, etag TEXT NOT NULL, properties BLOB NOT NULL, throughput INTEGER,
    lsn INTEGER NOT NULL DEFAULT 0, UNIQUE (database, id)
);
INSERT INTO databases VALUES (1, 'db', 0, '', NULL);
INSERT INTO containers VALUES (
    1, 1, 'items', 0, '"00000000-0000-0001-0000-000000000000"',
    '{"id":"items","partitionKey":{"paths":["/pk"],"kind":"Hash","version":2},"indexingPolicy":{}}', NULL, 41
);
CREATE TABLE items_1 (
    seq INTEGER PRIMARY KEY, lsn INTEGER NOT NULL, ts INTEGER NOT NULL, ttl INTEGER, expires INTEGER,
    epk BLOB NOT NULL, pk BLOB NOT NULL, id TEXT NOT NULL, etag TEXT NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX items_1_key ON items_1 (pk, id);
PRAGMA user_version = 1;
"""


def test_a_file_of_the_version_before_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "cosmos.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(_VERSION_1)
    for lsn in (42, 43):
        wire = Wire(path)
        written = wire.upsert("/dbs/db/colls/items", {"id": str(lsn), "pk": "p"}, "p")
        assert (written.status, written.headers["lsn"]) == (201, str(lsn))
        wire.store.close()


def test_nothing_of_a_deleted_item_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cosmos.sqlite"
    wire = Wire(path)
    items = wire.with_container()
    wire.create(items, {"id": "1", "pk": "p", "t": "a secret" * 1000}, "p")
    wire.store.close()
    assert b"a secret" in path.read_bytes()
    wire = Wire(path)
    wire.on_items("DELETE", f"{items}/docs/1", None, "p")
    wire.store.close()
    assert b"a secret" not in path.read_bytes()


def test_the_data_is_its_owners_alone_also_where_it_was_not_before(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    (folder / "cosmos.sqlite").touch(0o644)
    Database(folder / "cosmos.sqlite").close()
    assert [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())] == [0o700, 0o600]


def test_a_folder_that_holds_other_things_too_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "other").touch(0o644)
    Database(tmp_path / "cosmos.sqlite").close()
    modes = [
        path.stat().st_mode & 0o777 for path in (tmp_path, tmp_path / "other", tmp_path / "cosmos.sqlite")
    ]
    assert modes == [0o755, 0o644, 0o600]


@pytest.mark.slow
def test_a_file_belongs_to_one_process(tmp_path: Path) -> None:
    path = tmp_path / "cosmos.sqlite"
    store = Database(path)
    with pytest.raises(DataInUseError, match=r"cosmos\.sqlite"):
        Database(path)
    store.close()
    Database(path).close()


def test_a_container_tells_how_many_items_it_has(wire: Wire) -> None:
    items = wire.with_container()
    wire.create(items, {"id": "1", "pk": "p"}, "p")
    described = wire.call("GET", items, x_ms_documentdb_populatequotainfo="True")
    assert content(described)["id"] == "items"
    assert "documentsCount=1" in described.headers["x-ms-resource-usage"]
