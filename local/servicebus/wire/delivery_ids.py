"""The numbers of deliveries, as a peer gives them and as Proton counts them.

Azure's own protocol library goes on from whatever number a new delivery states (`OnReceiveDelivery` in
https://github.com/Azure/azure-amqp/blob/master/src/AmqpSession.cs), and azure-servicebus relies on it:
requests that are under way at once take one number before any of them has moved the counter on
(`_outgoing_transfer` in its `_session_async.py`), so that numbers repeat and leave gaps. Proton ends the
connection at the first number that does not follow the one before it. So it is shown numbers that do, and
what it says of a delivery is told to the peer under the peer's own number.
"""

from __future__ import annotations

from typing import Final

_NUMBERS: Final = 1 << 32


class DeliveryIds:
    """The deliveries that came in on one session, under both numbers where these differ."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._current: dict[int, int] = {}
        self._stated: dict[int, int] = {}

    @property
    def differ(self) -> bool:
        """Whether there are deliveries that the two sides number differently."""
        return bool(self._stated)

    def begin(self, handle: int, stated: int | None) -> int:
        """Note a delivery's first transfer on a link; give the number that follows the one before it."""
        if self._next is None:
            self._next = stated or 0
        counted = self._next
        self._next = (counted + 1) % _NUMBERS
        self._current[handle] = counted
        if stated is not None and stated != counted:
            self._stated[counted] = stated
        return counted

    def current(self, handle: int) -> int:
        """Give the number of the delivery whose transfers come on a link."""
        return self._current[handle]

    def stated(self, first: int, last: int, *, settled: bool) -> list[tuple[int, int]]:
        """Give the peer's numbers for a range of Proton's, as ranges; what is settled is then forgotten."""
        ranges: list[tuple[int, int]] = []
        for offset in range((last - first) % _NUMBERS + 1):
            counted = (first + offset) % _NUMBERS
            number = self._stated.get(counted, counted)
            if settled:
                self._stated.pop(counted, None)
            if ranges and number == ranges[-1][1] + 1:
                ranges[-1] = (ranges[-1][0], number)
            elif not ranges or ranges[-1] != (number, number):
                ranges.append((number, number))
        return ranges
