"""Physical partitions: the ranges of hashes into which a container is cut."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.cosmos.engine.effective_key import even_bounds
from local.cosmos.engine.partition import EVERYTHING, EpkRange
from local.cosmos.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.cosmos.values import Json, JsonObject

MAX_PARTITIONS: Final = 100
THROUGHPUT_OF_ONE: Final = 10_000
"""RU/s: https://learn.microsoft.com/azure/cosmos-db/partitioning-overview#physical-partitions."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """A container's physical partitions by their ids, each with those that it was split from."""

    ranges: Mapping[str, EpkRange]
    parents: Mapping[str, tuple[str, ...]]

    @property
    def newest(self) -> int:
        """The highest id that was ever given."""
        return max(map(int, self.ranges))

    def of(self, wanted: EpkRange) -> list[EpkRange]:
        """Give the parts of a range that lie in one partition each, in their order."""
        parts = [wanted.intersect(own) for own in self.ranges.values()]
        return sorted(
            (part for part in parts if part.high is None or part.low < part.high), key=lambda one: one.low
        )

    def split(self, cuts: Iterable[bytes]) -> Partitions:
        """Split each partition in which one of the keys lies; the parts get new ids.

        Raises:
            CosmosError: 400 where a key is a bound already, or there would be too many.
        """
        given = sorted(set(cuts))
        bounds = {one.low for one in self.ranges.values()}
        if not given or bounds.intersection(given):
            raise bad_request("A partition is split at keys between its bounds.")
        if len(self.ranges) + len(given) > MAX_PARTITIONS:
            raise bad_request(f"A container has at most {MAX_PARTITIONS} physical partitions here.")
        ranges, parents = dict[str, EpkRange](), dict[str, tuple[str, ...]]()
        numbers = itertools.count(self.newest + 1)
        for name, own in self.ranges.items():
            inside = [cut for cut in given if own.holds(cut)]
            if not inside:
                ranges[name], parents[name] = own, self.parents[name]
            for low, high in itertools.pairwise([own.low, *inside, own.high]) if inside else ():
                child = str(next(numbers))
                ranges[child] = EpkRange(low or b"", high)
                parents[child] = (*self.parents[name], name)
        ordered = sorted(ranges, key=lambda one: ranges[one].low)
        return Partitions({one: ranges[one] for one in ordered}, parents)

    def to_json(self) -> JsonObject:
        """Write them down for the store."""
        return {
            name: {
                "low": own.low.hex(),
                "high": None if own.high is None else own.high.hex(),
                "parents": list(self.parents[name]),
            }
            for name, own in self.ranges.items()
        }

    @classmethod
    def from_json(cls, stored: JsonObject | None) -> Partitions:
        """Read what the store holds; nothing means one partition."""
        if stored is None:
            return WHOLE
        ranges, parents = dict[str, EpkRange](), dict[str, tuple[str, ...]]()
        for name, one in stored.items():
            low, high, above = _fields(one)
            ranges[name] = EpkRange(bytes.fromhex(low), None if high is None else bytes.fromhex(high))
            parents[name] = above
        return cls(ranges, parents)

    @classmethod
    def for_throughput(cls, ru_per_second: int | None, version: int) -> Partitions:
        """Give as many equal partitions as the service provides for a throughput."""
        count = min(-(-(ru_per_second or 1) // THROUGHPUT_OF_ONE), MAX_PARTITIONS)
        bounds = [b"", *even_bounds(version, count), None]
        ranges = {
            str(number): EpkRange(low or b"", high)
            for number, (low, high) in enumerate(itertools.pairwise(bounds))
        }
        return cls(ranges, dict.fromkeys(ranges, ()))


WHOLE: Final = Partitions({"0": EVERYTHING}, {"0": ()})


def _fields(stored: Json) -> tuple[str, str | None, tuple[str, ...]]:
    match stored:
        case {"low": str(low), "high": str() | None as high, "parents": list(parents)}:
            return low, high, tuple(map(str, parents))
        case _:
            raise bad_request(
                "The physical partitions of a container are stored in a form that is not known."
            )
