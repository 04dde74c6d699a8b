"""The store: which index each access takes, transactions, and the file's format."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from local.cosmos.storage.database import Database, DataFormatError, DataInUseError
from tests.unit_tests.local_cosmos.wire import content

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.cosmos.storage.items import ItemTable
    from tests.unit_tests.local_cosmos.wire import Wire


def statements(wire: Wire, use: Callable[[ItemTable], object]) -> list[str]:
    """Collect what SQLite says about how it runs the statements of one call."""
    wire.with_container()
    (container,) = wire.account.catalog.all_containers()
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
    ],
)
def test_every_access_goes_by_its_index(wire: Wire, use: Callable[[ItemTable], object], index: str) -> None:
    plans = statements(wire, use)
    assert index in plans[0]
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


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cosmos.sqlite"
    store = Database(path)
    store.connection.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(DataFormatError, match="99"):
        Database(path)


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
