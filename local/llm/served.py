"""The model's own count of what it has served, which bills are checked against."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.llm.script import Asking


@dataclass(slots=True)
class Count:
    """A sum of answers; an answer counts whole once it is begun, whether or not anybody reads it."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    def add(self, served: Count) -> None:
        """Add another sum."""
        self.requests += served.requests
        self.prompt_tokens += served.prompt_tokens
        self.cached_tokens += served.cached_tokens
        self.completion_tokens += served.completion_tokens
        self.reasoning_tokens += served.reasoning_tokens

    def listed(self) -> dict[str, int]:
        """Write the sum."""
        return asdict(self) | {"total_tokens": self.prompt_tokens + self.completion_tokens}


@dataclass(slots=True)
class Served:
    """All answers, by model and by user, and the streams whose client left before their end.

    Attributes:
        abandoned: How many these are.
        abandoned_at: When the last of them was seen to have left, in seconds of Unix time; None before any.
    """

    abandoned: int = 0
    abandoned_at: float | None = None
    _all: Count = field(default_factory=Count)
    _refused: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _by_model: defaultdict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    _by_user: defaultdict[str, Count] = field(default_factory=lambda: defaultdict(Count))

    def count(self, request: Asking, served: Count) -> None:
        """Count an answer."""
        for count in (self._all, self._by_model[request.model], self._by_user[request.user or ""]):
            count.add(served)

    def refuse(self, status: int) -> None:
        """Count a request that got no answer."""
        self._refused[str(status)] += 1

    def leave(self, at: float) -> None:
        """Note that a stream's client has left."""
        self.abandoned += 1
        self.abandoned_at = at

    def clear(self) -> None:
        """Begin again at zero."""
        self._all, self.abandoned, self.abandoned_at = Count(), 0, None
        for counts in (self._by_model, self._by_user, self._refused):
            counts.clear()

    def listed(self) -> dict[str, Any]:
        """Write all sums; what came without a user stands under the empty name."""
        return self._all.listed() | {
            "refused": dict(self._refused),
            "abandoned": self.abandoned,
            "abandoned_at": self.abandoned_at,
            "by_model": {model: count.listed() for model, count in self._by_model.items()},
            "by_user": {user: count.listed() for user, count in self._by_user.items()},
        }
