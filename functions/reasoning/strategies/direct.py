"""Direct: one analysis, and its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.reasoning.strategies.strategy import AS_TEXT, SUMMARISE, StepCall, summary_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.jobs.models import JobStep

REASON = "reason"

_REASON = (
    "Reason carefully about what the user sends. Name what is asked or reported, what follows from it, and "
    f"what remains uncertain. {AS_TEXT}"
)


class Direct:
    """`Strategy` of one analysis."""

    gate = REASON

    def next_call(self, done: Mapping[str, JobStep]) -> StepCall | None:
        """Return the next step's call; None when there is none left."""
        if REASON not in done:
            return StepCall(REASON, _REASON)
        return None if SUMMARISE in done else summary_call(done[REASON].text)

    def find_analysis(self, done: Mapping[str, JobStep]) -> str | None:
        """Return the analysis; None before there is one."""
        return done[REASON].text if REASON in done else None

    find_model_text = find_analysis
