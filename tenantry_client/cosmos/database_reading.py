"""Properties of a database, read without azure-cosmos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry_client.cosmos.answers import FIRST_FAILURE, CosmosDict, error_of
from tenantry_client.cosmos.gateway import Request
from tenantry_client.cosmos.item_bodies import encode_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenantry_client.cosmos.client_core import ClientCore


async def read_database(core: ClientCore, database_id: str, options: Mapping[str, Any]) -> CosmosDict:
    """Return a database's properties."""
    compiled = core.compiler.of_read(options)
    path = f"/dbs/{encode_id(database_id)}"
    answer = await core.gateway.send(
        Request("GET", path, "dbs", f"dbs/{database_id}", "", None, compiled, reads=True)
    )
    if answer.status >= FIRST_FAILURE:
        raise error_of(answer)
    properties = CosmosDict(answer.json(), answer)
    if compiled.hook is not None:
        compiled.hook(properties.get_response_headers(), properties)
    return properties
