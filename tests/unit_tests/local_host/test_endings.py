"""Whatever ends a function: the host answers 500, abandons, counts a failure, and goes on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from local.host.bindings import HttpResponseBinding, HttpTrigger, Queue, ServiceBusTrigger, TimerTrigger
from local.host.endings import run_through, run_to_outcome
from local.host.executor import Call, Executor, Limits
from local.host.hostjson import HttpOptions, ServiceBusOptions
from local.host.http_front import FrontOptions, HttpFront, RouteTable
from local.host.http_messages import BodyBounds
from local.host.invocation import HttpInput, Outcome
from local.host.listeners.servicebus import ServiceBusListener
from local.host.logs import LogLevels
from tests.unit_tests.local_host.fakes import (
    Browser,
    FakeClock,
    FakeLink,
    FakeMessage,
    FakeServices,
    FakeWorker,
    a_function,
    settle,
)

if TYPE_CHECKING:
    from local.host.admin import Admin
    from local.host.invocation import Invocation


class PanicException(BaseException):
    """A panic of a native library."""


ERRORS = st.sampled_from(
    [
        ValueError("on purpose"),
        SystemExit(3),
        SystemExit(),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        asyncio.CancelledError("told"),
        TimeoutError(),
        StopAsyncIteration(),
        RecursionError(),
        MemoryError(),
        PanicException("called `Option::unwrap()` on a `None` value"),
        BaseExceptionGroup("several", [SystemExit(1), ValueError("one")]),
    ]
)
WAYS = st.sampled_from(["at once", "after a pause", "in a child", "in gathered children", "cancels itself"])


async def end(how: str, error: BaseException) -> Outcome:
    """End as a function may."""
    if how == "cancels itself":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
    if how != "at once":
        await asyncio.sleep(0)
    if how == "in a child":
        await asyncio.create_task(end("at once", error))
    if how == "in gathered children":
        await asyncio.gather(end("after a pause", error), asyncio.sleep(0))
    raise error


async def drive(work: asyncio.Future[Outcome]) -> Outcome:
    """Run a function as the driver of the worker runtime does: in a task of its own."""
    return await run_to_outcome(work)


def an_executor(how: str, error: BaseException) -> Executor:
    async def body(_invocation: Invocation) -> Outcome:
        return await drive(asyncio.ensure_future(run_to_outcome(end(how, error))))

    return Executor(
        FakeWorker(body), FakeServices(), Limits(timedelta(seconds=30)), LogLevels({"default": "None"})
    )


def run(work: asyncio._CoroutineLike[None]) -> list[BaseException]:
    """Run as the host's process does, and return the exits that were not followed."""
    told: list[BaseException] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)
        run_through(lambda: loop.run_until_complete(task), task.done, told.append)
    return told


@settings(deadline=None)
@given(WAYS, ERRORS)
@pytest.mark.slow
def test_a_request_is_answered_500_however_its_function_ends(how: str, error: BaseException) -> None:
    async def ask() -> None:
        executor = an_executor(how, error)
        function = a_function(HttpTrigger("req", "a"), outputs=[HttpResponseBinding("$return")])
        admin: Admin = None  # type: ignore[assignment] # no request is the host's own
        options = FrontOptions(HttpOptions(), BodyBounds(10), streams=False)
        front = HttpFront(RouteTable([function], "api"), executor, admin, options)

        for number in (1, 2):
            assert (await Browser().request(front, "GET", "/api/a")).status == 500
            tally = executor.tallies["work"]
            assert (tally.invocations, tally.failures, tally.running) == (number, number, 0)

    run(ask())


@settings(deadline=None)
@given(WAYS, ERRORS)
@pytest.mark.slow
def test_a_message_is_abandoned_however_its_function_ends(how: str, error: BaseException) -> None:
    async def deliver() -> None:
        clock, stopped = FakeClock(), asyncio.Event()
        link = FakeLink(clock, FakeMessage(b"1"), FakeMessage(b"2"))
        trigger = ServiceBusTrigger("m", Queue("orders"), "")
        executor = an_executor(how, error)
        listener = ServiceBusListener(
            a_function(trigger), trigger, ServiceBusOptions(), executor, clock, lambda: link
        )
        listening = asyncio.create_task(listener.listen(stopped))
        await clock.advance(3)

        assert sorted(link.settled) == [("abandon", b"1"), ("abandon", b"2")]
        assert executor.tallies["work"].failures == 2
        stopped.set()
        await clock.advance(10)
        await asyncio.wait_for(listening, 5)

    run(deliver())


@settings(deadline=None)
@given(WAYS, ERRORS)
@pytest.mark.slow
def test_a_timers_run_fails_however_its_function_ends(how: str, error: BaseException) -> None:
    async def tick() -> None:
        executor = an_executor(how, error)
        call = Call(a_function(TimerTrigger("t", "0 * * * * *")), "", "due")

        outcome = await executor.run(call)

        assert not outcome.succeeded
        assert executor.tallies["work"].failures == 1

    run(tick())


async def test_the_cancelling_of_the_host_itself_is_passed_on() -> None:
    async def body(_invocation: Invocation) -> Outcome:
        return await run_to_outcome(asyncio.get_running_loop().create_future())

    executor = Executor(
        FakeWorker(body), FakeServices(), Limits(timedelta(seconds=30)), LogLevels({"default": "None"})
    )
    task = asyncio.create_task(executor.run(Call(a_function(TimerTrigger("t", "0 * * * * *")), "", "due")))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert executor.tallies["work"].failures == 1


async def test_a_stream_that_ends_in_a_panic_is_a_failure_and_no_error_of_the_hosts() -> None:
    async def app(*_: object) -> None:
        raise PanicException("midway")

    async def body(_invocation: Invocation) -> Outcome:
        return Outcome()

    executor = Executor(
        FakeWorker(body, app=app),
        FakeServices(),
        Limits(timedelta(seconds=30)),
        LogLevels({"default": "None"}),
    )
    function = a_function(HttpTrigger("req", "a"))

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    outcome = await executor.run_http(
        Call(function, HttpInput("GET", ""), "asked"),
        {"type": "http"},
        nothing,
        nothing,  # type: ignore[arg-type] # never called
    )
    assert outcome.failure is not None
    assert outcome.failure.message == "PanicException: midway"


def test_an_exit_of_what_the_host_runs_itself_is_followed() -> None:
    async def leave() -> None:
        raise SystemExit(4)

    with pytest.raises(SystemExit):
        run(leave())
