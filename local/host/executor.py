"""Run functions: inputs in, retries and the time limit around, outputs out, and count what happened."""

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.host.bindings import RETURN, BlobBinding, HttpTrigger, ServiceBusOutput, TimerTrigger
from local.host.endings import failure_of, is_stopped, run_to_outcome
from local.host.expressions import render
from local.host.invocation import Failure, Invocation, Outcome, RetryAttempt
from local.host.logs import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from local.host.bindings import Function
    from local.host.bound_services import BoundServices
    from local.host.invocation import Receive, RetryPolicy, Scope, Send, Value, Worker
    from local.host.logs import LogLevels

_KEPT_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Call:
    """A trigger's call of its function; `data` is what binding expressions may name."""

    function: Function
    value: Value
    reason: str
    metadata: Mapping[str, Value] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    trace_parent: str = ""
    trace_state: str = ""


@dataclass(slots=True)
class Tally:
    """Counts of a function's invocations since the host started."""

    invocations: int = 0
    failures: int = 0
    running: int = 0
    milliseconds: float = 0.0
    last_ended: datetime | None = None
    recent_failures: deque[tuple[datetime, str]] = field(default_factory=lambda: deque(maxlen=_KEPT_FAILURES))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a call, and the clock that retries wait by."""

    timeout: timedelta
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[float, float], float] = random.uniform


class Executor:
    """Runs the calls that triggers make."""

    def __init__(self, worker: Worker, services: BoundServices, limits: Limits, levels: LogLevels) -> None:
        self._worker = worker
        self._services = services
        self._limits = limits
        self._levels = levels
        self._level_by_function: dict[str, int] = {}
        self.tallies: dict[str, Tally] = {}

    async def run(self, call: Call) -> Outcome:
        """Run a function to its end, and again as its retry policy says."""
        policy = call.function.retry
        if policy is None or not isinstance(call.function.trigger, TimerTrigger):
            return await self._attempt(call, RetryAttempt())
        attempt = RetryAttempt(0, policy.limit)
        while True:
            outcome = await self._attempt(call, attempt)
            if outcome.succeeded or (0 <= policy.limit <= attempt.count):
                return outcome
            delay = retry_delay(policy, attempt.count, self._limits.jitter)
            log.info("Waiting for `%s` before retrying '%s'", timedelta(seconds=delay), call.function.name)
            await self._limits.sleep(delay)
            attempt = RetryAttempt(attempt.count + 1, policy.limit, outcome.failure)

    async def run_http(self, call: Call, scope: Scope, receive: Receive, send: Send) -> Outcome:
        """Run an HTTP function on the request itself."""

        async def serve(invocation: Invocation) -> Outcome:
            return await self._worker.serve_http(invocation, scope, receive, send)

        return await self._attempt(call, RetryAttempt(), serve)

    async def _attempt(
        self,
        call: Call,
        attempt: RetryAttempt,
        serve: Callable[[Invocation], Awaitable[Outcome]] | None = None,
    ) -> Outcome:
        function = call.function
        invocation_id = str(uuid.uuid4())
        tally = self.tallies.setdefault(function.name, Tally())
        tally.invocations += 1
        tally.running += 1
        self._log(
            function,
            20,
            "Executing 'Functions.%s' (Reason='%s', Id=%s)",
            function.name,
            call.reason,
            invocation_id,
        )
        started = time.perf_counter()
        outcome = Outcome(failure=Failure("the invocation was cancelled"))
        try:
            if serve is None:
                outcome = await run_to_outcome(
                    self._in_time(call, attempt, invocation_id, self._worker.invoke)
                )
            else:
                outcome = await self._in_time(call, attempt, invocation_id, serve)
        except BaseException as error:
            if not is_stopped(error):
                outcome = Outcome(failure=failure_of(error))
            # Of an answer that was begun, the error is what cuts it off; of another one, it is the outcome.
            if isinstance(error, Exception) or is_stopped(error):
                raise
        finally:
            tally.running -= 1
            milliseconds = (time.perf_counter() - started) * 1000
            tally.milliseconds += milliseconds
            tally.last_ended = datetime.now(UTC)
            self._finished(function, invocation_id, outcome, int(milliseconds), tally)
        return outcome

    async def _in_time(
        self,
        call: Call,
        attempt: RetryAttempt,
        invocation_id: str,
        serve: Callable[[Invocation], Awaitable[Outcome]],
    ) -> Outcome:
        seconds = min(self._limits.timeout.total_seconds(), 1e9)
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await self._call(call, attempt, invocation_id, serve)
        except TimeoutError:
            if not deadline.expired():  # another one, raised while a response was streamed
                raise
            text = (
                f"Timeout value of {self._limits.timeout} exceeded by function "
                f"'Functions.{call.function.name}' (Id: '{invocation_id}'). Initiating cancellation."
            )
            log.error(text)
            return Outcome(failure=Failure(f"FunctionTimeoutException: {text}"))

    async def _call(
        self,
        call: Call,
        attempt: RetryAttempt,
        invocation_id: str,
        serve: Callable[[Invocation], Awaitable[Outcome]],
    ) -> Outcome:
        function = call.function
        inputs: dict[str, Value] = {function.trigger.name: call.value}
        if function.inputs:
            try:
                for binding in function.inputs:
                    inputs[binding.name] = await self._services.read_blob(
                        binding, render(binding.path, call.data)
                    )
            except Exception as error:  # noqa: BLE001 -- whatever a binding raises fails the invocation, as on Azure
                return _binding_failure("input", error)
        outcome = await serve(
            Invocation(
                id=invocation_id,
                function_id=function.id,
                inputs=inputs,
                metadata=call.metadata,
                trace_parent=call.trace_parent or _new_trace_parent(),
                trace_state=call.trace_state,
                retry=attempt,
            )
        )
        if outcome.succeeded and function.outputs:
            try:
                await self._apply_outputs(call, outcome)
            except Exception as error:  # noqa: BLE001 -- same
                return _binding_failure("output", error)
        return outcome

    async def _apply_outputs(self, call: Call, outcome: Outcome) -> None:
        for binding in call.function.outputs:
            value = outcome.return_value if binding.name == RETURN else outcome.outputs.get(binding.name)
            if value is None:
                continue
            match binding:
                case BlobBinding():
                    await self._services.write_blob(binding, render(binding.path, call.data), value)
                case ServiceBusOutput():
                    await self._services.send(binding, value)
                case _:
                    pass  # the HTTP front sends the response

    def _finished(
        self, function: Function, invocation_id: str, outcome: Outcome, milliseconds: int, tally: Tally
    ) -> None:
        if outcome.failure is None:
            self._log(
                function, 20, "Executed 'Functions.%s' (Succeeded, Id=%s, Duration=%dms)",
                function.name, invocation_id, milliseconds,
            )  # fmt: skip
            return
        tally.failures += 1
        tally.recent_failures.append((datetime.now(UTC), outcome.failure.message))
        self._log(
            function, 40, "Executed 'Functions.%s' (Failed, Id=%s, Duration=%dms)",
            function.name, invocation_id, milliseconds,
        )  # fmt: skip
        self._log(
            function, 40, "System.Private.CoreLib: Exception while executing function: Functions.%s. "
            "Result: Failure\nException: %s\nStack: %s",
            function.name, outcome.failure.message, outcome.failure.stack_trace,
        )  # fmt: skip

    def _log(self, function: Function, level: int, message: str, *arguments: object) -> None:
        lowest = self._level_by_function.get(function.name)
        if lowest is None:
            lowest = self._levels.level(f"Function.{function.name}")
            self._level_by_function[function.name] = lowest
        if level >= lowest:
            log.log(level, message, *arguments)


def unsupported_retry(function: Function) -> bool:
    """Whether a function declares a retry policy that its trigger does not have on Azure either."""
    return function.retry is not None and not isinstance(function.trigger, TimerTrigger)


def retry_delay(policy: RetryPolicy, failed_attempts: int, jitter: Callable[[float, float], float]) -> float:
    """Return the seconds to wait after attempt number `failed_attempts`."""
    if not policy.exponential:
        return policy.minimum.total_seconds()
    low, high = policy.minimum.total_seconds(), policy.maximum.total_seconds()
    # Doubled from a second, spread by a fifth so that failures part, on top of the minimum.
    grown = (2.0 ** min(failed_attempts, 60) - 1.0) * jitter(0.8, 1.2)
    return min(low + grown, high)


def is_http(function: Function) -> bool:
    """Whether a request runs the function."""
    return isinstance(function.trigger, HttpTrigger)


def _binding_failure(direction: str, error: Exception) -> Outcome:
    return Outcome(failure=Failure(f"Exception binding {direction}: {type(error).__name__}: {error}"))


def _new_trace_parent() -> str:
    random_bytes = os.urandom(24).hex()
    return f"00-{random_bytes[:32]}-{random_bytes[32:]}-00"
