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
    """All answers, by model and by user, and the number of streams whose client left before their end."""

    abandoned: int = 0
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

    def clear(self) -> None:
        """Begin again at zero."""
        self._all, self.abandoned = Count(), 0
        for counts in (self._by_model, self._by_user, self._refused):
            counts.clear()

    def listed(self) -> dict[str, Any]:
        """Write all sums; what came without a user stands under the empty name."""
        return self._all.listed() | {
            "refused": dict(self._refused),
            "abandoned": self.abandoned,
            "by_model": {model: count.listed() for model, count in self._by_model.items()},
            "by_user": {user: count.listed() for user, count in self._by_user.items()},
        }
