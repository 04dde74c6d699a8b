"""Sums over model calls: of a chunk by model, bot and prompt, and added up over chunks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from functions.logs.histogram import bucket_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.logs.lines import LogLine

MODEL_CALL = "model_call"
"""The event of a model call's record (`shared/llm/call_recorder.py`)."""

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")

_MOST_GROUPS = 200
_OTHERS = "others"
_COST = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?")


class CallGroup(NamedTuple):
    """Group of calls that are summed up together."""

    model: str
    bot_id: str | None
    prompt_name: str | None
    prompt_version: int | None


class CallSums(BaseModel):
    """Sums over the calls of one group in one chunk.

    Attributes:
        group: What they have in common.
        statuses: Calls by how they ended.
        tokens: Tokens by kind.
        cost: The exact cost of those whose price is known.
        durations: Histogram of how long their callers waited for the end.
        first_tokens: Histogram of how long those of streams waited for the first part.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    group: CallGroup
    statuses: dict[str, int]
    tokens: dict[str, int]
    cost: Decimal
    durations: dict[int, int]
    first_tokens: dict[int, int]


@dataclass(slots=True)
class CallSum:
    """Sum that calls, and sums of others, are added to."""

    statuses: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    cost: Decimal = Decimal()
    durations: Counter[int] = field(default_factory=Counter)
    first_tokens: Counter[int] = field(default_factory=Counter)

    def add_call(self, facts: Mapping[str, Any]) -> None:
        """Add a call by its record's fields."""
        self.statuses[str(facts.get("status"))] += 1
        for kind in TOKENS:
            if isinstance(used := facts.get(kind), int):
                self.tokens[kind] += used
        cost = facts.get("cost")
        if isinstance(cost, str) and _COST.fullmatch(cost):
            self.cost += Decimal(cost)
        for name, histogram in (
            ("duration_ms", self.durations),
            ("time_to_first_token_ms", self.first_tokens),
        ):
            if isinstance(took := facts.get(name), int | float):
                histogram[bucket_of(took)] += 1

    @property
    def calls(self) -> int:
        """How many calls were added."""
        return self.statuses.total()

    def add(self, other: CallSum | CallSums) -> None:
        """Add all that others add up to, such as those of a group in a chunk."""
        self.statuses.update(other.statuses)
        self.tokens.update(other.tokens)
        self.cost += other.cost
        self.durations.update(other.durations)
        self.first_tokens.update(other.first_tokens)


class CallSumsOfAChunk:
    """The sums of a chunk, by group; calls beyond 200 groups have one of their own."""

    def __init__(self) -> None:
        self._sums: dict[CallGroup, CallSum] = {}

    def add(self, line: LogLine) -> None:
        """Add the call that a line records, where it records one."""
        if line.event != MODEL_CALL:
            return
        version = line.facts.get("prompt_version")
        group = CallGroup(
            line.fact("model") or _OTHERS,
            line.fact("bot_id"),
            line.fact("prompt_name"),
            version if isinstance(version, int) else None,
        )
        if group not in self._sums and len(self._sums) >= _MOST_GROUPS:
            group = CallGroup(_OTHERS, None, None, None)
        self._sums.setdefault(group, CallSum()).add_call(line.facts)

    def finish(self) -> list[CallSums]:
        """Return the sums, in the order in which their groups came."""
        return [
            CallSums(
                group=group,
                statuses=dict(found.statuses),
                tokens=dict(found.tokens),
                cost=found.cost,
                durations=dict(found.durations),
                first_tokens=dict(found.first_tokens),
            )
            for group, found in self._sums.items()
        ]
