"""The stand-in model, as the demo tells it what to say: it answers without a key, and nothing is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

_HOLD_MS = 180_000


class StandIn:
    """The local model's own switches.

    Args:
        client: Speaks to the model's address.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def say(self, contains: str, texts: Sequence[str]) -> None:
        """Answer requests that have a text in them, one after the other, with these."""
        answers = [{"content": text} for text in texts]
        self._post("answers", {"contains": contains, "answers": answers})

    def hold(self, contains: str) -> None:
        """Let requests wait for three minutes that have a text in them."""
        self._post("faults", {"contains": contains, "delay_ms": _HOLD_MS, "count": 1})

    def _post(self, what: str, body: object) -> None:
        self._client.post(f"/_local/{what}", json=body).raise_for_status()
