"""Hedged reads: when a region is slow, the next one is asked as well, and the first good answer is taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tenantry_client.cosmos.answers import Answer

_THRESHOLD_MS: Final = 500
_STEP_MS: Final = 100
_FINAL_FAILURES: Final = frozenset({400, 401, 405, 409, 412, 413})
_NOT_FOUND: Final = 404
_FIRST_FAILURE: Final = 400


@dataclass(frozen=True, slots=True)
class HedgingRules:
    """Patience with a region, in azure-cosmos's terms.

    Attributes:
        threshold: Seconds until the second region is asked.
        step: Seconds from there to each further one.
        at_once: The most regions that are asked at a time; None for all.
    """

    threshold: float = _THRESHOLD_MS / 1000
    step: float = _STEP_MS / 1000
    at_once: int | None = None


type Arm = Callable[[], Awaitable[Answer]]
type Race = Callable[[Sequence[Arm], HedgingRules], Awaitable[Answer]]
"""Runs the first arm, the others when it is late, and returns the answer that counts."""


def read_rules(
    given: object,
    usual: HedgingRules | None = None,
) -> HedgingRules | None:
    """Read an `availability_strategy`: None for the client's, True for that or the default, False for none.

    Raises:
        ValueError: A time is not positive.
        TypeError: It is of another type, or names something else.
    """
    if given is None:
        return usual
    if isinstance(given, bool):
        return (HedgingRules() if usual is None else usual) if given else None
    if not isinstance(given, Mapping) or given.keys() - {"threshold_ms", "threshold_steps_ms"}:
        raise TypeError("'availability_strategy' is a bool, or has 'threshold_ms' and 'threshold_steps_ms'")
    threshold = given.get("threshold_ms", _THRESHOLD_MS)
    step = given.get("threshold_steps_ms", _STEP_MS)
    for name, value in (("threshold_ms", threshold), ("threshold_steps_ms", step)):
        if value <= 0:
            raise ValueError(f"{name} must be positive")
    return HedgingRules(threshold / 1000, step / 1000, None if usual is None else usual.at_once)


def is_final(answer: Answer) -> bool:
    """Tell whether another region would say the same."""
    if answer.status == _NOT_FOUND:
        return answer.sub_status == 0
    return answer.status < _FIRST_FAILURE or answer.status in _FINAL_FAILURES
