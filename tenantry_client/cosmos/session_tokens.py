"""Session tokens: how far each physical partition had come when this client last heard of it."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple, Self

MAX_CONTAINERS: Final = 1000


class Progress(NamedTuple):
    """State of one physical partition: `{version}#{lsn}#{region}={lsn}#...`.

    Attributes:
        version: Of the partition's set of regions.
        lsn: The newest write.
        regions: The newest write of each region, by the region's number.
    """

    version: int
    lsn: int
    regions: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a token's part; None where it is in no form that is known."""
        segments = text.split("#")
        try:
            version, lsn = int(segments[0]), int(segments[1])
            pairs = tuple(
                (int(name), int(at)) for name, _, at in (one.partition("=") for one in segments[2:])
            )
        except (ValueError, IndexError):
            return None
        return cls(version, lsn, pairs)

    def merge(self, other: Progress) -> Progress:
        """Return the later of both; of one version, the later of each number."""
        if self.version != other.version:
            return max(self, other, key=lambda progress: progress.version)
        mine, theirs = dict(self.regions), dict(other.regions)
        regions = {name: max(mine.get(name, -1), theirs.get(name, -1)) for name in (*mine, *theirs)}
        return Progress(self.version, max(self.lsn, other.lsn), tuple(regions.items()))

    def __str__(self) -> str:
        return "#".join((str(self.version), str(self.lsn), *(f"{name}={at}" for name, at in self.regions)))


class SessionTokens:
    """The tokens of one container, by the id of the physical partition."""

    def __init__(self) -> None:
        self._by_range: dict[str, str] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._by_range)

    def __contains__(self, range_id: str) -> bool:
        return range_id in self._by_range

    def learn(self, header: bytes) -> None:
        """Take in the token of an answer; what is older than what is known changes nothing."""
        for part in header.decode("latin-1").split(","):
            range_id, _, token = part.partition(":")
            if not token or self._by_range.get(range_id) == token:
                continue
            with self._lock:  # of two threads, neither may put an older token over a newer one
                known = self._by_range.get(range_id)
                self._by_range[range_id] = token if known is None else _later(known, token)

    def of(self, range_ids: tuple[str, ...]) -> str | None:
        """Return the token for a physical partition; after a split, that of whom it came from.

        Args:
            range_ids: The partition's id, then its parents'.
        """
        for range_id in range_ids:
            token = self._by_range.get(range_id)
            if token is not None:
                return f"{range_ids[0]}:{token}"
        return None

    def all(self) -> str:
        """Return the tokens of all partitions, for a request that any of them may answer."""
        return ",".join(f"{range_id}:{token}" for range_id, token in list(self._by_range.items()))

    def forget(self) -> None:
        """Know nothing any more: the container was made anew, or no region has caught up."""
        self._by_range.clear()


def _later(known: str, token: str) -> str:
    old, new = Progress.parse(known), Progress.parse(token)
    if old is None or new is None:
        return token
    return str(old.merge(new))
