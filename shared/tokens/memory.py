"""What was seen lately: a bounded number of things by name."""

from __future__ import annotations

from collections import OrderedDict

_MOST_REMEMBERED = 2048


class Memory[V]:
    """What was seen lately, by name; a bounded number of things."""

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        self._most = most
        self._known: OrderedDict[str, V] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def get(self, name: str) -> V | None:
        """Return what is known under a name."""
        return self._known.get(name)

    def put(self, name: str, value: V) -> None:
        """Remember something as the newest."""
        self._known[name] = value
        self._known.move_to_end(name)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
