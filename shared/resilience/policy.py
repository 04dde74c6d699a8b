"""Limits of one call to a dependency, and the failures that another attempt may cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Transient:
    """Another attempt may succeed.

    Attributes:
        retry_after: Not before so many seconds, where the dependency said so.
        throttled: The dependency is well, and refuses this caller's rate (429).
    """

    retry_after: float | None = None
    throttled: bool = False


type Classify = Callable[[BaseException], Transient | None]
"""Decides per dependency whether a failure is worth another attempt."""


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """Limits of one call that are tighter than its policy's.

    Attributes:
        attempts: All attempts, the first included.
        ends_with: Tells after which transient failures there is no other attempt; None for after none.
        longest_retry_after: The longest Retry-After that is waited for, in seconds; a longer one is the
            caller's to wait for. None for as long as the policy's time lasts.
    """

    attempts: int
    ends_with: Callable[[BaseException], bool] | None = None
    longest_retry_after: float | None = None

    def allow_another(self, error: BaseException, transient: Transient) -> bool:
        """Tell whether there may be another attempt after a failure that one may cure."""
        if self.ends_with is not None and self.ends_with(error):
            return False
        return self.longest_retry_after is None or (transient.retry_after or 0.0) <= self.longest_retry_after


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of one call's attempts and time.

    Attributes:
        attempts: All attempts, the first included.
        attempt_seconds: The time limit of one attempt.
        total_seconds: The time limit of the call with its waits; the caller's deadline can only shorten it.
        backoff_seconds: The ceiling of the first wait; it doubles, and each wait is drawn from 0 up to it.
    """

    attempts: int = 3
    attempt_seconds: float = 5.0
    total_seconds: float = 12.0
    backoff_seconds: float = 0.1
