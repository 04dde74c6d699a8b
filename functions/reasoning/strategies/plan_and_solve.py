"""Plan and solve: a plan, a result for each of its steps, a check of the whole, the answer, its summary.

After Wang et al., Plan-and-Solve Prompting, https://arxiv.org/abs/2305.04091.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.reasoning.strategies.answers import MOST_STEPS, Plan, Verification
from functions.reasoning.strategies.strategy import (
    AS_TEXT,
    SUMMARISE,
    StepCall,
    list_lines,
    read_numbered,
    summary_call,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.jobs.models import JobStep

PLAN, SOLVE, VERIFY, ANSWER = "plan", "solve", "verify", "answer"

_PLAN = (
    f"Plan how to answer what the user sends, in at most {MOST_STEPS} steps, as few as it takes. Each is one "
    f"short sentence. Do not answer yet. {AS_TEXT}"
)
_SOLVE = (
    "Work on one step of a plan for what the user sends. The last message has the plan, the results so far "
    f"and the step. Give this step's result alone. {AS_TEXT}"
)
_VERIFY = (
    "Check the results of a plan for what the user sends: against the user's text, against each other, and "
    f"for what is missing. The last message has them. {AS_TEXT}"
)
_ANSWER = (
    "Answer what the user sends. The last message has the results of a plan, and what a check of them found: "
    f"mend that. Name what remains uncertain. {AS_TEXT}"
)


class PlanAndSolve:
    """`Strategy` of a plan that is carried out and checked."""

    gate = PLAN

    def next_call(self, done: Mapping[str, JobStep]) -> StepCall | None:
        """Return the next step's call; None when there is none left."""
        if PLAN not in done:
            return StepCall(PLAN, _PLAN, answer=Plan)
        plan = Plan.parse(done[PLAN].text).steps
        results = read_numbered(done, SOLVE)
        work = _tell_work(plan, results)
        if len(results) < len(plan):
            number = len(results) + 1
            told = f"{work}\n\nStep {number}: {plan[number - 1]}"
            return StepCall(f"{SOLVE}_{number}", _SOLVE, notes=told)
        if VERIFY not in done:
            return StepCall(VERIFY, _VERIFY, notes=work, answer=Verification)
        if ANSWER not in done:
            problems = Verification.parse(done[VERIFY].text).problems
            found = f"The check found:\n{list_lines(problems)}" if problems else "The check found nothing."
            return StepCall(ANSWER, _ANSWER, notes=f"{work}\n\n{found}")
        return None if SUMMARISE in done else summary_call(done[ANSWER].text)

    def find_analysis(self, done: Mapping[str, JobStep]) -> str | None:
        """Return the answer; None before there is one."""
        return done[ANSWER].text if ANSWER in done else None

    find_model_text = find_analysis


def _tell_work(plan: Sequence[str], results: Sequence[str]) -> str:
    told = [f"Plan:\n{list_lines(plan)}"]
    told += [f"Result of step {number}:\n{text}" for number, text in enumerate(results, 1)]
    return "\n\n".join(told)
