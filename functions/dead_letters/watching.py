"""Watch over dead letters: number and age of each tenant's, and of those that name no active tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared.logging.logger import get_logger
from shared.telemetry.spans import count_event

if TYPE_CHECKING:
    from functions.dead_letters.repository import DeadLetterRepository
    from shared.clock import Clock

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetterWatch:
    """Watch over the dead letters of one owner.

    Attributes:
        letters: The dead letters.
        clock: Tells their age.
    """

    letters: DeadLetterRepository
    clock: Clock

    async def sweep(self) -> int:
        """Tell of the dead letters there are, in a line that alerts; return how many.

        Raises:
            DependencyUnavailableError: The store is down.
        """
        oldest = await self.letters.oldest()
        if oldest is None:
            return 0
        count = await self.letters.count()
        age = self.clock.now() - datetime.fromisoformat(oldest)
        facts = {"count": count, "oldest_seconds": int(age.total_seconds())}
        _logger.warning("Dead letters wait for a decision", extra=facts)
        count_event("tenantry.dead_letters.waiting", {})
        return count
