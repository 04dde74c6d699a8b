"""The ledger: durable line by line, shared, forgetting what is gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from shared.blob.file_content import FileState
from shared.log_shipping.ledger import ShippingLedger
from shared.log_shipping.rotated_files import RotatedFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".app.shipped"


def file(name: str, size: int = 1) -> RotatedFile:
    from pathlib import Path  # noqa: PLC0415  # a name, no file

    return RotatedFile(Path(name), FileState(size, size * 10))


def test_what_was_added_is_known_after_a_restart_in_its_last_state(path: Path) -> None:
    assert ShippingLedger(path).read() == {}
    for size in (1, 2):
        ShippingLedger(path).add(file("a", size), "blob")
    ShippingLedger(path).add(file("ü\n", 3), "blob")

    assert ShippingLedger(path).read() == {"a": FileState(2, 20), "ü\n": FileState(3, 30)}


def test_a_line_that_a_crash_has_cut_spoils_no_other(path: Path) -> None:
    ledger = ShippingLedger(path)
    ledger.add(file("a"), "blob")
    with path.open("ab") as lines:
        lines.write(b'{"file": "b", "si')
    ledger.add(file("c"), "blob")

    assert set(ledger.read()) == {"a", "c"}


def test_entries_of_several_writers_are_all_there(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ShippingLedger(path).add(file(str(number)), "blob"), range(80)))

    assert len(ShippingLedger(path).read()) == 80


def test_files_that_are_gone_are_forgotten_once_they_are_many(path: Path) -> None:
    ledger = ShippingLedger(path)
    for number in range(103):
        ledger.add(file(str(number)), "blob")
    before = path.stat().st_size
    ledger.compact({"1", "absent"})
    assert path.stat().st_size == before, "it is not written anew for a few"
    ledger.compact({"1"})
    ledger.add(file("new"), "blob")

    assert set(ledger.read()) == {"1", "new"}
    assert path.stat().st_size < before / 20


@pytest.mark.slow
def test_compacting_while_others_add_loses_none(path: Path) -> None:
    kept = {str(number) for number in range(300)}

    def work(number: int) -> None:
        ShippingLedger(path).add(file(str(number)), "blob")
        ShippingLedger(path).compact(kept)

    ledger = ShippingLedger(path)
    for number in range(1_000, 1_500):
        ledger.add(file(str(number)), "blob")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(300)))

    assert kept <= set(ledger.read())
