"""Self-consistency: several samples of an answer, of which the one is taken that most agree on; its summary.

After Wang et al., https://arxiv.org/abs/2203.11171. Answers that are the same but for case, space and closing
marks are counted as one. Where no answer has more of them than each other one, the model says which one most
of them agree with: Chen et al., Universal Self-Consistency, https://arxiv.org/abs/2311.17311.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from functions.reasoning.strategies.answers import Choice, Sample
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

SAMPLES = 5
SAMPLE, VOTE = "sample", "vote"

_TEMPERATURE = 0.8
"""Samples that are all alike tell nothing; models that reason choose for themselves."""

_SAMPLE = (
    "Reason step by step about what the user sends, then give the answer in as few words as it takes, so "
    f"that it can be compared with others. {AS_TEXT}"
)
_VOTE = (
    "The last message has answers to what the user sends. Say which one most of the others agree with in "
    f"what they mean; of several, the first. {AS_TEXT}"
)


class SelfConsistency:
    """`Strategy` of samples and a vote."""

    gate = f"{SAMPLE}_{SAMPLES}"

    def next_call(self, done: Mapping[str, JobStep]) -> StepCall | None:
        """Return the next step's call; None when there is none left."""
        texts = read_numbered(done, SAMPLE)
        if len(texts) < SAMPLES:
            return StepCall(f"{SAMPLE}_{len(texts) + 1}", _SAMPLE, answer=Sample, temperature=_TEMPERATURE)
        analysis = self.find_analysis(done)
        if analysis is None:
            answers = [Sample.parse(text).answer for text in texts]
            return StepCall(VOTE, _VOTE, notes=list_lines(answers), answer=Choice)
        return None if SUMMARISE in done else summary_call(analysis)

    def find_analysis(self, done: Mapping[str, JobStep]) -> str | None:
        """Return the chosen sample, the answer last; None before there is a choice."""
        text = self.find_model_text(done)
        if text is None:
            return None
        sample = Sample.parse(text)
        return f"{sample.reasoning}\n\n{sample.answer}"

    def find_model_text(self, done: Mapping[str, JobStep]) -> str | None:
        """Return the chosen sample as the model wrote it; None before there is a choice."""
        texts = read_numbered(done, SAMPLE)
        if len(texts) < SAMPLES:
            return None
        if VOTE in done:
            return texts[min(Choice.parse(done[VOTE].text).number, SAMPLES) - 1]
        elected = elect([Sample.parse(text).answer for text in texts])
        return None if elected is None else texts[elected]


def elect(answers: Sequence[str]) -> int | None:
    """Return the place of the first of the answers that has the most like it; None where several have."""
    plain = [" ".join(answer.casefold().split()).rstrip(".!") for answer in answers]
    (most, votes), *others = Counter(plain).most_common()
    if votes == 1 or (others and others[0][1] == votes):
        return None
    return plain.index(most)
