"""Uploads over the SDK: a connection each, the container made only on request, real status codes decide."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from shared.blob.attempts import AttemptFailedError, BlobAccount, FileUpload
from shared.blob.fresh_connections import FreshConnections
from shared.errors import ConfigurationError
from tests.unit_tests.blob.memory import CONNECTION, MemoryBlobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shared.blob.file_content import Compression

ACCOUNT = BlobAccount(None, CONNECTION, None)
MEGABYTE = 1024 * 1024
CONTENT = bytes(range(256)) * (9 * MEGABYTE // 256)


@pytest.fixture
def account() -> MemoryBlobs:
    return MemoryBlobs()


def connections(account: MemoryBlobs, container: str = "logs", *, create: bool = False) -> FreshConnections:
    return FreshConnections(container, ACCOUNT, create_container=create, open_transport=lambda: account)


@pytest.fixture
def upload(tmp_path: Path) -> Callable[..., FileUpload]:
    def make(
        content: bytes = b"content", compression: Compression = "none", *, overwrite: bool = True
    ) -> FileUpload:
        path = tmp_path / "file"
        path.write_bytes(content)
        return FileUpload(path, "app/file", len(content), compression, overwrite)

    return make


@pytest.mark.parametrize("content", [b"", b"content", CONTENT])
async def test_a_file_is_sent_as_it_is(
    account: MemoryBlobs, upload: Callable[..., FileUpload], content: bytes
) -> None:
    await connections(account).put(upload(content))

    assert account.blobs == {"app/file": content}
    assert account.requests == (1 if len(content) < MEGABYTE else 2)


async def test_a_file_that_becomes_shorter_on_its_way_is_no_blob(
    account: MemoryBlobs, upload: Callable[..., FileUpload]
) -> None:
    one = upload(CONTENT)
    one.path.write_bytes(CONTENT[:-1])
    with pytest.raises(OSError, match="shorter"):
        await connections(account).put(one)

    assert account.blobs == {}


async def test_a_file_is_compressed_on_its_way(
    account: MemoryBlobs, upload: Callable[..., FileUpload]
) -> None:
    await connections(account).put(upload(CONTENT, "gzip"))

    assert gzip.decompress(account.blobs["app/file"]) == CONTENT
    assert len(account.blobs["app/file"]) < len(CONTENT) / 10


async def test_each_attempt_has_a_connection_of_its_own(
    account: MemoryBlobs, upload: Callable[..., FileUpload]
) -> None:
    opened: list[MemoryBlobs] = []

    def open_transport() -> Any:  # noqa: ANN401  # the SDK's
        opened.append(account)
        return account

    fresh = FreshConnections("logs", ACCOUNT, create_container=False, open_transport=open_transport)
    for _ in range(3):
        await fresh.put(upload())
    await fresh.close()

    assert (len(opened), account.requests) == (3, 3)


async def test_what_is_there_under_the_name_of_its_content_stays(
    account: MemoryBlobs, upload: Callable[..., FileUpload]
) -> None:
    for content in (b"content", CONTENT):
        account.writes.clear()
        account.blobs.clear()
        for _ in range(2):
            await connections(account).put(upload(content, overwrite=False))

        assert account.writes == ["app/file"]


@pytest.mark.parametrize(
    ("status", "is_final"), [(503, False), (500, False), (429, False), (408, False), (403, True), (400, True)]
)
async def test_real_status_codes_decide_whether_another_attempt_can_help(
    account: MemoryBlobs, upload: Callable[..., FileUpload], status: int, *, is_final: bool
) -> None:
    account.statuses = [status]
    with pytest.raises(AttemptFailedError, match=f"refused the request with {status}") as refused:
        await connections(account).put(upload())

    assert (refused.value.is_final, account.requests) == (is_final, 1)


async def test_a_lost_answer_is_worth_another_attempt(
    account: MemoryBlobs, upload: Callable[..., FileUpload]
) -> None:
    account.lose_answers = 1
    with pytest.raises(AttemptFailedError, match="does not answer") as lost:
        await connections(account).put(upload())

    assert not lost.value.is_final


async def test_a_container_is_made_only_on_request(
    account: MemoryBlobs, upload: Callable[..., FileUpload]
) -> None:
    with pytest.raises(AttemptFailedError, match="404 ContainerNotFound") as refused:
        await connections(account, "other").put(upload())
    assert refused.value.is_final

    for _ in range(2):
        await connections(account, "other", create=True).put(upload())
    assert account.container == "other"
    with pytest.raises(ConfigurationError):
        await connections(account, "No Name", create=True).put(upload())
