"""Faults on demand: what goes wrong with the next sends or the connections, to test callers under failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_DELAY = 600_000


class FaultKind(StrEnum):
    """What goes wrong."""

    REFUSE_SEND = "refuse-send"
    """The send is rejected with `condition`, and nothing is stored."""
    DELAY_SEND = "delay-send"
    """The send is handled `delay_ms` later."""
    DROP_BEFORE_SEND = "drop-before-send"
    """The connection is cut when the send arrives; nothing is stored."""
    DROP_AFTER_SEND = "drop-after-send"
    """The send is stored, and the connection cut before it is acknowledged."""
    DROP_CONNECTIONS = "drop-connections"
    """Every connection is cut at once."""


class InvalidFaultError(ValueError):
    """The description of a fault cannot be used."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, where, how often."""

    kind: FaultKind
    queue: str | None = None
    """Only sends to this queue; None is any."""
    count: int = 1
    delay_ms: int = 0
    condition: str = "com.microsoft:server-busy"
    description: str = (
        "The request was terminated because the entity is being throttled. (A fault on demand.)"
    )

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Fault:
        """Read a fault from JSON.

        Raises:
            InvalidFaultError: A field is unknown or has a wrong value.
        """
        unknown = set(fields) - {"kind", "queue", "count", "delay_ms", "condition", "description"}
        if unknown:
            raise InvalidFaultError(f"unknown field: {', '.join(sorted(unknown))}")
        try:
            kind = FaultKind(str(fields.get("kind")))
        except ValueError as error:
            raise InvalidFaultError(f"kind must be one of {', '.join(FaultKind)}") from error
        count, delay = fields.get("count", 1), fields.get("delay_ms", 0)
        if not isinstance(count, int) or count < 1:
            raise InvalidFaultError("count must be a whole number above 0")
        if not isinstance(delay, int) or not 0 <= delay <= MOST_DELAY:
            raise InvalidFaultError(f"delay_ms must be a whole number from 0 to {MOST_DELAY}")
        texts = {name: fields[name] for name in ("queue", "condition", "description") if name in fields}
        if not all(isinstance(text, str) and text.isprintable() for text in texts.values()):
            raise InvalidFaultError("queue, condition and description must be strings")
        if not str(texts.get("condition", "x")).isascii():
            raise InvalidFaultError("condition must be ASCII")
        return cls(kind, count=count, delay_ms=delay, **{name: str(text) for name, text in texts.items()})


@dataclass(slots=True)
class Faults:
    """The faults that wait to happen, first come first."""

    _waiting: list[tuple[Fault, int]] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Have a fault happen to the next `count` sends."""
        self._waiting.append((fault, fault.count))

    def clear(self) -> None:
        """Have no more faults happen."""
        self._waiting.clear()

    def waiting(self) -> list[tuple[Fault, int]]:
        """List the faults with how often each is still to happen."""
        return self._waiting[:]

    def take(self, queue: str) -> Fault | None:
        """Give the fault that happens to a send to `queue`, and count it."""
        for index, (fault, left) in enumerate(self._waiting):
            if fault.queue is None or fault.queue.lower() == queue.lower():
                if left > 1:
                    self._waiting[index] = (fault, left - 1)
                else:
                    del self._waiting[index]
                return fault
        return None
