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
    """

    attempts: int
    ends_with: Callable[[BaseException], bool] | None = None

    def allow_another(self, error: BaseException) -> bool:
        """Tell whether there may be another attempt after a failure."""
        return self.ends_with is None or not self.ends_with(error)


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
