"""Log of locks that expired before their report came: the usage of their calls is missing, or late."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from shared.logging.logger import get_logger
from shared.tokens.counters import Amount, sum_buckets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.tokens.counters import WindowCounter

LOG_EVERY_SECONDS = 60.0

_logger = get_logger(__name__)


class UnreportedLocks:
    """Count of one tenant's locks that expired without a report, logged once a minute at most.

    An instance that is stopped while a call is in flight leaves such a lock: whoever frees its second finds
    it. A call of more than 60 seconds leaves one, too, and is counted when its report comes.
    """

    def __init__(self) -> None:
        self._expired = Amount()
        self._logged_at = -math.inf

    def record(self, counter: WindowCounter | None, freed: Sequence[int], now: float) -> None:
        """Count the open locks of the seconds that were freed.

        Args:
            counter: The tenant's counter as it was before; None where there was none.
            freed: The seconds that were freed in it.
            now: The monotonic clock, in seconds.
        """
        if counter is not None:
            self._expired.add(sum_buckets(counter, freed))
        if self._expired.open <= 0 or now - self._logged_at < LOG_EVERY_SECONDS:
            return
        _logger.warning(
            "Locks expired without a report: the usage of their calls is not known, unless it comes late",
            extra={"locks": self._expired.open, "tokens": self._expired.locked},
        )
        self._expired, self._logged_at = Amount(), now
