"""Partition keys: how a container is divided, and a key's form on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tenantry_client.cosmos.effective_key import Component, Undefined, hash_key

HIGHEST: Final = "FF"
_PATH: Final = re.compile(r'/(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([^/]+))')
_PLAIN_TEXT: Final = re.compile(r"[A-Za-z0-9 _.:/@|+=-]+")
_OBJECTS: Final = (dict, Mapping)
"""To ask for the class that nearly all are of is much cheaper than to ask for the abstract one."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


class NonePartitionKeyValue:
    """The key of items that have none."""


class NullPartitionKeyValue:
    """The key null."""


type KeyValue = type[NonePartitionKeyValue | NullPartitionKeyValue] | str | float | bool | None
type PartitionKeyType = KeyValue | Sequence[KeyValue]


class PartitionKey(dict[str, Any]):
    """The definition of a container's partition key.

    Args:
        path: The path of its value in an item, or one per level of a hierarchical key.
        kind: `Hash`, or `MultiHash` for a hierarchical one.
        version: Of the hash; 2 takes keys of more than 100 bytes.
    """

    def __init__(
        self, path: str | Sequence[str], kind: Literal["Hash", "MultiHash"] | None = None, version: int = 2
    ) -> None:
        paths = [path] if isinstance(path, str) else list(path)
        super().__init__(
            paths=paths, kind=kind or ("Hash" if isinstance(path, str) else "MultiHash"), version=version
        )

    @property
    def kind(self) -> str:
        """Whether it is hierarchical."""
        return str(self["kind"])

    @property
    def path(self) -> str:
        """Its path, or all of them joined."""
        return "".join(self["paths"])

    @property
    def version(self) -> int:
        """The version of its hash."""
        return int(self["version"])


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A range of effective keys, from `low` on and below `high`; in hexadecimal."""

    low: str = ""
    high: str = HIGHEST

    def overlaps(self, other: KeyRange) -> bool:
        """Tell whether some key lies in both."""
        return self.low < other.high and other.low < self.high

    def within(self, other: KeyRange) -> bool:
        """Tell whether each of its keys lies in the other one."""
        return other.low <= self.low and self.high <= other.high


@dataclass(frozen=True, slots=True)
class KeyDefinition:
    """A container's partition key as requests need it.

    Attributes:
        paths: The names on the way to each level's value.
        is_hierarchical: Whether a key has levels.
        version: Of the hash.
        is_system: Whether the service made the key of a container that had none.
    """

    paths: tuple[tuple[str, ...], ...]
    is_hierarchical: bool = False
    version: int = 2
    is_system: bool = False

    @classmethod
    def parse(cls, definition: Mapping[str, Any]) -> KeyDefinition:
        """Read a container's `partitionKey`."""
        return cls(
            tuple(_split(path) for path in definition["paths"]),
            definition.get("kind") == "MultiHash",
            int(definition.get("version", 1)),
            bool(definition.get("systemKey", False)),
        )

    def header_of_item(self, item: Mapping[str, Any]) -> str:
        """Write the key of an item as its header has it."""
        if not self.is_hierarchical:
            return self._header(_value(item, self.paths[0]))
        values = [_value(item, path) for path in self.paths]
        return _encode([None if isinstance(value, Undefined) else value for value in values])

    def header_of(self, key: PartitionKeyType) -> str:
        """Write a key that a caller named; a prefix has fewer levels."""
        if isinstance(key, str):
            return _encode_one(key)
        if isinstance(key, Sequence) and not isinstance(key, str):
            return _encode([_plain(one) for one in key])
        return self._header(_component(key))

    def is_prefix(self, key: PartitionKeyType) -> bool:
        """Tell whether a key names several partitions."""
        return (
            self.is_hierarchical
            and isinstance(key, Sequence)
            and not isinstance(key, str)
            and len(key) < len(self.paths)
        )

    def range_of(self, key: PartitionKeyType) -> KeyRange:
        """Return the range of effective keys that a key, or a prefix, stands for."""
        parts = key if isinstance(key, Sequence) and not isinstance(key, str) else (key,)
        components = [_component(part) for part in parts]
        low = hash_key(components, version=self.version, hierarchical=self.is_hierarchical)
        return KeyRange(low, low + (HIGHEST if self.is_prefix(key) else ""))

    def range_of_header(self, header: str) -> KeyRange:
        """Return the range of the key that a header has."""
        values = [Undefined() if value == {} else value for value in json.loads(header)]
        if not values:
            return KeyRange("", "00")
        low = hash_key(values, version=self.version, hierarchical=self.is_hierarchical)
        return KeyRange(low, low)

    def _header(self, value: Component) -> str:
        if isinstance(value, Undefined):
            return "[]" if self.is_system else "[{}]"
        return _encode_one(value)


def _encode_one(value: Component) -> str:
    """Write a list of one value; plain text, which most keys are, without the encoder."""
    if type(value) is str and _PLAIN_TEXT.fullmatch(value):
        return f'["{value}"]'
    return _encode([value])


def _component(key: Any) -> Component:  # noqa: ANN401 - whatever the caller or the service has
    name = getattr(key, "__name__", "") if isinstance(key, type) else ""
    if name == "NonePartitionKeyValue" or key == {}:
        return Undefined()
    if name == "NullPartitionKeyValue":
        return None
    value: Component = key
    return value


def _plain(key: Any) -> object:  # noqa: ANN401 - whatever the caller or the service has
    value = _component(key)
    return {} if isinstance(value, Undefined) else value


def _split(path: str) -> tuple[str, ...]:
    names = tuple(next(filter(None, found), "") for found in _PATH.findall(path))
    if not names:
        raise ValueError(f"no path of a partition key: {path!r}")
    return names


def _value(item: Mapping[str, Any], path: tuple[str, ...]) -> Component:
    found: Any = item
    for name in path:
        if not isinstance(found, _OBJECTS) or name not in found:
            return Undefined()
        found = found[name]
    if not isinstance(found, str) and isinstance(found, Mapping):
        return Undefined()
    value: Component = found
    return value
