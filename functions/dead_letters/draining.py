"""Dead letters that no host hands to a function: taken off their queue by the app itself.

The Service Bus trigger binds a message whose body is data, or an AMQP value that is a text. Any other fails
before the function is called, on its queue as often as that delivers it, and on the dead-letter queue, where
nobody counts, for ever: it would cost a delivery after the other, and never be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.messaging.listener import DeliveryEnd, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from shared.messaging.consumer import Queue
    from shared.messaging.listener import DeadLetterLink

_AT_ONCE = 50
_RECEIVE_SECONDS = 2.0
_MOST_ROUNDS = 10
"""The host takes these messages, too, and gives them back at once: one receive gets few of them."""


@dataclass(frozen=True, slots=True)
class DeadLetterDrain:
    """Moves such dead letters of one queue to the quarantine.

    Attributes:
        open_link: Opens a link to the dead letters of the queue.
        queue: The queue.
    """

    open_link: Callable[[], AbstractAsyncContextManager[DeadLetterLink]]
    queue: Queue[Any]

    async def sweep(self) -> int:
        """Look at the first dead letters, and move those that nobody else can; tell how many.

        Raises:
            DependencyUnavailableError: The broker or the quarantine is down; they stay dead letters.
        """
        moved = 0
        async with self.open_link() as link:
            for _ in range(_MOST_ROUNDS):
                if not any(letter.is_unbound for letter in await link.peek(_AT_ONCE)):
                    break
                for letter in await link.receive(_AT_ONCE, _RECEIVE_SECONDS):
                    if letter.is_unbound:
                        await self.queue.keep_unbound(letter)
                        moved += 1
                    outcome = Outcome.COMPLETE if letter.is_unbound else Outcome.ABANDON
                    await link.settle(letter, DeliveryEnd(outcome))
        return moved
