"""Memory stays flat however large a file is: 1 GB in a soak, less by default."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from pathlib import Path

import pytest

from shared.blob.uploader import AsyncBlobStorageUploader
from tests.integration_tests.local_host.parts import blob_connection, running_part
from tests.support.soak import SOAK, sized

MEBIBYTE = 1024 * 1024
SIZE = (1024 if SOAK else 96) * MEBIBYTE
MOST_MEBIBYTES = 32


def memory(kind: str) -> float:
    """Return this process's resident memory in MiB: `VmRSS` now, `VmHWM` at its most."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(kind))


def upload(connection: str, warm: Path, large: Path, compression: str) -> float:
    """Upload a small file, then a large one; return the MiB that this took at most above what was idle."""
    return asyncio.run(_upload(connection, warm, large, compression))


async def _upload(connection: str, warm: Path, large: Path, compression: str) -> float:
    options = {"connection_string": connection, "create_container": True, "compression": compression}
    async with AsyncBlobStorageUploader(**options) as uploader:  # type: ignore[arg-type]  # by name
        await (await uploader.upload_file(warm))
        idle = memory("VmRSS")
        await asyncio.to_thread(Path("/proc/self/clear_refs").write_text, "5")  # the most begins anew
        await (await uploader.upload_file(large, "large"))
        return memory("VmHWM") - idle


@pytest.mark.timeout(600)
@sized(60)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_large_file_takes_no_more_memory_than_a_few_blocks(tmp_path: Path, compression: str) -> None:
    warm, large = tmp_path / "warm", tmp_path / "large"
    warm.write_bytes(b"x")
    with large.open("wb") as file:
        for _ in range(8):
            file.write(os.urandom(MEBIBYTE))
        file.truncate(SIZE)
    with (
        running_part("azurite", tmp_path / "azurite") as port,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        used = pool.apply(upload, (blob_connection(port), warm, large, compression))

    assert used < MOST_MEBIBYTES
