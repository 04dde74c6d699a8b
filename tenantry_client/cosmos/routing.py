"""Physical partitions of a container: which one has a key, and which lie in a range."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tenantry_client.cosmos.partition_key import KeyRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenantry_client.cosmos.partition_key import KeyDefinition

_MOST_PLACED: Final = 10_000


class PhysicalPartition(NamedTuple):
    """One physical partition.

    Attributes:
        ids: Its id, then those of the partitions that it came from.
        range: The effective keys that it has.
    """

    ids: tuple[str, ...]
    range: KeyRange

    @property
    def id(self) -> str:
        """Its id."""
        return self.ids[0]


class RoutingMap:
    """The physical partitions of a container at one time, in the order of their keys.

    Args:
        documents: They as the service describes them.
    """

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        listed = [
            PhysicalPartition(
                (str(one["id"]), *map(str, reversed(one.get("parents") or ()))),
                KeyRange(str(one["minInclusive"]), str(one["maxExclusive"])),
            )
            for one in documents
        ]
        gone = {parent for partition in listed for parent in partition.ids[1:]}
        self.partitions = sorted(
            (one for one in listed if one.id not in gone), key=lambda partition: partition.range.low
        )
        self.ids = frozenset(partition.id for partition in self.partitions)
        self._lows = [partition.range.low for partition in self.partitions]
        self._placed: dict[str, PhysicalPartition] = {}

    def of_header(self, definition: KeyDefinition, header: str) -> PhysicalPartition:
        """Return the partition that has a key, given as its header; what was asked once is remembered."""
        if len(self.partitions) == 1:
            return self.partitions[0]
        placed = self._placed.get(header)
        if placed is None:
            if len(self._placed) >= _MOST_PLACED:
                self._placed.clear()
            placed = self._placed[header] = self.of_key(definition.range_of_header(header).low)
        return placed

    def of_key(self, key: str) -> PhysicalPartition:
        """Return the partition that has an effective key."""
        return self.partitions[max(bisect_right(self._lows, key) - 1, 0)]

    def within(self, wanted: KeyRange) -> list[PhysicalPartition]:
        """Return the partitions that have keys of a range; of a single key, the one."""
        if wanted.low == wanted.high:
            return [self.of_key(wanted.low)]
        return [partition for partition in self.partitions if partition.range.overlaps(wanted)]
