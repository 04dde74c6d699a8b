"""Session tokens: how far each physical partition had come when this client last heard of it."""

from __future__ import annotations

import re
import threading
from typing import Final, NamedTuple, Self

_FORM: Final = re.compile(r"(-?\d{1,20})#(-?\d{1,20})((?:#\d{1,20}=-?\d{1,20})*)", re.ASCII)


class Progress(NamedTuple):
    """State of one physical partition: `{version}#{lsn}#{region}={lsn}#...`.

    Attributes:
        text: The token's part that says so.
        version: Of the partition's set of regions; None where the part is in no form that is known.
        lsn: The newest write.
        regions: The newest write of each region, by the region's number; read when there is another one.
    """

    text: str
    version: int | None = None
    lsn: int = 0
    regions: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token's part."""
        found = _FORM.fullmatch(text)
        return cls(text) if found is None else cls(text, int(found[1]), int(found[2]), found[3])

    def merge(self, told: Self) -> Self:
        """Return the later of both; of one version, the later of each number.

        What has been told last is taken where they cannot be compared.
        """
        if self.version is None or told.version is None:
            return told
        if self.version != told.version:
            return self if self.version > told.version else told
        if self.regions == told.regions:
            return self if self.lsn >= told.lsn else told
        mine, theirs = _read_regions(self.regions), _read_regions(told.regions)
        later = (f"#{name}={max(mine.get(name, -1), theirs.get(name, -1))}" for name in mine | theirs)
        return self.parse(f"{self.version}#{max(self.lsn, told.lsn)}{''.join(later)}")


class SessionTokens:
    """The tokens of one container, by the id of the physical partition."""

    def __init__(self) -> None:
        self._by_range: dict[str, Progress] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._by_range)

    def __contains__(self, range_id: str) -> bool:
        return range_id in self._by_range

    def learn(self, header: bytes) -> None:
        """Take in the token of an answer; what is older than what is known changes nothing."""
        for part in header.decode("latin-1").split(","):
            range_id, _, text = part.partition(":")
            known = self._by_range.get(range_id)
            if not text or (known is not None and known.text == text):
                continue
            told = Progress.parse(text)
            with self._lock:  # of two threads, neither may put an older token over a newer one
                known = self._by_range.get(range_id)
                self._by_range[range_id] = told if known is None else known.merge(told)

    def of(self, range_ids: tuple[str, ...]) -> str | None:
        """Return the token for a physical partition; after a split, that of whom it came from.

        Args:
            range_ids: The partition's id, then its parents'.
        """
        for range_id in range_ids:
            known = self._by_range.get(range_id)
            if known is not None:
                return f"{range_ids[0]}:{known.text}"
        return None

    def all(self) -> str:
        """Return the tokens of all partitions, for a request that any of them may answer."""
        return ",".join(f"{range_id}:{known.text}" for range_id, known in list(self._by_range.items()))

    def forget(self) -> None:
        """Know nothing any more: the container was made anew, or no region has caught up."""
        self._by_range.clear()


def _read_regions(text: str) -> dict[int, int]:
    pairs = (one.partition("=") for one in text.split("#") if one)
    return {int(name): int(at) for name, _, at in pairs}
