"""The strategies by their names."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from functions.reasoning.strategies.direct import Direct
from functions.reasoning.strategies.plan_and_solve import PlanAndSolve
from functions.reasoning.strategies.research import Research
from functions.reasoning.strategies.self_consistency import SelfConsistency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.reasoning.strategies.strategy import Strategy


class StrategyName(StrEnum):
    """A way to reason.

    `direct` analyses once; `plan_and_solve` plans, works on each step of the plan, checks and answers;
    `self_consistency` takes the answer that most of several samples agree on; `research` answers from a
    finding for each of the questions that it breaks the task into.
    """

    DIRECT = "direct"
    PLAN_AND_SOLVE = "plan_and_solve"
    SELF_CONSISTENCY = "self_consistency"
    RESEARCH = "research"


STRATEGIES: Mapping[StrategyName, Strategy] = {
    StrategyName.DIRECT: Direct(),
    StrategyName.PLAN_AND_SOLVE: PlanAndSolve(),
    StrategyName.SELF_CONSISTENCY: SelfConsistency(),
    StrategyName.RESEARCH: Research(),
}


def find_strategy(name: str | None) -> Strategy:
    """Return the strategy of a name; without one, the direct one.

    Raises:
        ValueError: There is none of this name.
    """
    return STRATEGIES[StrategyName(name or StrategyName.DIRECT)]
