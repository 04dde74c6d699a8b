"""Calls: inputs, outputs, retries, the time limit and what is counted."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from local.host.bindings import BlobBinding, HttpResponseBinding, HttpTrigger, ServiceBusOutput, TimerTrigger
from local.host.executor import Call, Executor, Limits, retry_delay, unsupported_retry
from local.host.invocation import Json, Outcome, RetryPolicy
from local.host.logs import LogLevels
from tests.unit_tests.local_host.fakes import FAILED, FakeServices, FakeWorker, a_function

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.host.bindings import Function
    from local.host.invocation import Invocation, Message, Receive, Scope, Send

_HTTP = HttpTrigger("req", "work")
_TIMER = TimerTrigger("t", "0 * * * * *")


class _Setup:
    """An executor, its worker and its services."""

    def __init__(
        self, body: Callable[[Invocation], Awaitable[Outcome]], timeout: timedelta = timedelta(minutes=5)
    ) -> None:
        self.slept: list[float] = []
        self.worker = FakeWorker(body)
        self.services = FakeServices()
        limits = Limits(timeout, self._sleep, lambda low, high: (low + high) / 2)
        self.executor = Executor(self.worker, self.services, limits, LogLevels({"Function.quiet": "None"}))

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def run(self, function: Function, **data: str) -> Outcome:
        return await self.executor.run(Call(function, "value", "by a test", data=data))


def _returning(outcome: Outcome) -> Callable[[Invocation], Awaitable[Outcome]]:
    async def body(_invocation: Invocation) -> Outcome:
        return outcome

    return body


async def test_inputs_are_read_and_outputs_written() -> None:
    outcome = Outcome(return_value="returned", outputs={"copy": b"c", "message": Json('{"a": 1}')})
    setup = _Setup(_returning(outcome))
    setup.services.blobs["in/7"] = b"content"
    function = a_function(
        _HTTP,
        inputs=[BlobBinding("input", "in/{id}", "")],
        outputs=[
            HttpResponseBinding("resp"),
            BlobBinding("copy", "out/{id}", ""),
            BlobBinding("unset", "out/never", ""),
            BlobBinding("$return", "out/returned", ""),
            ServiceBusOutput("message", "queue", ""),
        ],
    )
    assert (await setup.run(function, id="7")).succeeded
    assert setup.worker.invocations[0].inputs == {"req": "value", "input": b"content"}
    assert setup.services.blobs == {"in/7": b"content", "out/7": b"c", "out/returned": b"returned"}
    assert setup.services.sent == [("queue", Json('{"a": 1}'))]


@pytest.mark.parametrize("direction", ["input", "output"])
async def test_a_binding_that_fails_fails_the_invocation(direction: str) -> None:
    setup = _Setup(_returning(Outcome(return_value="x")))
    setup.services.error = ConnectionError("no storage")
    binding = BlobBinding("$return" if direction == "output" else "in", "c/b", "")
    function = a_function(_HTTP, **{f"{direction}s": [binding]})  # type: ignore[arg-type] # one of two names
    outcome = await setup.run(function)
    assert outcome.failure is not None
    assert outcome.failure.message == f"Exception binding {direction}: ConnectionError: no storage"
    assert setup.executor.tallies["work"].failures == 1


async def test_a_missing_name_of_an_expression_fails_the_invocation() -> None:
    setup = _Setup(_returning(Outcome()))
    outcome = await setup.run(a_function(_HTTP, inputs=[BlobBinding("i", "c/{absent}", "")]))
    assert outcome.failure is not None
    assert "no value for the named parameter 'absent'" in outcome.failure.message
    assert setup.worker.invocations == []


async def test_a_timer_is_retried_until_it_succeeds() -> None:
    answers = [FAILED, FAILED, Outcome()]

    async def body(invocation: Invocation) -> Outcome:
        return answers[invocation.retry.count]

    setup = _Setup(body)
    policy = RetryPolicy(
        exponential=False, limit=5, minimum=timedelta(seconds=3), maximum=timedelta(seconds=3)
    )
    assert (await setup.run(a_function(_TIMER, retry=policy))).succeeded
    assert setup.slept == [3, 3]
    second = setup.worker.invocations[1].retry
    assert (second.count, second.limit, second.failure) == (1, 5, FAILED.failure)
    assert setup.executor.tallies["work"].invocations == 3


async def test_retries_end_at_the_limit_and_are_not_for_other_triggers() -> None:
    setup = _Setup(_returning(FAILED))
    policy = RetryPolicy(exponential=False, limit=2, minimum=timedelta(), maximum=timedelta())
    assert not (await setup.run(a_function(_TIMER, retry=policy))).succeeded
    assert len(setup.worker.invocations) == 3
    other = a_function(_HTTP, retry=policy)
    assert unsupported_retry(other)
    assert not unsupported_retry(a_function(_HTTP))
    await setup.run(other)
    assert len(setup.worker.invocations) == 4


def test_exponential_delays_grow_from_the_minimum_to_the_maximum() -> None:
    policy = RetryPolicy(
        exponential=True, limit=-1, minimum=timedelta(seconds=1), maximum=timedelta(seconds=6)
    )
    assert [retry_delay(policy, count, lambda _low, _high: 1.0) for count in range(4)] == [1, 2, 4, 6]
    assert retry_delay(policy, 10_000, lambda low, _high: low) == 6


async def test_a_function_is_cancelled_at_its_time_limit() -> None:
    cancelled = asyncio.Event()

    async def body(_invocation: Invocation) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Outcome()

    setup = _Setup(body, timeout=timedelta(milliseconds=1))
    outcome = await setup.run(a_function(_HTTP))
    assert outcome.failure is not None
    assert "FunctionTimeoutException" in outcome.failure.message
    assert cancelled.is_set()


async def test_a_timeout_error_of_a_stream_is_its_own() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise TimeoutError("of the model")

    async def receive() -> Message:
        return {}

    async def send(_message: Message) -> None:
        return

    setup = _Setup(_returning(Outcome()))
    setup.worker.app = app
    with pytest.raises(TimeoutError, match="of the model"):
        await setup.executor.run_http(Call(a_function(_HTTP), None, "r"), {}, receive, send)
    assert setup.executor.tallies["work"].failures == 1
    assert setup.executor.tallies["work"].running == 0


async def test_invocations_are_told_unless_their_level_is_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "azure.functions.host")
    setup = _Setup(_returning(FAILED))
    await setup.run(a_function(_HTTP, name="quiet"))
    assert caplog.text == ""
    await setup.run(a_function(_HTTP, name="loud"))
    assert "Executing 'Functions.loud' (Reason='by a test'" in caplog.text
    assert "Executed 'Functions.loud' (Failed" in caplog.text
    assert "Exception: ValueError: on purpose" in caplog.text
    assert setup.executor.tallies["loud"].recent_failures[0][1] == "ValueError: on purpose"


async def test_each_call_has_a_trace_of_its_own_or_the_callers() -> None:
    setup = _Setup(_returning(Outcome()))
    await setup.executor.run(Call(a_function(_HTTP), None, "r", trace_parent="00-1-2-01", trace_state="s"))
    await setup.run(a_function(_HTTP))
    given, made = setup.worker.invocations
    assert (given.trace_parent, given.trace_state) == ("00-1-2-01", "s")
    assert len(made.trace_parent) == 55
