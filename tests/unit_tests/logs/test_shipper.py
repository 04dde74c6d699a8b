"""Shipping: every line to its tenant's blob, a file removed only when all of it has arrived."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functions.logs.shipper import CLAIM_SECONDS, LogShipper, ShippingReport
from functions.logs.splitter import split_file
from shared.logging.files import RotatedName
from shared.resilience.deadlines import remaining_seconds
from tests.support.fakes import host_limit_seconds
from tests.unit_tests.logs.fakes import STAMP, FakeBlobs, line, rotated

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock

STEM = f"tenantry-vm-1.{STAMP}"


@pytest.fixture
def blobs() -> FakeBlobs:
    return FakeBlobs()


@pytest.fixture
def shipper(tmp_path: Path, blobs: FakeBlobs, clock: FakeClock) -> LogShipper:
    return LogShipper(tmp_path, blobs, clock, "vm-9", nobody_was_purged)


async def nobody_was_purged(_: str) -> bool:
    return False


def take_over(folder: Path) -> None:
    for path in folder.glob("*.shipping-vm-9-????????"):
        path.rename(folder / f"{STEM}.jsonl.shipping-vm-10-0a1b2c3d")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_lines_go_to_their_tenant_and_day(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    late = "2026-01-30T23:59:59.900000+00:00"
    content = [line("acme", late), line("acme"), line("globex"), line(None), line("acme", level="ERROR")]
    rotated(tmp_path, "".join(content))

    assert await shipper.ship() == ShippingReport(1, 0)
    assert {name: text.decode() for name, text in blobs.blobs.items()} == {
        f"acme/2026-01-30/{STEM}.jsonl": content[0],
        f"acme/2026-01-31/{STEM}.jsonl": content[1] + content[4],
        f"globex/2026-01-31/{STEM}.jsonl": content[2],
        f"_platform/2026-01-31/{STEM}.jsonl": content[3],
    }
    assert names(tmp_path) == []


@pytest.mark.parametrize("tenant", ["../globex", "_platform", "a/b", "", 7, {"a": 1}])
async def test_a_line_that_names_no_proper_tenant_is_the_platforms(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path, tenant: object
) -> None:
    rotated(tmp_path, line("x-placeholder").replace('"x-placeholder"', json.dumps(tenant)))
    await shipper.ship()

    assert list(blobs.blobs) == [f"_platform/2026-01-31/{STEM}.jsonl"]


@pytest.mark.parametrize("level", [[], {"a": 1}, 7, "LOUD", None])
async def test_a_line_of_no_proper_level_is_the_platforms_and_keeps_no_other_waiting(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path, level: object
) -> None:
    strange = line("acme", level="x-placeholder").replace('"x-placeholder"', json.dumps(level))
    rotated(tmp_path, strange + line("acme"))

    assert await shipper.ship() == ShippingReport(1, 0)
    assert blobs.blobs == {
        f"_platform/2026-01-31/{STEM}.jsonl": strange.encode(),
        f"acme/2026-01-31/{STEM}.jsonl": line("acme").encode(),
    }


async def test_what_is_no_line_is_kept_for_the_platform_with_the_day_before_it(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, "noise\n" + line("acme", "2026-01-30T01:00:00Z") + '[1]\n{"timestamp": "2026-01-31T0')
    await shipper.ship()

    assert blobs.blobs[f"_platform/2026-01-31/{STEM}.jsonl"] == b"noise\n"
    assert blobs.blobs[f"_platform/2026-01-30/{STEM}.jsonl"] == b'[1]\n{"timestamp": "2026-01-31T0\n'


async def test_a_file_stays_until_all_of_its_blobs_have_arrived(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, line("acme") + line("globex"))
    blobs.failing = {"acme/"}

    assert await shipper.ship() == ShippingReport(0, 1)
    assert names(tmp_path) == [f"{STEM}.jsonl"]
    assert f"globex/2026-01-31/{STEM}.jsonl" in blobs.blobs

    blobs.failing = set()
    assert await shipper.ship() == ShippingReport(1, 0)
    assert sorted(blobs.blobs) == [f"acme/2026-01-31/{STEM}.jsonl", f"globex/2026-01-31/{STEM}.jsonl"]
    assert names(tmp_path) == []


async def test_a_run_ends_before_the_host_ends_the_worker(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, line("acme"))
    left: list[float | None] = []

    async def look(_: str) -> None:
        left.append(remaining_seconds())

    blobs.before = look
    await shipper.ship()

    assert len(left) == 1
    assert left[0] is not None
    assert left[0] < host_limit_seconds()


async def test_a_failing_file_does_not_delay_another(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, line("acme"), "vm-1")
    rotated(tmp_path, line("acme"), "vm-2")
    second_arrived = asyncio.Event()

    async def before(name: str) -> None:
        if "vm-1" in name:
            await second_arrived.wait()
        else:
            second_arrived.set()

    blobs.before = before
    blobs.failing = {"vm-1"}

    assert await shipper.ship() == ShippingReport(1, 1)
    assert names(tmp_path) == [f"{STEM}.jsonl"]


async def test_two_shippers_ship_a_file_once(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path, clock: FakeClock
) -> None:
    for number in range(10):
        rotated(tmp_path, line("acme"), f"vm-{number}")
    other = LogShipper(tmp_path, blobs, clock, "vm-10", nobody_was_purged)
    first, second = await asyncio.gather(shipper.ship(), other.ship())

    assert first.shipped + second.shipped == 10
    assert len(blobs.uploads) == len(set(blobs.uploads)) == 10
    assert names(tmp_path) == []


async def test_a_dead_shippers_claim_is_taken_over_with_what_it_left(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path, clock: FakeClock
) -> None:
    claim = rotated(tmp_path, line("acme")).rename(tmp_path / f"{STEM}.jsonl.shipping-vm-5-0a1b2c3d")
    left = tmp_path / (claim.name + ".parts")
    left.mkdir()
    (left / "0.part").write_text("half")
    now = clock.now().timestamp()
    os.utime(claim, (now, now))

    assert await shipper.ship() == ShippingReport(0, 0)
    clock.advance(CLAIM_SECONDS + 1)
    assert await shipper.ship() == ShippingReport(1, 0)
    assert blobs.blobs == {f"acme/2026-01-31/{STEM}.jsonl": line("acme").encode()}
    assert names(tmp_path) == []


async def test_a_shipper_that_lost_its_claim_leaves_the_file_to_the_new_one(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, line("acme") + line("globex"))

    async def taken_over(name: str) -> None:
        take_over(tmp_path)

    blobs.before = taken_over

    assert await shipper.ship() == ShippingReport(0, 0)
    assert blobs.uploads == [f"acme/2026-01-31/{STEM}.jsonl"]
    assert names(tmp_path) == [f"{STEM}.jsonl.shipping-vm-10-0a1b2c3d"]


async def test_a_cancelled_run_gives_its_claims_back(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    rotated(tmp_path, line("acme"))
    uploading = asyncio.Event()

    async def hang(name: str) -> None:
        uploading.set()
        await asyncio.Event().wait()

    blobs.before = hang
    run = asyncio.create_task(shipper.ship())
    await uploading.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert names(tmp_path) == [f"{STEM}.jsonl"]


async def test_a_dead_writers_file_is_shipped_and_strangers_files_are_left(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    (tmp_path / "tenantry-vm-7.log").write_text(line("acme"))
    for name in ("notes.txt", "data.jsonl", "x.jsonl.shipping-vm-1-0a1b2c3d"):
        (tmp_path / name).write_text(line("acme"))

    assert await shipper.ship() == ShippingReport(1, 0)
    assert [name.split(".")[0] for name in blobs.blobs] == ["acme/2026-01-31/tenantry-vm-7"]
    assert names(tmp_path) == ["data.jsonl", "notes.txt", "x.jsonl.shipping-vm-1-0a1b2c3d"]


async def test_a_folder_that_is_not_there_yet_has_nothing_to_ship(
    blobs: FakeBlobs, tmp_path: Path, clock: FakeClock
) -> None:
    assert await LogShipper(
        tmp_path / "none", blobs, clock, "vm-9", nobody_was_purged
    ).ship() == ShippingReport(0, 0)


async def test_a_file_of_many_tenants_keeps_every_line_with_few_files_open(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    tenants = [f"tenant-{number}" for number in range(100)]
    rotated(tmp_path, "".join(line(tenant) for _ in range(3) for tenant in tenants))
    await shipper.ship()

    assert {text.decode() for text in blobs.blobs.values()} == {line(tenant) * 3 for tenant in tenants}
    assert len(blobs.blobs) == 100


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_file(tmp_path: Path, clock: FakeClock) -> None:
    class Discard(FakeBlobs):
        async def upload(self, name: str, path: Path) -> None:  # noqa: ARG002  # the Protocol's
            self.uploads.append(name)

    rotated(tmp_path, line("acme") * 40_000)
    blobs = Discard()
    tracemalloc.start()
    try:
        await LogShipper(tmp_path, blobs, clock, "vm-9", nobody_was_purged).ship()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(blobs.uploads) == 1
    assert peak < 2_000_000


async def test_lines_of_a_purged_tenant_are_not_brought_back(
    tmp_path: Path, blobs: FakeBlobs, clock: FakeClock
) -> None:
    asked: list[str] = []

    async def acme_was_purged(owner: str) -> bool:
        asked.append(owner)
        return owner == "acme"

    rotated(tmp_path, line("acme") + line("globex") + line(None))
    shipped = await LogShipper(tmp_path, blobs, clock, "vm-9", acme_was_purged).ship()

    assert shipped == ShippingReport(1, 0)
    assert {name.partition("/")[0] for name in blobs.blobs} == {"globex", "_platform"}
    assert (names(tmp_path), asked) == ([], ["acme", "globex"])


async def test_four_files_are_shipped_side_by_side_and_no_more(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path
) -> None:
    for number in range(9):
        rotated(tmp_path, line("acme"), f"vm-{number}")
    uploading, most = 0, 0
    four_are, all_may = asyncio.Event(), asyncio.Event()

    async def before(_: str) -> None:
        nonlocal uploading, most
        uploading += 1
        most = max(most, uploading)
        if uploading == 4:
            four_are.set()
        await all_may.wait()
        uploading -= 1

    blobs.before = before
    run = asyncio.create_task(shipper.ship())
    await four_are.wait()
    all_may.set()

    assert await run == ShippingReport(9, 0)
    assert most == 4


@pytest.mark.parametrize(
    ("length", "owners"), [(1024 * 1024, ["acme"]), (1024 * 1024 + 2, ["_platform", "_platform"])]
)
async def test_a_line_of_one_mebibyte_is_its_tenants_and_a_longer_one_is_cut(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path, length: int, owners: list[str]
) -> None:
    short = line("acme")
    rotated(tmp_path, short.replace("Hello", "x" * (length - len(short) + len("Hello"))))
    await shipper.ship()

    parts = [name.partition("/")[0] for name, text in blobs.blobs.items() for _ in text.splitlines()]
    assert parts == owners


@pytest.mark.parametrize(("age", "shipped"), [(600, 0), (601, 1)])
async def test_a_claim_stands_for_ten_minutes_after_the_last_sign_of_life(
    shipper: LogShipper, tmp_path: Path, clock: FakeClock, age: int, shipped: int
) -> None:
    claim = rotated(tmp_path, line("acme")).rename(tmp_path / f"{STEM}.jsonl.shipping-vm-5-0a1b2c3d")
    now = clock.now().timestamp()
    os.utime(claim, (now, now))
    clock.advance(age)

    assert await shipper.ship() == ShippingReport(shipped, 0)


async def test_a_new_claim_on_an_old_file_is_no_stale_one(
    shipper: LogShipper, blobs: FakeBlobs, tmp_path: Path, clock: FakeClock
) -> None:
    old = clock.now().timestamp() - 86_400
    os.utime(rotated(tmp_path, line("acme")), (old, old))
    other = LogShipper(tmp_path, blobs, clock, "vm-10", nobody_was_purged)
    others: list[ShippingReport] = []

    async def ask_another(_: str) -> None:
        blobs.before = None
        others.append(await other.ship())

    blobs.before = ask_another

    assert await shipper.ship() == ShippingReport(1, 0)
    assert others == [ShippingReport(0, 0)]


def test_thirty_two_parts_are_open_beside_the_one_that_is_opened_and_no_more(tmp_path: Path) -> None:
    are_open: set[int] = set()
    counts: list[int] = []

    class PartFile(io.FileIO):
        def close(self) -> None:
            are_open.discard(id(self))
            super().close()

    class Folder(Path):
        def open(self, *_: object, **__: object) -> PartFile:  # type: ignore[override]  # as it is used here
            file = PartFile(str(self), "ab")
            are_open.add(id(file))
            counts.append(len(are_open))
            return file

    source = rotated(tmp_path, "".join(line(f"tenant-{number}") for number in range(100)))
    name = RotatedName.parse(source.name)
    assert name is not None

    assert len(split_file(source, name, Folder(tmp_path / "parts"))) == 100
    assert (len(counts), max(counts), len(are_open)) == (100, 33, 0)
