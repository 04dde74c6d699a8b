"""Research: questions that the task is broken into, a finding for each, the answer from all, its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.reasoning.strategies.answers import MOST_STEPS, Questions
from functions.reasoning.strategies.strategy import (
    AS_TEXT,
    SUMMARISE,
    StepCall,
    list_lines,
    read_numbered,
    summary_call,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.jobs.models import JobStep

BREAK_DOWN, FINDING, ANSWER = "break_down", "finding", "answer"

_BREAK_DOWN = (
    f"Break what the user sends down into at most {MOST_STEPS} questions, as few as it takes, whose answers "
    f"together answer the whole. Each can be answered without the others. Do not answer yet. {AS_TEXT}"
)
_FINDING = (
    "Answer one question about what the user sends: the one in the last message. Tell what the user's text "
    f"says from what you know yourself, and how certain each is. {AS_TEXT}"
)
_ANSWER = (
    "Answer what the user sends, from the findings in the last message. Where these contradict each other, "
    f"say so; name what remains open. {AS_TEXT}"
)


class Research:
    """`Strategy` of questions and findings."""

    gate = BREAK_DOWN

    def next_call(self, done: Mapping[str, JobStep]) -> StepCall | None:
        """Return the next step's call; None when there is none left."""
        if BREAK_DOWN not in done:
            return StepCall(BREAK_DOWN, _BREAK_DOWN, answer=Questions)
        questions = Questions.parse(done[BREAK_DOWN].text).questions
        findings = read_numbered(done, FINDING)
        if len(findings) < len(questions):
            number = len(findings) + 1
            told = f"All questions:\n{list_lines(questions)}\n\nQuestion {number}: {questions[number - 1]}"
            return StepCall(f"{FINDING}_{number}", _FINDING, notes=told)
        if ANSWER not in done:
            told = "\n\n".join(
                f"Question: {question}\nFinding: {finding}"
                for question, finding in zip(questions, findings, strict=True)
            )
            return StepCall(ANSWER, _ANSWER, notes=told)
        return None if SUMMARISE in done else summary_call(done[ANSWER].text)

    def find_analysis(self, done: Mapping[str, JobStep]) -> str | None:
        """Return the answer; None before there is one."""
        return done[ANSWER].text if ANSWER in done else None

    find_model_text = find_analysis
