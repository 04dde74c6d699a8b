"""Creates the blob containers that the definition names: in Azure, Bicep creates them from the same file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.azurite.account import connection_string

if TYPE_CHECKING:
    from pathlib import Path


class DefinitionError(Exception):
    """The definition does not say what containers there are."""


def read_definition(path: Path) -> list[str]:
    """Read the names of the containers.

    Raises:
        DefinitionError: The file is not `{"containers": ["name", ...]}`.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["containers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DefinitionError(f"{path} is no definition of containers: {error!r}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DefinitionError(f'{path}: "containers" has to be a list of names')
    return names


async def create_containers(port: int, names: list[str]) -> None:
    """Create each container that is not there yet."""
    # Imported here: it takes a third of a second, in which Azurite starts.
    from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415  # see above
    from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415  # see above

    async with BlobServiceClient.from_connection_string(connection_string(port)) as service:
        for name in names:
            try:
                await service.create_container(name)
            except ResourceExistsError:
                continue
