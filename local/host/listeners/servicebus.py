"""The Service Bus trigger: concurrent calls, batches, sessions, renewed locks, settlement."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from local.host.clock import unless_stopped
from local.host.endings import is_stopped
from local.host.executor import Call
from local.host.listeners.servicebus_messages import batch, expression_data, single
from local.host.logs import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
    from datetime import datetime, timedelta

    from local.host.bindings import Function, ServiceBusTrigger
    from local.host.clock import Clock
    from local.host.hostjson import ServiceBusOptions
    from local.host.invocation import Outcome
    from local.host.listeners.listener import Runner
    from local.host.listeners.servicebus_messages import ReceivedMessage

# A receive that waits for nothing is asked again after this long, which bounds how long a stop takes.
_POLL_SECONDS = 1.0

# A lock is renewed this long before it ends, or at half of what is left if that is less, as in .NET.
_RENEWAL_MARGIN_SECONDS = 10.0


class NoSessionError(Exception):
    """No session became free while waiting for one."""


class Receiver(Protocol):
    """A link that receives and settles messages of one entity or of one session."""

    def receive(self, most: int, seconds: float) -> Coroutine[Any, Any, Sequence[ReceivedMessage]]:
        """Wait for messages and return them, or none after `seconds`."""
        ...

    async def complete(self, message: ReceivedMessage) -> None:
        """Remove a message."""
        ...

    async def abandon(self, message: ReceivedMessage) -> None:
        """Give a message back."""
        ...

    async def renew(self, message: ReceivedMessage) -> datetime:
        """Renew the lock of a message, or that of the session, and return until when."""
        ...

    def locked_until(self, message: ReceivedMessage) -> datetime | None:
        """Return when the lock that covers a message ends."""
        ...

    async def __aenter__(self) -> Self:
        """Open the link.

        Raises:
            NoSessionError: A session was asked for and none is free.
        """
        ...

    async def __aexit__(self, *error: object) -> None:
        """Close the link."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceBusListener:
    """Runs a function on each message, or on each batch of them."""

    function: Function
    trigger: ServiceBusTrigger
    options: ServiceBusOptions
    runner: Runner
    clock: Clock
    receivers: Callable[[], Receiver]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name

    async def listen(self, stopped: asyncio.Event) -> None:
        """Receive until `stopped` is set, then finish what was received."""
        if not self.trigger.sessions:
            async with AsyncExitStack() as stack:
                receiver = await _open(self.receivers, stack, stopped)
                if receiver is not None:
                    await self._pump(receiver, stopped, self.options.max_concurrent_calls, idle_limit=None)
            return
        async with asyncio.TaskGroup() as group:
            for _ in range(self.options.max_concurrent_sessions):
                group.create_task(self._sessions(stopped))

    async def _sessions(self, stopped: asyncio.Event) -> None:
        """Take one session after the other, each until it has been idle for long enough."""
        while not stopped.is_set():
            async with AsyncExitStack() as stack:
                receiver = await _open(self.receivers, stack, stopped)
                if receiver is None:
                    continue
                await self._pump(
                    receiver,
                    stopped,
                    self.options.max_concurrent_calls_per_session,
                    idle_limit=self.options.session_idle_timeout,
                )

    async def _pump(
        self, receiver: Receiver, stopped: asyncio.Event, concurrency: int, *, idle_limit: timedelta | None
    ) -> None:
        """Hand what a receiver gives to the function, `concurrency` calls at a time."""
        most = self.options.max_message_batch_size if self.trigger.batch else concurrency
        parallel = 1 if self.trigger.batch else concurrency
        running: set[asyncio.Task[None]] = set()
        last_active = self.clock.now()
        try:
            while not stopped.is_set():
                if len(running) >= parallel:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    continue  # to see whether to stop before more is received
                wanted = most if self.trigger.batch else most - len(running)
                messages = await self._receive(receiver, wanted, stopped)
                if messages or running:
                    last_active = self.clock.now()
                elif idle_limit is not None and self.clock.now() - last_active >= idle_limit:
                    return
                for group in [messages] if self.trigger.batch and messages else [[each] for each in messages]:
                    task = asyncio.create_task(self._process(receiver, group))
                    running.add(task)
                    task.add_done_callback(running.discard)
        except asyncio.CancelledError:
            for task in running:  # the host's time to stop is over
                task.cancel()
            raise
        finally:
            if running:
                await asyncio.wait(running)

    async def _receive(
        self, receiver: Receiver, most: int, stopped: asyncio.Event
    ) -> Sequence[ReceivedMessage]:
        # A receive that was begun may hold messages already; only one that hangs is cancelled at a stop.
        received = await unless_stopped(
            stopped, receiver.receive(most, _POLL_SECONDS), grace_seconds=2 * _POLL_SECONDS
        )
        messages = list(received or ())
        least = self.options.min_message_batch_size if self.trigger.batch else 1
        deadline = self.clock.now() + self.options.max_batch_wait_time
        while messages and len(messages) < least and self.clock.now() < deadline and not stopped.is_set():
            messages += await receiver.receive(most - len(messages), _POLL_SECONDS)
        return messages

    async def _process(self, receiver: Receiver, messages: Sequence[ReceivedMessage]) -> None:
        """Call the function and settle: complete on success, abandon on whatever else."""
        succeeded = False
        try:
            async with AsyncExitStack() as stack:
                for message in messages:
                    await stack.enter_async_context(self._renewed(receiver, message))
                succeeded = (await self._call(messages)).succeeded
        except BaseException as error:
            if is_stopped(error):
                raise
            log.error(
                "Message processing error for function 'Functions.%s' (EntityPath=%s): %s: %s",
                self.name, self.trigger.source, type(error).__name__, error,
            )  # fmt: skip
        if not succeeded:
            await self._settle(receiver.abandon, messages)
        elif self._auto_completes:
            await self._settle(receiver.complete, messages)

    async def _call(self, messages: Sequence[ReceivedMessage]) -> Outcome:
        if self.trigger.batch:
            value, metadata = batch(messages, binary=self.trigger.binary)
        else:
            value, metadata = single(messages[0], binary=self.trigger.binary)
        needs_data = self.function.inputs or self.function.outputs
        return await self.runner.run(
            Call(
                function=self.function,
                value=value,
                metadata=metadata,
                data=expression_data(value, metadata) if needs_data else {},
                reason=f"(null): new ServiceBus message detected on '{self.trigger.source}'.",
                trace_parent=_trace_parent(messages[0]),
            )
        )

    @property
    def _auto_completes(self) -> bool:
        own = self.trigger.auto_complete
        return self.options.auto_complete_messages if own is None else own

    async def _settle(
        self, settle: Callable[[ReceivedMessage], Awaitable[None]], messages: Sequence[ReceivedMessage]
    ) -> None:
        for message in messages:
            try:
                await settle(message)
            except Exception as error:  # noqa: BLE001 -- a lost lock means that the broker delivers it again
                log.error(
                    "Message processing error for function 'Functions.%s' (Action=%s, EntityPath=%s): %s: %s",
                    self.name, settle.__name__, self.trigger.source, type(error).__name__, error,
                )  # fmt: skip

    @asynccontextmanager
    async def _renewed(self, receiver: Receiver, message: ReceivedMessage) -> AsyncIterator[None]:
        """Keep a message locked while the function works on it, for as long as host.json allows."""
        task = asyncio.create_task(self._renew(receiver, message))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _renew(self, receiver: Receiver, message: ReceivedMessage) -> None:
        allowed = self.options.max_auto_lock_renewal_duration
        locked_until = receiver.locked_until(message)
        began = self.clock.now()
        while locked_until is not None:
            left = (locked_until - self.clock.now()).total_seconds()
            await self.clock.sleep(max(0.0, left - min(left / 2, _RENEWAL_MARGIN_SECONDS)))
            if self.clock.now() - began >= allowed:
                return
            try:
                locked_until = await receiver.renew(message)
            except Exception as error:  # noqa: BLE001 -- the function goes on; settling it will tell that the lock is lost
                log.warning(
                    "The lock of a message of '%s' could not be renewed: %s: %s",
                    self.trigger.source, type(error).__name__, error,
                )  # fmt: skip
                return


async def _open(
    receivers: Callable[[], Receiver], stack: AsyncExitStack, stopped: asyncio.Event
) -> Receiver | None:
    """Open a receiver; None when there is no free session for one, or the host stops meanwhile."""
    try:
        return await unless_stopped(stopped, stack.enter_async_context(receivers()))
    except NoSessionError:
        return None


def _trace_parent(message: ReceivedMessage) -> str:
    properties: Any = message.application_properties or {}
    value = properties.get(b"Diagnostic-Id") or properties.get("Diagnostic-Id") or ""
    return value.decode() if isinstance(value, bytes) else str(value)
