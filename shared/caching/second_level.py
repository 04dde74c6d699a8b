"""A second cache level that all instances share: asked before a source is, and never needed.

What it holds is JSON under a key that begins with the tenant, with the time at which it was read from its
source: an age counts across levels, so nothing is older than a region allows. Where it is down, slow or holds
what nobody can read, the source is asked, and that is counted.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pydantic
from pydantic import BaseModel

from shared.errors import DependencyTimeoutError, DependencyUnavailableError

if TYPE_CHECKING:
    from shared.clock import Clock

_DOWN = (DependencyUnavailableError, DependencyTimeoutError)
_MOST_WRITES_REMEMBERED = 4096

LONGEST_SECONDS = 600.0
"""Nothing is held for longer, so that a purged tenant's values are gone before its purge is proved."""

MOST_SKEW_SECONDS = 5.0
"""An entry from further in the future than clocks differ is nobody's, and would outlive its time."""


class SecondLevel(Protocol):
    """A store of values by key, each for a time.

    Every method raises `DependencyUnavailableError` or `DependencyTimeoutError` where it is down.
    """

    async def get(self, key: str) -> bytes | None:
        """Return a value, or None where there is none (any more)."""
        ...

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for so long."""
        ...

    async def remove(self, key: str) -> None:
        """Drop a value."""
        ...


class _Envelope(BaseModel):
    """A value as it is held.

    Attributes:
        key: The key under which it was put: what is found under another one was copied there.
        at: The time at which its source was asked, in seconds since 1970.
        value: The value's own JSON.
    """

    key: str
    at: float
    value: str


class Found[V](NamedTuple):
    """A value of the second level, and how long ago its source was asked."""

    value: V
    age_seconds: float


class SharedEntries[V: BaseModel]:
    """One region's entries in the second level.

    What this process wrote since wins over whatever is there, even where its own write did not arrive.

    Args:
        store: Where they are.
        model: What they are.
        ttl_seconds: The greatest age of one.
        clock: Its wall clock dates them.
    """

    def __init__(self, store: SecondLevel, model: type[V], ttl_seconds: float, clock: Clock) -> None:
        self._store = store
        self._model = model
        self._ttl = min(ttl_seconds, LONGEST_SECONDS)
        self._clock = clock
        self._written: OrderedDict[str, float] = OrderedDict()
        self._all_written = 0.0
        self.failures = 0

    async def read(self, key: str) -> Found[V] | None:
        """Return a value that is young enough; None where there is none, or none that can be had."""
        try:
            held = await self._store.get(key)
        except _DOWN:
            self.failures += 1
            return None
        return None if held is None else self._open(key, held)

    def wrote(self, key: str) -> None:
        """Trust nothing from before now under this key."""
        self._written[key] = self._clock.now().timestamp()
        self._written.move_to_end(key)
        if len(self._written) > _MOST_WRITES_REMEMBERED:
            _, self._all_written = self._written.popitem(last=False)

    async def write(self, key: str, value: V, age_seconds: float) -> None:
        """Keep a value for the rest of its time."""
        rest = self._ttl - age_seconds
        if rest <= 0:
            return
        at = self._clock.now().timestamp() - age_seconds
        envelope = _Envelope(key=key, at=at, value=value.model_dump_json(by_alias=True))
        try:
            await self._store.put(key, envelope.model_dump_json().encode(), rest)
        except _DOWN:
            self.failures += 1

    async def remove(self, key: str) -> None:
        """Drop a value."""
        try:
            await self._store.remove(key)
        except _DOWN:
            self.failures += 1

    def _open(self, key: str, held: bytes) -> Found[V] | None:
        try:
            envelope = _Envelope.model_validate_json(held)
            value = self._model.model_validate_json(envelope.value)
        except pydantic.ValidationError:  # of another release, or not ours
            self.failures += 1
            return None
        age = self._clock.now().timestamp() - envelope.at
        if envelope.key != key or age < -MOST_SKEW_SECONDS:
            self.failures += 1
            return None
        if envelope.at <= max(self._written.get(key, 0.0), self._all_written):
            return None
        return Found(value, max(0.0, age)) if age < self._ttl else None
