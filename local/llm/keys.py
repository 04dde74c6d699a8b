"""The keys that the endpoint takes: any at all, until somebody says which."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 4


class AcceptedKeys(BaseModel):
    """Keys to accept from now on, and no others but those accepted before; an empty list refuses them all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accepted: tuple[str, ...] = Field(max_length=1000)


class Keys:
    """The accepted keys; None while every key is good."""

    def __init__(self, accepted: Iterable[str] = ()) -> None:
        self._at_first = tuple(accepted)
        self._accepted: list[str] | None = None
        self.clear()

    def add(self, keys: AcceptedKeys) -> None:
        """Accept these too, and refuse what is not accepted."""
        known = self._accepted or []
        self._accepted = [*known, *(key for key in keys.accepted if key not in known)]

    def clear(self) -> None:
        """Accept again what was accepted at the start."""
        self._accepted = list(self._at_first) or None

    def listed(self) -> dict[str, Any]:
        """Tell whether keys are refused, and the last characters of those that are not."""
        accepted = self._accepted or ()
        return {"refuses_others": self._accepted is not None, "accepted": [mask(key) for key in accepted]}

    def accepts(self, key: str) -> bool:
        """Tell whether a key is good."""
        if self._accepted is None:
            return True
        return any(hmac.compare_digest(key.encode(), good.encode()) for good in self._accepted)


def mask(key: str) -> str:
    """Return a key as OpenAI shows it: no more of it than helps to find it."""
    return f"***{key[-_SHOWN:]}" if len(key) > 2 * _SHOWN else "***"
