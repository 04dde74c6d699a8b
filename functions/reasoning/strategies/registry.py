"""The strategies by their names."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from functions.reasoning.strategies.direct import Direct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.reasoning.strategies.strategy import Strategy


class StrategyName(StrEnum):
    """A way to reason: `direct` analyses once."""

    DIRECT = "direct"


STRATEGIES: Mapping[StrategyName, Strategy] = {StrategyName.DIRECT: Direct()}


def find_strategy(name: str | None) -> Strategy:
    """Return the strategy of a name; without one, the direct one.

    Raises:
        ValueError: There is none of this name.
    """
    return STRATEGIES[StrategyName(name or StrategyName.DIRECT)]
