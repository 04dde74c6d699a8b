"""`SdkBlobStore`: overwriting, bounded memory, three attempts at most, real status codes decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.exceptions import HttpResponseError

from shared.blob.sdk import POLICY, SdkBlobStore, classify, open_client
from shared.blob.store import BlobInfo, BlobPart
from shared.errors import DependencyUnavailableError, ValidationError
from shared.resilience.dependency import Dependency
from tests.unit_tests.blob.memory import ACCOUNT_URL, CONNECTION, MemoryBlobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from azure.core.credentials_async import AsyncTokenCredential

    from tests.support.fakes import FakeClock

SECURE_URL = "https://account.blob.core.windows.net"
MEGABYTE = 1024 * 1024


@pytest.fixture
def account() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
async def store(account: MemoryBlobs, clock: FakeClock) -> AsyncIterator[SdkBlobStore]:
    async with open_client(CONNECTION, None, None, account) as client:
        yield SdkBlobStore(
            client.get_container_client("logs"), Dependency("Blob Storage", classify, POLICY, clock)
        )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_bytes(b"one\n")
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_what_is_uploaded_is_read_back(store: SdkBlobStore, file: Path) -> None:
    assert await store.read("a/b.jsonl") is None
    assert not await store.exists("a/b.jsonl")
    await store.upload("a/b.jsonl", file)

    assert await store.read("a/b.jsonl") == b"one\n"
    assert await store.exists("a/b.jsonl")


async def test_what_is_there_under_the_name_of_its_content_stays(
    store: SdkBlobStore, account: MemoryBlobs, file: Path
) -> None:
    for content in (b"one", bytes(5 * MEGABYTE)):
        account.writes.clear()
        name = f"a/{len(content)}"
        for _ in range(2):
            await store.upload(name, written(file, content))

        assert (account.writes, await store.read(name)) == ([name], content)


async def test_a_large_file_is_sent_in_blocks(store: SdkBlobStore, account: MemoryBlobs, file: Path) -> None:
    content = bytes(range(256)) * (9 * MEGABYTE // 256)
    await store.upload("large", written(file, content))

    assert account.blobs["large"] == content
    assert account.largest == 4 * MEGABYTE


async def test_a_content_is_written_over_what_had_its_name(store: SdkBlobStore, account: MemoryBlobs) -> None:
    account.lose_answers = 1

    await store.write("acme/a", b"one")
    await store.write("acme/a", b"two")

    assert (await store.read("acme/a"), account.blobs) == (b"two", {"acme/a": b"two"})


async def test_an_upload_is_done_again_from_its_beginning(
    store: SdkBlobStore, account: MemoryBlobs, file: Path
) -> None:
    account.statuses = [503]
    account.lose_answers = 1
    await store.upload("a", file)

    assert (account.blobs["a"], account.requests) == (b"one\n", 3)


async def test_three_attempts_are_the_most(store: SdkBlobStore, account: MemoryBlobs, file: Path) -> None:
    account.statuses = [503] * 10
    with pytest.raises(DependencyUnavailableError):
        await store.upload("a", file)

    assert account.requests == 3


async def test_a_refusal_is_not_tried_again(store: SdkBlobStore, account: MemoryBlobs, file: Path) -> None:
    account.statuses = [403]
    with pytest.raises(DependencyUnavailableError, match="403"):
        await store.upload("a", file)

    assert account.requests == 1


async def test_a_missing_container_is_a_failure(
    account: MemoryBlobs, store: SdkBlobStore, file: Path
) -> None:
    account.container = "other"
    with pytest.raises(DependencyUnavailableError, match="404"):
        await store.upload("a", file)
    with pytest.raises(DependencyUnavailableError, match="404"):
        await store.check()


async def test_the_check_asks_once(account: MemoryBlobs, store: SdkBlobStore) -> None:
    await store.check()

    assert account.requests == 1


async def test_a_lost_connection_is_told_as_such(account: MemoryBlobs, store: SdkBlobStore) -> None:
    account.lose_answers = 3
    with pytest.raises(DependencyUnavailableError, match="Blob Storage"):
        await store.check()


def test_what_is_no_failure_of_the_account_is_not_transient() -> None:
    assert classify(HttpResponseError("no response")) is None
    assert classify(ValueError()) is None
    assert classify(ConnectionResetError()) is not None


async def test_an_account_is_opened_by_its_url_or_its_connection_string(account: MemoryBlobs) -> None:
    class Credential:
        async def get_token(self, *scopes: str, **_: Any) -> None:  # noqa: ANN401  # azure-core's
            """Give none."""

    with pytest.raises(ValueError, match="connection string"):
        open_client(None, ACCOUNT_URL, None)
    credential = cast("AsyncTokenCredential", Credential())
    async with open_client(None, SECURE_URL, credential, account) as client:
        assert client.url.startswith(SECURE_URL)


async def test_blobs_are_listed_by_prefix_a_page_at_a_time(store: SdkBlobStore, account: MemoryBlobs) -> None:
    account.blobs = {f"{owner}/{number}": b"x" * number for owner in ("a", "ab", "b") for number in range(5)}
    found: list[BlobInfo] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        page = await store.page("a/", cursor, 2)
        found += page.blobs
        cursor, pages = page.cursor, pages + 1

    assert found == [BlobInfo(f"a/{number}", number) for number in range(5)]
    assert pages == 3


async def test_a_cursor_that_the_service_refuses_is_the_callers_mistake(store: SdkBlobStore) -> None:
    with pytest.raises(ValidationError) as refused:
        await store.page("a/", "junk", 2)

    assert refused.value.detail == {"fields": {"query.cursor": "is none that a page had"}}


async def test_a_list_that_is_refused_without_a_cursor_is_the_services(
    store: SdkBlobStore, account: MemoryBlobs
) -> None:
    account.statuses = [400]

    with pytest.raises(DependencyUnavailableError, match="400"):
        await store.page("a/", None, 2)


async def test_a_blob_is_read_in_parts(store: SdkBlobStore, account: MemoryBlobs) -> None:
    account.blobs = {"a/b": b"0123456789", "a/empty": b""}

    assert await store.read_part("a/b", 0, 4) == BlobPart(b"0123", 10)
    assert await store.read_part("a/b", 8, 4) == BlobPart(b"89", 10)
    assert await store.read_part("a/b", 10, 4) == BlobPart(b"", 10)
    assert await store.read_part("a/empty", 0, 4) == BlobPart(b"", 0)
    assert await store.read_part("a/absent", 0, 4) is None


async def test_a_part_that_is_refused_is_not_taken_for_the_end(
    store: SdkBlobStore, account: MemoryBlobs
) -> None:
    account.blobs = {"a/b": b"0123456789"}
    account.statuses = [403]

    with pytest.raises(DependencyUnavailableError, match="403"):
        await store.read_part("a/b", 0, 4)


async def test_a_blob_is_removed_once(store: SdkBlobStore, account: MemoryBlobs) -> None:
    account.blobs = {"a/b": b"x", "a/c": b"y"}

    assert await store.delete("a/b")
    assert not await store.delete("a/b")
    assert set(account.blobs) == {"a/c"}
