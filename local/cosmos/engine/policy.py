"""A container's properties as its owner wrote them: checked, completed and taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.cosmos.engine.partition import PartitionKeyDefinition, parse_definition, parse_path
from local.cosmos.errors import bad_request, unsupported

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject

type Path = tuple[str, ...]
type CompositeIndex = tuple[tuple[Path, bool], ...]

MAX_TTL: Final = 2**31 - 1
MAX_UNIQUE_KEYS: Final = 10
_ETAG_PATH: Final = '/"_etag"/?'
_ETAG_PATHS: Final = {_ETAG_PATH, "/'_etag'/?", "/_etag/?"}
_DEFAULT_INDEXING: Final[JsonObject] = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": _ETAG_PATH}],
}
_DEFAULT_CONFLICTS: Final[JsonObject] = {
    "mode": "LastWriterWins",
    "conflictResolutionPath": "/_ts",
    "conflictResolutionProcedure": "",
}
_REFUSED: Final = (
    "vectorEmbeddingPolicy",
    "fullTextPolicy",
    "changeFeedPolicy",
    "computedProperties",
    "clientEncryptionPolicy",
)


@dataclass(frozen=True, slots=True)
class IndexPath:
    """One included or excluded path: the steps, and whether it covers what is below them."""

    steps: Path
    below: bool

    def covers(self, path: Path) -> bool:
        """Tell whether a property path falls under this rule."""
        if self.below:
            return path[: len(self.steps)] == self.steps
        return path == self.steps


def _strongest(rules: tuple[IndexPath, ...], path: Path) -> int:
    return max((len(rule.steps) * 2 + (not rule.below) for rule in rules if rule.covers(path)), default=-1)


@dataclass(frozen=True, slots=True)
class IndexingPolicy:
    """Which paths queries may be ordered by."""

    active: bool
    included: tuple[IndexPath, ...]
    excluded: tuple[IndexPath, ...]
    composite: tuple[CompositeIndex, ...]

    def indexes(self, path: Path) -> bool:
        """Tell whether a path is indexed; the longer of two rules that cover it decides."""
        if not self.active:
            return False
        return _strongest(self.included, path) > _strongest(self.excluded, path)

    def names(self, path: Path) -> bool:
        """Tell whether a path is included by name, so that its index also holds the items without it."""
        return any(not rule.below and rule.steps == path for rule in self.included)

    def serves(self, order: CompositeIndex) -> bool:
        """Tell whether a composite index has exactly these paths in this order, or in the opposite one."""
        opposite = tuple((path, not descending) for path, descending in order)
        return order in self.composite or opposite in self.composite


@dataclass(frozen=True, slots=True)
class Policy:
    """The meaning of a container's properties."""

    partition: PartitionKeyDefinition
    default_ttl: int | None
    unique_keys: tuple[tuple[Path, ...], ...]
    indexing: IndexingPolicy


def complete(properties: JsonObject) -> JsonObject:
    """Fill in what the service fills in, and leave out what it makes up itself."""
    kept: JsonObject = {
        name: value for name, value in properties.items() if not name.startswith("_") and value is not None
    }
    partition, indexing = kept.get("partitionKey"), kept.get("indexingPolicy")
    if isinstance(partition, dict):
        kept["partitionKey"] = {"kind": "Hash", **partition}
    kept["indexingPolicy"] = _complete_indexing(indexing) if isinstance(indexing, dict) else _DEFAULT_INDEXING
    kept.setdefault("conflictResolutionPolicy", _DEFAULT_CONFLICTS)
    kept.setdefault("geospatialConfig", {"type": "Geography"})
    return kept


def _complete_indexing(indexing: JsonObject) -> JsonObject:
    mode = str(indexing.get("indexingMode", "consistent")).lower()
    completed: JsonObject = {"indexingMode": mode, "automatic": mode != "none"}
    if mode != "none":
        completed |= {"includedPaths": [{"path": "/*"}], "excludedPaths": []}
    completed |= {**indexing, "indexingMode": mode}
    excluded = completed.get("excludedPaths")
    if mode != "none" and isinstance(excluded, list) and not _names_etag(completed):
        completed["excludedPaths"] = [*excluded, {"path": _ETAG_PATH}]
    return completed


def _names_etag(indexing: JsonObject) -> bool:
    listed = (indexing.get("includedPaths"), indexing.get("excludedPaths"))
    paths = [entry for entries in listed if isinstance(entries, list) for entry in entries]
    return any(isinstance(entry, dict) and str(entry.get("path")) in _ETAG_PATHS for entry in paths)


def parse_policy(properties: JsonObject) -> Policy:
    """Take a container's properties apart.

    Raises:
        CosmosError: 400 for what is malformed or what this endpoint does not have.
    """
    for name in _REFUSED:
        if properties.get(name):
            raise unsupported(f"The container property {name!r}")
    return Policy(
        partition=parse_definition(properties),
        default_ttl=_default_ttl(properties.get("defaultTtl")),
        unique_keys=_unique_keys(properties.get("uniqueKeyPolicy")),
        indexing=_indexing(properties.get("indexingPolicy")),
    )


def _default_ttl(value: Json) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not (value == -1 or 1 <= value <= MAX_TTL):
        raise bad_request(
            f"The input default time to live {value!r} is invalid. Ensure to provide a nonzero positive "
            "integer less "
            f"than or equal to '{MAX_TTL}', or '-1' which means never expire."
        )
    return value


def _unique_keys(value: Json) -> tuple[tuple[Path, ...], ...]:
    if value is None:
        return ()
    keys = value.get("uniqueKeys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_UNIQUE_KEYS:
        raise bad_request(f"The unique key policy needs a list of at most {MAX_UNIQUE_KEYS} uniqueKeys.")
    parsed: list[tuple[Path, ...]] = []
    for key in keys:
        paths = key.get("paths") if isinstance(key, dict) else None
        if not isinstance(paths, list) or not paths:
            raise bad_request("Each unique key needs a list of paths.")
        parsed.append(tuple(parse_path(path) for path in paths))
    return tuple(parsed)


def _indexing(value: Json) -> IndexingPolicy:
    if not isinstance(value, dict):
        raise bad_request("The indexing policy is malformed.")
    mode = value.get("indexingMode", "consistent")
    if mode not in {"consistent", "lazy", "none"}:
        raise bad_request(f"The indexing mode {mode!r} is invalid.")
    for name in ("vectorIndexes", "fullTextIndexes", "spatialIndexes"):
        if value.get(name):
            raise unsupported(f"The indexing policy's {name!r}")
    composite = value.get("compositeIndexes") or []
    if not isinstance(composite, list):
        raise bad_request("The composite indexes are malformed.")
    return IndexingPolicy(
        active=mode != "none",
        included=_index_paths(value.get("includedPaths")),
        excluded=_index_paths(value.get("excludedPaths")),
        composite=tuple(_composite(entry) for entry in composite),
    )


def _index_paths(value: Json) -> tuple[IndexPath, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad_request("The indexing policy's paths are malformed.")
    return tuple(_index_path(entry.get("path") if isinstance(entry, dict) else None) for entry in value)


def _index_path(path: Json) -> IndexPath:
    if path == "/":  # the oldest way to write /*
        path = "/*"
    if not isinstance(path, str) or not path.endswith(("/*", "/?")):
        raise bad_request(f"The indexing path {path!r} is invalid: it has to end in /* or /?.")
    steps = parse_path(path[:-2]) if len(path) > 2 else ()  # noqa: PLR2004 - the ending alone
    return IndexPath(steps, path.endswith("*"))


def _composite(entry: Json) -> CompositeIndex:
    if not isinstance(entry, list) or len(entry) < 2:  # noqa: PLR2004 - one path is no composite
        raise bad_request("A composite index needs at least two paths.")
    parsed: list[tuple[Path, bool]] = []
    for part in entry:
        if not isinstance(part, dict):
            raise bad_request("A composite index's path is malformed.")
        order = part.get("order", "ascending")
        if order not in {"ascending", "descending"}:
            raise bad_request(f"The composite index order {order!r} is invalid.")
        parsed.append((parse_path(part.get("path")), order == "descending"))
    return tuple(parsed)
