"""A blob's name that XML cannot hold is listed as Azure lists it, and costs no other blob anything.

From version 2021-02-12 of https://learn.microsoft.com/rest/api/storageservices/list-blobs on, such names are
percent-encoded and marked as that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.blob.sdk import SdkBlobStore, classify, open_client
from shared.resilience.dependency import Dependency
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.owned_data import OwnedBlobs
from tests.integration_tests.local_host.parts import blob_connection, running_part

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    "acme/a",
    "acme/b\x01",
    "acme/c",
    "acme/d\x1f/\ufffe",
    "acme/e\t\n",
    "acme/f & <g>",
    "acme/%01",
    "acme/ü",
]


async def test_names_with_control_characters_are_listed_page_by_page_and_removed(tmp_path: Path) -> None:
    with running_part("azurite", tmp_path) as port:
        client = open_client(blob_connection(port), None, None)
        async with client:
            container = client.get_container_client("names")
            await container.create_container()
            for name in [*NAMES, "acme-eu/x"]:
                await container.get_blob_client(name).upload_blob(b"x")
            store = SdkBlobStore(container, Dependency("Blob Storage", classify))
            owned = OwnedBlobs(parse_tenant_id("acme"), store)
            found: list[str] = []
            cursor = None
            while True:
                page = await store.page("acme/", cursor, 1)
                found += [blob.name for blob in page.blobs]
                cursor = page.cursor
                if cursor is None:
                    break

            assert sorted(found) == sorted(NAMES)
            assert await owned.count() == len(NAMES)
            assert await owned.remove_some() == len(NAMES)
            assert await owned.count() == 0
            assert [blob.name for blob in (await store.page("", None, 10)).blobs] == ["acme-eu/x"]
