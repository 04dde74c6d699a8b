"""`AsyncBlobStorageUploader`: in the background, confirmed, tried again, one file never in another's way."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from typing import TYPE_CHECKING

import pytest

from compat.blob_storage import AsyncBlobStorageUploader
from shared.errors import DependencyTimeoutError, DependencyUnavailableError, ValidationError
from tests.support.fakes import StillClock
from tests.unit_tests.log_shipping.fakes import MemoryContainer, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fakes import FakeClock


@pytest.fixture
def container() -> MemoryContainer:
    return MemoryContainer()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "file.txt", b"content")


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


async def test_a_file_is_stored_under_the_given_name_over_what_has_it(
    container: MemoryContainer, file: Path
) -> None:
    async with AsyncBlobStorageUploader(container_name="logs", attempts=container) as uploader:
        assert await (await uploader.upload_file(file, "a.txt")) == "a.txt"
        assert (
            await (await uploader.upload_file(str(written(file, b"other")), "a.txt", "my-app"))
            == "my-app/a.txt"
        )
        assert await (await uploader.upload_file(file, "a.txt")) == "a.txt"

    assert container.blobs == {"a.txt": b"other", "my-app/a.txt": b"other"}
    assert container.closed == 1


async def test_without_a_name_it_has_one_of_its_content_and_is_stored_once(
    container: MemoryContainer, file: Path
) -> None:
    async with AsyncBlobStorageUploader(attempts=container) as uploader:
        names = [await (await uploader.upload_file(file, app_name="app")) for _ in range(2)]

    assert names == [f"app/file.txt.{digest(b'content')}"] * 2
    assert container.writes == names[:1]


async def test_a_compressed_files_name_says_so(container: MemoryContainer, tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    async with AsyncBlobStorageUploader(attempts=container, compression="gzip") as uploader:
        name = await (await uploader.upload_file(written(tmp_path / "x", content)))

    assert name == f"x.{digest(content)}.gz"
    assert container.blobs[name] == content


@pytest.mark.parametrize("content", [b"", b"x"])
async def test_the_smallest_files_arrive(container: MemoryContainer, tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "x", content)
    for compression in ("none", "gzip"):
        async with AsyncBlobStorageUploader(attempts=container, compression=compression) as uploader:
            assert container.blobs[await (await uploader.upload_file(path))] == content


async def test_what_is_appended_later_is_not_uploaded(container: MemoryContainer, file: Path) -> None:
    async def append(_: str) -> None:
        with file.open("ab") as more:
            more.write(b" and more")

    container.before = append
    async with AsyncBlobStorageUploader(attempts=container) as uploader:
        name = await (await uploader.upload_file(file))

    assert container.blobs == {name: b"content"}
    assert name.endswith(digest(b"content"))


async def test_it_is_tried_sixteen_times_more_after_a_second_and_then_longer_and_longer(
    container: MemoryContainer, file: Path, clock: FakeClock
) -> None:
    container.fail("a.txt")
    async with AsyncBlobStorageUploader(attempts=container, clock=clock) as uploader:
        with pytest.raises(DependencyUnavailableError, match="Blob Storage does not answer"):
            await (await uploader.upload_file(file, "a.txt"))

    assert container.attempts["a.txt"] == 17
    assert clock.slept[0] == 1
    ceilings = [min(2.0 * 2**number, 300) for number in range(15)]
    assert all(
        0.75 * ceiling <= slept <= ceiling for slept, ceiling in zip(clock.slept[1:16], ceilings, strict=True)
    )


async def test_the_store_is_given_the_time_that_it_asks_for(
    container: MemoryContainer, file: Path, clock: FakeClock
) -> None:
    container.fail("a.txt", retry_after=40)
    async with AsyncBlobStorageUploader(attempts=container, clock=clock, max_retries=1) as uploader:
        with pytest.raises(DependencyUnavailableError):
            await (await uploader.upload_file(file, "a.txt"))

    assert clock.slept[0] == 40


async def test_what_is_refused_for_good_is_tried_once(
    container: MemoryContainer, file: Path, clock: FakeClock
) -> None:
    container.fail("a.txt", is_final=True)
    async with AsyncBlobStorageUploader(attempts=container, clock=clock) as uploader:
        with pytest.raises(DependencyUnavailableError):
            await (await uploader.upload_file(file, "a.txt"))

    assert container.attempts["a.txt"] == 1


async def test_an_attempt_that_is_out_of_time_counts_as_failed(
    container: MemoryContainer, file: Path, clock: FakeClock
) -> None:
    async def time_out(_: str) -> None:
        raise TimeoutError

    container.before = time_out
    async with AsyncBlobStorageUploader(attempts=container, clock=clock, max_retries=2) as uploader:
        with pytest.raises(DependencyTimeoutError):
            await (await uploader.upload_file(file, "a.txt"))

    assert container.attempts["a.txt"] == 3


async def test_failing_files_delay_no_other_one(container: MemoryContainer, tmp_path: Path) -> None:
    """More of them than there are places, all waiting for their next attempt, or hanging in it."""
    clock = StillClock()
    container.fail("bad")
    uploader = AsyncBlobStorageUploader(attempts=container, clock=clock, shutdown_seconds=0)
    async with uploader:
        path = written(tmp_path / "x", b"x")
        failing = [await uploader.upload_file(path, f"bad-{number}") for number in range(50)]
        assert await (await uploader.upload_file(path, "good-1")) == "good-1"

        hang = asyncio.Event()

        async def hold(name: str) -> None:
            if "bad" in name:
                await hang.wait()

        container.before = hold
        await until(lambda: clock.slept)
        await clock.move(1)
        assert await (await uploader.upload_file(path, "good-2")) == "good-2"
        hang.set()
        assert not any(task.done() for task in failing)


async def test_four_files_are_sent_at_once_and_no_more(container: MemoryContainer, tmp_path: Path) -> None:
    go = asyncio.Event()

    async def hold(_: str) -> None:
        await go.wait()

    container.before = hold
    async with AsyncBlobStorageUploader(attempts=container) as uploader:
        path = written(tmp_path / "x", b"x")
        tasks = [await uploader.upload_file(path, str(number)) for number in range(9)]
        await until(lambda: container.sending >= 4)
        go.set()
        await asyncio.gather(*tasks)

    assert (len(container.blobs), container.most_sending) == (9, 4)


async def test_whoever_adds_to_a_full_queue_waits(container: MemoryContainer, file: Path) -> None:
    go = asyncio.Event()

    async def hold(_: str) -> None:
        await go.wait()

    container.before = hold
    async with AsyncBlobStorageUploader(attempts=container, most_pending=1) as uploader:
        first = await uploader.upload_file(file, "1")
        second = asyncio.ensure_future(uploader.upload_file(file, "2"))
        await until(lambda: container.sending)
        assert not second.done()
        go.set()
        await first
        await (await second)


async def test_a_shutdown_waits_for_what_is_pending_and_tries_failed_ones_once_more(
    container: MemoryContainer, file: Path
) -> None:
    clock = StillClock()
    container.fail("late")
    container.fail("never")
    uploader = AsyncBlobStorageUploader(attempts=container, clock=clock)
    await uploader.initialize()
    late, never = [await uploader.upload_file(file, name) for name in ("late", "never")]
    await until(lambda: len(clock.slept) >= 2)
    del container.failing["late"]
    await uploader.shutdown()

    assert await late == "late"
    assert isinstance(never.exception(), DependencyUnavailableError)
    assert container.attempts == {"late": 2, "never": 2}
    with pytest.raises(RuntimeError, match="initialize"):
        await uploader.upload_file(file)


async def test_a_shutdown_gives_up_what_takes_longer_than_it_may(
    container: MemoryContainer, file: Path
) -> None:
    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    container.before = hang
    uploader = AsyncBlobStorageUploader(attempts=container, shutdown_seconds=0)
    await uploader.initialize()
    task = await uploader.upload_file(file, "a")
    await uploader.shutdown()

    assert task.cancelled()
    assert container.sending == 0


async def test_a_file_that_is_not_there_is_told_at_once(container: MemoryContainer, tmp_path: Path) -> None:
    async with AsyncBlobStorageUploader(attempts=container) as uploader:
        with pytest.raises(FileNotFoundError):
            await uploader.upload_file(tmp_path / "absent")


def test_what_is_out_of_its_bounds_is_refused_by_name(container: MemoryContainer) -> None:
    with pytest.raises(ValidationError) as refused:
        AsyncBlobStorageUploader(container_name="", max_retries=-1, attempts=container, most_pending=0, x=1)

    assert set(refused.value.detail["fields"]) == {  # type: ignore[arg-type]  # a mapping
        "options.container_name",
        "options.max_retries",
        "options.most_pending",
        "options.x",
    }
    for url, connection_string in ((None, None), ("https://a", "x")):
        with pytest.raises(ValueError, match="an account_url or a connection_string"):
            AsyncBlobStorageUploader(url, connection_string=connection_string)


def test_the_methods_have_the_documents_parameters() -> None:
    methods = {
        "__init__": ["account_url", "container_name", "max_retries", "retry_delay"],
        "initialize": [],
        "upload_file": ["file_path", "blob_name", "app_name"],
        "shutdown": [],
    }
    for name, parameters in methods.items():
        found = list(inspect.signature(getattr(AsyncBlobStorageUploader, name)).parameters)
        assert found[1 : len(parameters) + 1] == parameters
