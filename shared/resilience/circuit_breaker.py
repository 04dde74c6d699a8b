"""A circuit breaker: stops calls to what keeps failing, until a single probe succeeds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.clock import Clock


class BreakerState(StrEnum):
    """State of a breaker: calls are let through, refused, or one probe is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Stops calling what keeps failing, and lets a single probe find out when it is back.

    Args:
        clock: Its monotonic side measures the time open.
        threshold: Failed calls in a row that open it.
        open_seconds: The time until a probe is let through.
    """

    def __init__(self, clock: Clock, *, threshold: int = 5, open_seconds: float = 5.0) -> None:
        self._clock = clock
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Tell whether calls are let through now."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.retry_after() > 0 or self._probing else BreakerState.HALF_OPEN

    def retry_after(self) -> float:
        """Return the seconds until a probe is let through; 0 when calls are."""
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock.monotonic())

    def admit(self) -> BreakerPermit | None:
        """Ask to make one call; the permit has to record how the call ended. None refuses it."""
        match self.state:
            case BreakerState.CLOSED:
                return BreakerPermit(self, is_probe=False)
            case BreakerState.HALF_OPEN:
                self._probing = True
                return BreakerPermit(self, is_probe=True)
            case BreakerState.OPEN:
                return None

    def record_success(self) -> None:
        """Close it: the dependency answered."""
        self._failures, self._open_until, self._probing = 0, None, False

    def record_failure(self, retry_after: float = 0.0) -> None:
        """Count a failed call, and open at the threshold or when it was the probe.

        Args:
            retry_after: How long the dependency asked to be left alone; it stays open for no less.
        """
        self._failures += 1
        if self._probing or self._failures >= self._threshold:
            self._open_until = self._clock.monotonic() + max(self._open_seconds, retry_after)
        self._probing = False

    def record_abandonment(self) -> None:
        """Let another probe through: nobody learned how this one ended."""
        self._probing = False


@dataclass(frozen=True, slots=True)
class BreakerPermit:
    """Permit for one call. While the breaker is not closed only its probe's outcome counts.

    Calls that were under way when it opened end late: they neither close it nor let a second probe through.
    """

    breaker: CircuitBreaker
    is_probe: bool

    def record_success(self) -> None:
        """Record that the dependency answered."""
        if self._counts:
            self.breaker.record_success()

    def record_failure(self, retry_after: float = 0.0) -> None:
        """Record that it did not."""
        if self._counts:
            self.breaker.record_failure(retry_after)

    def record_abandonment(self) -> None:
        """Record that nobody learned whether it did."""
        if self.is_probe:
            self.breaker.record_abandonment()

    @property
    def _counts(self) -> bool:
        return self.is_probe or self.breaker.state is BreakerState.CLOSED
