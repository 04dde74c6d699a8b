"""What a path addresses. Clients use names, or the resource ids of `_self` links; both lead to names here."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.cosmos.engine import identity

if TYPE_CHECKING:
    from local.cosmos.engine.catalog import Catalog

_DATABASE_RID_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Address:
    """A path in names; where `by_rid` is set, an item in it is still named by its resource id."""

    segments: list[str]
    by_rid: bool = False

    @property
    def container_label(self) -> str | None:
        """The container as `database/container`."""
        match self.segments:
            case ["dbs", database, "colls", container, *_]:
                return f"{database}/{container}"
            case _:
                return None


def split(path: str) -> list[str]:
    """Split a path into its segments."""
    return [segment for segment in path.split("/") if segment]


def resolve(segments: list[str], catalog: Catalog) -> Address:
    """Turn resource ids into names; what is unknown stays as it is and will not be found."""
    if len(segments) < 2 or segments[0] != "dbs" or not looks_like_rid(segments[1]):  # noqa: PLR2004 - dbs/{id}
        return Address(segments)
    databases = {identity.database_rid(row.number): row.id for row in catalog.databases()}
    if segments[1] in databases.values() or segments[1] not in databases:
        return Address(segments)
    resolved = [*segments]
    resolved[1] = databases[segments[1]]
    if len(segments) > 3:  # noqa: PLR2004 - dbs/{id}/colls/{id}
        containers = {
            container.rid: container.name.container for container in catalog.containers(resolved[1])
        }
        resolved[3] = containers.get(segments[3], segments[3])
    return Address(resolved, by_rid=True)


def looks_like_rid(segment: str) -> bool:
    """Tell whether the SDKs would take a database's segment for a resource id."""
    if len(segment) != _DATABASE_RID_LENGTH:
        return False
    try:
        base64.b64decode(segment.replace("-", "/"), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def signed_resources(path: str) -> list[tuple[str, str]]:
    """Give the resource type with the links that a client may have signed for a path."""
    segments = split(path)
    match segments:
        case [*owner, "operations", "partitionkeydelete"]:
            kind, link = "colls", owner
        case ["offers", offer]:  # always by resource id
            return [("offers", offer.lower())]
        case [*owner, kind] if len(segments) % 2:
            link = owner
        case [*_, kind, _]:
            link = segments
        case _:
            return [("", "")]
    by_name = (kind.lower(), "/".join(link))
    if len(link) > 1 and looks_like_rid(link[1]):  # a resource id is signed alone and in lower case
        return [by_name, (kind.lower(), link[-1].lower())]
    return [by_name]
