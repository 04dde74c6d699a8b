"""The blob trigger and its receipts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from local.host.bindings import BlobTrigger
from local.host.expressions import BlobPattern
from local.host.hostjson import BlobOptions
from local.host.invocation import Outcome
from local.host.listeners.blob import BlobListener, BlobVersion
from local.host.listeners.receipts import SqliteReceipts
from tests.unit_tests.local_host.fakes import FAILED, FakeBlobs, FakeClock, FakeRunner, a_function, settle

if TYPE_CHECKING:
    from pathlib import Path

    from local.host.executor import Call

_VERSION = BlobVersion("inbox", "a.txt", "1")


class _Scan:
    """A listener that scans blobs in memory."""

    def __init__(
        self, folder: Path, runner: FakeRunner | None = None, *, text: bool = False, slots: int = 8
    ) -> None:
        trigger = BlobTrigger("blob", "inbox/{name}.txt", "", text=text)
        self.clock = FakeClock()
        self.blobs = FakeBlobs()
        self.runner = runner or FakeRunner()
        self.receipts = SqliteReceipts(folder)
        self.stopped = asyncio.Event()
        self.task = asyncio.create_task(
            BlobListener(
                function=a_function(trigger),
                trigger=trigger,
                pattern=BlobPattern.parse(trigger.path),
                options=BlobOptions(max_degree_of_parallelism=slots),
                source=self.blobs,
                receipts=self.receipts,
                runner=self.runner,
                clock=self.clock,
            ).listen(self.stopped)
        )

    async def stop(self) -> None:
        self.stopped.set()
        await self.clock.advance(10)
        await self.task
        self.receipts.close()

    def values(self) -> list[object]:
        return [call.value for call in self.runner.calls]


async def test_each_content_of_a_blob_runs_the_function_once(tmp_path: Path) -> None:
    scan = _Scan(tmp_path)
    scan.blobs.contents |= {"inbox/a.txt": b"one", "inbox/b.pdf": b"no", "other/a.txt": b"no"}
    await scan.clock.advance(5)
    scan.blobs.contents["inbox/a.txt"] = b"two"
    await scan.clock.advance(5)
    assert scan.values() == [b"one", b"two"]
    call = scan.runner.calls[0]
    assert call.metadata["BlobTrigger"] == "inbox/a.txt"
    assert call.metadata["name"] == "a"
    assert call.data["name"] == "a"
    await scan.stop()
    again = _Scan(tmp_path, text=True)
    again.blobs.contents |= {"inbox/a.txt": b"two", "inbox/c.txt": b"three"}
    await again.clock.advance(2)
    assert again.values() == ["three"]
    await again.stop()


async def test_a_container_of_thousands_is_scanned_less_often(tmp_path: Path) -> None:
    scan = _Scan(tmp_path)
    scan.blobs.contents |= {f"inbox/{number}.pdf": b"no" for number in range(2000)}
    await scan.clock.advance(3.9)
    assert scan.blobs.listings == 1
    await scan.clock.advance(16.1)
    assert scan.blobs.listings == 6
    await scan.stop()


async def test_a_blob_that_fails_is_given_up_after_the_threshold_and_delays_no_other(tmp_path: Path) -> None:
    async def body(call: Call) -> Outcome:
        return FAILED if call.value == b"bad" else Outcome()

    scan = _Scan(tmp_path, FakeRunner(body))
    scan.blobs.contents |= {"inbox/a.txt": b"bad", "inbox/b.txt": b"good"}
    await scan.clock.advance(20)
    assert scan.values().count(b"bad") == 5
    assert scan.values().count(b"good") == 1
    assert [poison["BlobName"] for poison in scan.receipts.poison()] == ["a.txt"]
    await scan.stop()


async def test_storage_out_of_reach_is_no_failure_of_the_blob(tmp_path: Path) -> None:
    scan = _Scan(tmp_path)
    scan.blobs.contents["inbox/a.txt"] = b"one"
    scan.blobs.error = ConnectionError("gone")
    await scan.clock.advance(10)
    scan.blobs.error = None
    await scan.clock.advance(2)
    assert scan.values() == [b"one"]
    await scan.stop()


async def test_a_blob_that_is_gone_when_it_is_read_is_done(tmp_path: Path) -> None:
    scan = _Scan(tmp_path)
    scan.blobs.contents["inbox/a.txt"] = b"one"

    scan.blobs.vanish = True
    await scan.clock.advance(3)
    assert scan.values() == []
    assert scan.receipts.claim("work", BlobVersion("inbox", "a.txt", "etag-one")) is None
    await scan.stop()


async def test_no_more_run_at_once_than_allowed_and_a_stop_lets_them_finish(tmp_path: Path) -> None:
    release = asyncio.Event()
    running = 0

    async def body(_call: Call) -> Outcome:
        nonlocal running
        running += 1
        assert running <= 2
        await release.wait()
        running -= 1
        return Outcome()

    scan = _Scan(tmp_path, FakeRunner(body), slots=2)
    scan.blobs.contents |= {f"inbox/{number}.txt": b"x" for number in range(5)}
    await scan.clock.advance(2)
    assert running == 2
    scan.stopped.set()
    release.set()
    await settle()
    await scan.task
    assert running == 0
    scan.receipts.close()


def test_a_claim_is_exclusive_until_it_is_given_back(tmp_path: Path) -> None:
    one, two = SqliteReceipts(tmp_path), SqliteReceipts(tmp_path)
    assert one.claim("f", _VERSION) == 0
    assert two.claim("f", _VERSION) is None
    assert one.claim("f", _VERSION) is None
    one.failed("f", _VERSION, poison=False)
    assert two.claim("f", _VERSION) == 1
    two.release("f", _VERSION)
    assert one.claim("f", _VERSION) == 1
    one.done("f", _VERSION)
    assert two.claim("f", _VERSION) is None
    one.close()
    two.close()


def test_the_claims_of_an_instance_that_ended_are_free(tmp_path: Path) -> None:
    one, two = SqliteReceipts(tmp_path), SqliteReceipts(tmp_path)
    one.claim("f", _VERSION)
    one.close()
    assert two.claim("f", _VERSION) == 0
    # What a kill leaves: a claim whose owner's file nobody locks, or is not there.
    two._database.execute("UPDATE receipts SET owner='dead'")  # noqa: SLF001 -- a kill cannot be had in one process
    assert two.claim("f", _VERSION) == 0
    two._database.execute("UPDATE receipts SET owner='dead'")  # noqa: SLF001 -- same
    (tmp_path / "owners" / "dead").touch()
    assert two.claim("f", _VERSION) == 0
    two._database.execute("UPDATE receipts SET owner=NULL")  # noqa: SLF001 -- same
    assert two.claim("f", _VERSION) == 0
    two.close()
