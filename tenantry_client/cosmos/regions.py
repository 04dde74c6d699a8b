"""Regions of an account: which may be asked, in which order, and which have just failed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tenantry_client.cosmos.transport import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNAVAILABLE_SECONDS: Final = 300.0
"""After which a region that failed is asked again, as azure-cosmos does."""


@dataclass(frozen=True, slots=True)
class AccountRegion:
    """A region of the account."""

    name: str
    place: Place


@dataclass(slots=True)
class Account:
    """The account as its document describes it.

    Attributes:
        reads: Regions that answer reads, in the account's order.
        writes: Regions that take writes, in the account's order.
        consistency: The account's level.
        preferred: Names of regions, the ones asked first.
        writes_everywhere: Whether writes go to the preferred region, too.
        failed: Until when, by the monotonic clock, a region is asked last.
    """

    reads: list[AccountRegion]
    writes: list[AccountRegion]
    consistency: str
    preferred: tuple[str, ...] = ()
    writes_everywhere: bool = False
    failed: dict[Place, float] = field(default_factory=dict)
    _usual: dict[bool, list[Place]] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, document: Mapping[str, Any], preferred: Sequence[str] = (), *, multiple_writes: bool = False
    ) -> Account:
        """Read an account's document.

        Raises:
            ValueError: It is none.
        """
        try:
            return cls(
                _regions(document["readableLocations"]),
                _regions(document["writableLocations"]),
                str(document["userConsistencyPolicy"]["defaultConsistencyLevel"]),
                tuple(preferred),
                multiple_writes and bool(document.get("enableMultipleWriteLocations")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no document of an account: {error!r} is missing") from error

    def order(self, *, reads: bool, excluded: frozenset[str]) -> list[Place]:
        """Return where a request may go, the first choice first; never nothing."""
        if not self.failed and not excluded:
            usual = self._usual.get(reads)
            if usual is None:
                usual = self._usual[reads] = self._order(reads=reads, excluded=excluded)
            return usual
        return self._order(reads=reads, excluded=excluded)

    def _order(self, *, reads: bool, excluded: frozenset[str]) -> list[Place]:
        regions = self.reads if reads else self.writes
        if reads or self.writes_everywhere:
            by_name = {region.name: region for region in regions}
            wanted = [by_name[name] for name in self.preferred if name in by_name]
            regions = [*wanted, *(region for region in regions if region not in wanted)]
        allowed = [region.place for region in regions if region.name not in excluded]
        places = allowed or [region.place for region in regions]
        if not self.failed:
            return places
        now = time.monotonic()
        for place, until in list(self.failed.items()):  # other threads write to it
            if until <= now:
                self.failed.pop(place, None)
        return sorted(places, key=lambda place: place in self.failed)

    def names(self, *, excluded: frozenset[str]) -> list[str]:
        """Return the regions that a read may go to, the first choice first; never nothing."""
        name_of = {region.place: region.name for region in self.reads}
        return [name_of[place] for place in self.order(reads=True, excluded=excluded)]

    def fail(self, place: Place) -> None:
        """Ask a region last, for a while."""
        self.failed[place] = time.monotonic() + UNAVAILABLE_SECONDS


def alone(place: Place, consistency: str) -> Account:
    """Describe an account of which only one address is asked."""
    region = AccountRegion("", place)
    return Account([region], [region], consistency)


def _regions(listed: Sequence[Mapping[str, Any]]) -> list[AccountRegion]:
    regions = [
        AccountRegion(str(one["name"]), Place.parse(str(one["databaseAccountEndpoint"]))) for one in listed
    ]
    if not regions:
        raise KeyError("a region")
    return regions
