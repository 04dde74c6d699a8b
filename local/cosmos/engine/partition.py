"""Partition keys: where they stand in an item, how they compare, and where their hash places them.

An item's place is the pair of its effective partition key (the hash that the SDKs compute as well, and send
as `x-ms-start-epk` and `x-ms-end-epk`) and the canonical bytes of the key itself. Ranges are scanned by the
hash; a full key is always matched by its canonical bytes too, so that not even colliding hashes mix two
partitions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import orjson

from local.cosmos.engine.effective_key import Component, effective_key, effective_key_v1, hashed_form
from local.cosmos.errors import SubStatus, bad_request, unsupported
from local.cosmos.values import UNDEFINED, Json, JsonObject, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_KEY_BYTES: Final = 2048
MAX_LEVELS: Final = 3
LATEST_VERSION: Final = 2
_PATH_STEP: Final = re.compile(
    r"""/(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<plain>[^/"'][^/"]*))"""
)


@dataclass(frozen=True, slots=True)
class PartitionKey:
    """A full partition key value."""

    components: tuple[Component, ...]
    canonical: bytes
    epk: bytes


@dataclass(frozen=True, slots=True)
class EpkRange:
    """A half-open range of effective partition keys; no `high` means up to the end."""

    low: bytes
    high: bytes | None

    def intersect(self, other: EpkRange) -> EpkRange:
        """Narrow one range by another."""
        highs = [high for high in (self.high, other.high) if high is not None]
        return EpkRange(max(self.low, other.low), min(highs) if highs else None)

    def holds(self, epk: bytes) -> bool:
        """Tell whether an effective partition key lies in the range."""
        return self.low <= epk and (self.high is None or epk < self.high)


EVERYTHING: Final = EpkRange(b"", None)


@dataclass(frozen=True, slots=True)
class PartitionKeyDefinition:
    """Where a container's items carry their partition key, and how it is hashed."""

    paths: tuple[tuple[str, ...], ...]
    hierarchical: bool
    version: int = 2

    def of_item(self, item: JsonObject) -> PartitionKey:
        """Extract the full partition key from an item."""
        return self.of_components(tuple(_component(value_at(item, path)) for path in self.paths))

    def holds(self, key: PartitionKey, item: JsonObject) -> bool:
        """Tell whether an item belongs under a key: what `of_item` would say, for less."""
        for path, component in zip(self.paths, key.components, strict=True):
            value = _component(value_at(item, path))
            if value != component or type(value) is not type(component):  # True == 1.0
                return False
        return True

    def of_components(self, components: tuple[Component, ...]) -> PartitionKey:
        """Place a full key.

        Raises:
            CosmosError: 400 where a component is missing or the key is too long.
        """
        if len(components) != len(self.paths):
            raise bad_request(
                "Partition key provided either doesn't correspond to definition in the collection or "
                "doesn't match "
                "partition key field values specified in the document.",
                SubStatus.PARTITION_KEY_MISMATCH,
            )
        return _place(components, tuple(map(type, components)), self)

    def of_values(self, values: Sequence[Value]) -> PartitionKey:
        """Place the key that consists of these values."""
        return self.of_components(tuple(map(_component, values)))

    def parse_header(self, header: str) -> tuple[Component, ...]:
        """Read the components from the partition key header; they may be a prefix of a hierarchical key.

        Raises:
            CosmosError: 400 where the header is no list of scalars or has too many of them.
        """
        try:
            parsed: Json = orjson.loads(header)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"Invalid partition key header: {error}") from error
        if not isinstance(parsed, list) or not parsed or len(parsed) > len(self.paths):
            raise bad_request(
                f"Partition key {header} is invalid: the container has {len(self.paths)} path(s).",
                SubStatus.PARTITION_KEY_MISMATCH,
            )
        if any(isinstance(part, dict) and part for part in parsed):
            raise bad_request(f"Partition key {header} is invalid: an object in it has to be empty.")
        return tuple(map(_component, parsed))

    def prefix_range(self, components: tuple[Component, ...]) -> EpkRange:
        """Give the range that holds exactly the keys that begin with whole `components`."""
        low = b"".join(map(effective_key, components))
        return EpkRange(low, low + b"\xff")


def parse_definition(properties: JsonObject) -> PartitionKeyDefinition:
    """Read a container's `partitionKey` property.

    Raises:
        CosmosError: 400 where it is missing, malformed or of a kind that this endpoint does not have.
    """
    definition = properties.get("partitionKey")
    if not isinstance(definition, dict):
        raise bad_request("The partition key definition of the container is missing.")
    paths = definition.get("paths")
    if not isinstance(paths, list) or not 1 <= len(paths) <= MAX_LEVELS:
        raise bad_request(f"The partition key definition needs 1 to {MAX_LEVELS} paths.")
    kind = definition.get("kind", "Hash")
    if kind not in {"Hash", "MultiHash"}:
        raise unsupported(f"Partition key kind {kind!r}")
    version = definition.get("version", 1)
    if version not in {1, LATEST_VERSION} or (kind == "MultiHash" and version != LATEST_VERSION):
        raise unsupported(f"Version {version!r} of a partition key of kind {kind}")
    if kind == "Hash" and len(paths) != 1:
        raise bad_request("A partition key of kind Hash has exactly one path.")
    return PartitionKeyDefinition(
        tuple(parse_path(path) for path in paths), kind == "MultiHash", 1 if version == 1 else LATEST_VERSION
    )


@lru_cache(maxsize=1024)
def _split_path(path: str) -> tuple[str, ...]:
    steps: list[str] = []
    at = 0
    while at < len(path):
        step = _PATH_STEP.match(path, at)
        if step is None:
            raise bad_request(f"The path {path!r} is invalid.")
        steps.append(step[step.lastgroup or "plain"])
        at = step.end()
    if not steps:
        raise bad_request(f"The path {path!r} is invalid.")
    return tuple(steps)


def parse_path(path: Json) -> tuple[str, ...]:
    """Split a path like `/a/"b c"/'d e'` into its property names."""
    if not isinstance(path, str):
        raise bad_request(f"The path {path!r} is invalid.")
    return _split_path(path)


def value_at(item: Json, path: Sequence[str]) -> Value:
    """Follow property names down from an item."""
    value: Value = item
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return UNDEFINED
        value = value[name]
    return value


def _component(value: Value) -> Component:
    if isinstance(
        value, dict
    ):  # as if nothing were there, like the SDKs: their keys have no form for objects
        return UNDEFINED
    if isinstance(value, list):
        raise bad_request("A partition key value has to be a string, a number, a boolean or null.")
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


@lru_cache(maxsize=65_536)
def _place(
    components: tuple[Component, ...], _types: tuple[type, ...], definition: PartitionKeyDefinition
) -> PartitionKey:
    """Place a key; the types are part of the cache's key, because True == 1.0 are two partitions."""
    canonical = b"".join(map(hashed_form, components))
    if len(canonical) > MAX_KEY_BYTES:
        raise bad_request(f"The partition key is longer than {MAX_KEY_BYTES} bytes.")
    if definition.hierarchical:
        epk = b"".join(map(effective_key, components))
    else:
        epk = (effective_key if definition.version == LATEST_VERSION else effective_key_v1)(components[0])
    return PartitionKey(components, canonical, epk)
