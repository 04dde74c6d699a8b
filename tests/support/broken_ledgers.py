"""Three ledgers that are broken on purpose: a checker that does not find them proves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.cosmos.container import Patch, PatchOperation
from shared.tokens.store_clock import StoreClock

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from shared.clock import Clock
    from shared.cosmos.container import BatchOperation


class EagerStoreClock(StoreClock):
    """Believes that the store is 2 s ahead of what is certain, and so frees early."""

    def earliest(self, now: float) -> float:
        return super().earliest(now) + 2


class WallStoreClock(StoreClock):
    """Believes the worker's wall clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def is_precise(self, now: float) -> bool:  # noqa: ARG002  # it always thinks so
        return True

    def earliest(self, now: float) -> float:  # noqa: ARG002  # another clock is asked
        return self._clock.now().timestamp()

    def latest(self, now: float) -> float:
        return self.earliest(now)


def forgetting(
    operations: Sequence[BatchOperation], chance: random.Random, share: float = 0.02
) -> list[BatchOperation]:
    """Leave the charges out of some of the batches that admit locks."""
    admits = operations[0].kind == "create" and operations[0].item_id.startswith("locks:")
    if not admits or chance.random() >= share:
        return list(operations)
    nothing = Patch((PatchOperation("incr", "/tokens", 0),))
    return [one if one.patch is None else one._replace(patch=nothing) for one in operations]
