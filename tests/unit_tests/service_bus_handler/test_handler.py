"""The handler over a queue in memory: what is settled, when, and how it ends.

seeds/README.md's row about it: the prototype completed a message before it was processed, and ignored a
failed send. Here a message is settled after its result was sent, and comes again where that fails.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compat.service_bus import AsyncServiceBusHandler
from shared.errors import ConflictError, DependencyUnavailableError, ValidationError
from shared.messaging.listener import Outcome
from shared.tenancy.context import ambient_tenant
from tests.support.fakes import FakeAuthenticator, FakeClock, StillClock, tenant_context
from tests.unit_tests.service_bus_handler.broker import MemoryBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.messaging.sender import OutgoingMessage
    from shared.tenancy.context import TenantContext

EXAMPLE = Path(__file__).parent / "document_example.py.txt"
IMPORT = "from common.service_bus import AsyncServiceBusHandler\n"
DOWN = DependencyUnavailableError("Service Bus")


async def echo(body: dict[str, Any]) -> dict[str, Any]:
    return {"said": body.get("text"), "tenant": ambient_tenant().tenant_id}


class Run:
    """A handler that listens until the test ends."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.broker = MemoryBroker(clock)
        self.handler: AsyncServiceBusHandler | None = None
        self.listening: asyncio.Task[None] | None = None

    def start(self, process: Any, **options: Any) -> AsyncServiceBusHandler:  # noqa: ANN401  # any options
        self.handler = AsyncServiceBusHandler(
            process, "input-queue", "output-queue", broker=self.broker, clock=self.clock, **options
        )
        self.listening = asyncio.create_task(self.handler.listen())
        return self.handler

    async def stop(self) -> None:
        if self.handler is not None:
            await self.handler.stop()
        if self.listening is not None:
            await self.listening


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    made = Run(FakeClock())
    yield made
    await made.stop()


async def test_a_message_is_settled_after_its_result_is_sent(run: Run) -> None:
    settled_when_sent: list[int] = []
    send = run.broker.send

    async def watch(tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        settled_when_sent.append(len(run.broker.settled))
        await send(tenant, queue, message)

    run.broker.send = watch  # type: ignore[method-assign]  # the test looks on
    run.broker.put("m1", text="hello", taskId="t1")
    run.start(echo)
    await run.broker.until(1)

    assert settled_when_sent == [0]
    assert run.broker.outcomes("m1") == [Outcome.COMPLETE]
    assert run.broker.results() == [
        {"tenant_id": "acme", "id": "m1", "taskId": "t1", "said": "hello", "tenant": "acme"}
    ]
    [(tenant, queue, message)] = run.broker.sent
    assert (tenant, queue, message.message_id) == ("acme", "output-queue", "acme:m1")


async def test_a_failed_send_is_not_ignored_the_message_comes_again(run: Run) -> None:
    run.broker.send_failures = [DOWN]
    run.broker.put("m1")
    run.start(echo)
    await run.broker.until(2)

    assert run.broker.outcomes("m1") == [Outcome.ABANDON, Outcome.COMPLETE]
    assert len(run.broker.sent) == 1


async def test_a_completion_that_is_lost_sends_the_result_again_under_the_same_id(run: Run) -> None:
    run.broker.settle_failures = [DOWN]
    run.broker.put("m1")
    run.start(echo)
    await run.broker.until(1)

    assert [message.message_id for _, _, message in run.broker.sent] == ["acme:m1", "acme:m1"]
    assert run.broker.outcomes("m1") == [Outcome.COMPLETE]


async def test_what_fails_at_each_delivery_is_dead_lettered_with_its_reason_after_growing_pauses(
    run: Run,
) -> None:
    async def fail(_: dict[str, Any]) -> None:
        raise RuntimeError("the tenant's own words")

    run.broker.put("m1")
    run.start(fail, max_retries=3, retry_delay=4)
    await run.broker.until(3)

    assert run.broker.outcomes("m1") == [Outcome.ABANDON, Outcome.ABANDON, Outcome.DEAD_LETTER]
    last = run.broker.settled[-1][1]
    assert (last.reason, "RuntimeError" in last.description) == ("DeliveriesExhaustedError", True)
    assert "own words" not in last.description
    assert [seconds for seconds in run.clock.slept if seconds in {4, 8, 16}] == [4, 8]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tenant_id": "no tenant's"}, "ValidationError"),
        ({"id": ""}, "ValidationError"),
        ({"schema_version": "x"}, "ValidationError"),
    ],
)
async def test_a_message_that_can_never_be_handled_is_dead_lettered_at_once(
    run: Run, fields: dict[str, Any], reason: str
) -> None:
    run.broker.put("m1", **fields)
    run.start(echo)
    await run.broker.until(1)

    assert run.broker.outcomes("m1") == [Outcome.DEAD_LETTER]
    assert run.broker.settled[0][1].reason == reason
    assert run.broker.sent == []


async def test_a_poison_message_keeps_no_other_waiting(run: Run) -> None:
    run.broker.put("m1", tenant_id=7)
    for number in range(2, 12):
        run.broker.put(f"m{number}")
    run.start(echo)
    await run.broker.until(11)

    assert len(run.broker.sent) == 10


async def test_a_tenant_that_is_not_known_is_refused_where_tenants_are_looked_up(run: Run) -> None:
    known = FakeAuthenticator()
    known.add("key", tenant_context("acme"))
    run.broker.put("m1")
    run.broker.put("m2", tenant_id="globex")
    run.start(echo, tenants=known)
    await run.broker.until(2)

    assert run.broker.outcomes("m1") == [Outcome.COMPLETE]
    assert run.broker.settled[1][1].reason == "TenantNotFoundError"


async def test_no_more_messages_are_worked_on_at_once_than_a_batch_has(run: Run) -> None:
    at_work = most = 0

    async def work(_: dict[str, Any]) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1

    for number in range(30):
        run.broker.put(f"m{number}")
    run.start(work, message_batch_size=4)
    await run.broker.until(30)

    assert most == 4
    assert max(run.broker.most_asked) == 4


async def test_a_message_that_takes_long_keeps_no_other_waiting(run: Run) -> None:
    goes_on = asyncio.Event()

    async def work(body: dict[str, Any]) -> None:
        if body["id"] == "slow":
            await goes_on.wait()

    for message_id in ("slow", *(f"m{number}" for number in range(6))):
        run.broker.put(message_id)
    run.start(work, message_batch_size=2)
    await run.broker.until(6)
    before = run.broker.outcomes("slow")
    goes_on.set()
    await run.broker.until(7)

    assert (before, run.broker.outcomes("slow")) == ([], [Outcome.COMPLETE])


async def test_a_session_is_worked_on_in_its_order_beside_others_and_left_when_it_is_empty(run: Run) -> None:
    begun: list[str] = []
    at_work: set[str] = set()
    together = 0

    async def work(body: dict[str, Any]) -> None:
        nonlocal together
        assert body["lane"] not in at_work
        at_work.add(body["lane"])
        together = max(together, len(at_work))
        begun.append(body["id"])
        await asyncio.sleep(0)
        at_work.remove(body["lane"])

    for number in range(12):
        session = "abc"[number % 3]
        run.broker.put(f"{session}{number:02}", session=session, lane=session)
    run.start(work, in_sessions=2)
    await run.broker.until(12)

    for session in "abc":
        own = [message_id for message_id in begun if message_id.startswith(session)]
        assert own == sorted(own)
    assert together == 2
    assert begun[-1].startswith("c")  # it found a link once one of the others was left
    assert {end.outcome for _, end in run.broker.settled} == {Outcome.COMPLETE}


async def test_a_queue_whose_sessions_are_all_empty_is_asked_again_and_a_stop_is_not_kept_waiting(
    run: Run,
) -> None:
    handler = run.start(echo, in_sessions=3, max_wait_time=60)
    while run.clock.monotonic() < 60:  # noqa: ASYNC110  # a test's clock tells nobody that it moves
        await asyncio.sleep(0)
    run.broker.put("m1", session="acme")
    await run.broker.until(1)
    await handler.stop()

    assert run.broker.outcomes("m1") == [Outcome.COMPLETE]
    assert max(run.clock.slept) <= 5
    assert run.broker.held == []


async def test_a_result_for_a_queue_with_sessions_goes_into_its_tenants(run: Run) -> None:
    run.broker.put("m1")
    run.start(echo, out_sessions=True)
    await run.broker.until(1)

    assert [message.session_id for _, _, message in run.broker.sent] == ["acme"]


async def test_a_link_that_breaks_is_opened_anew_after_a_pause(run: Run) -> None:
    run.broker.receive_failures = [DOWN, DOWN]
    run.broker.put("m1")
    run.start(echo, retry_delay=2)
    await run.broker.until(1)

    assert run.broker.opened == 3
    assert any(1 <= seconds <= 4 for seconds in run.clock.slept)


async def test_a_queue_that_stays_empty_is_looked_at_less_often_and_one_that_fills_at_once(run: Run) -> None:
    run.start(echo, max_wait_time=3)
    while run.clock.monotonic() < 60:  # noqa: ASYNC110  # a test's clock tells nobody that it moves
        await asyncio.sleep(0)
    pauses = [seconds for seconds in run.clock.slept if seconds != 1.0]
    run.broker.put("m1")
    await run.broker.until(1)

    assert pauses[:3] == [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.4)]
    assert max(pauses) == 3


async def test_the_lock_of_long_work_is_renewed_before_it_ends() -> None:
    clock = StillClock()
    run = Run(clock)
    goes_on = asyncio.Event()

    async def work(_: dict[str, Any]) -> None:
        await goes_on.wait()

    run.broker.put("m1")
    run.start(work)
    for _ in range(4):
        for _ in range(20):
            await asyncio.sleep(0)
        await clock.move(20)
    for _ in range(20):
        await asyncio.sleep(0)
    goes_on.set()
    await run.broker.until(1)
    assert run.handler is not None
    run.handler._listener.stop()  # noqa: SLF001  # its receive waits on a clock that stands still
    await clock.move(60)
    await run.stop()

    assert run.broker.renewed == ["m1"] * 4
    assert run.broker.outcomes("m1") == [Outcome.COMPLETE]


async def test_a_stop_lets_what_is_in_work_end(run: Run) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def work(_: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        await goes_on.wait()
        return {}

    run.broker.put("m1")
    handler = run.start(work, message_batch_size=1, stop_seconds=600)
    await begun.wait()
    goes_on.set()
    await handler.stop()

    assert run.broker.outcomes("m1") == [Outcome.COMPLETE]
    assert (len(run.broker.sent), run.broker.is_closed, run.broker.open_links) == (1, True, 0)


async def test_a_stop_gives_back_what_does_not_end_in_time(run: Run) -> None:
    begun = asyncio.Event()

    async def work(_: dict[str, Any]) -> None:
        begun.set()
        await asyncio.Event().wait()

    run.broker.put("m1")
    handler = run.start(work, message_batch_size=1, stop_seconds=0)
    await begun.wait()
    await handler.stop()

    assert run.broker.outcomes("m1") == [Outcome.ABANDON]
    assert run.broker.is_closed


async def test_a_cancelled_listener_gives_back_what_it_has(run: Run) -> None:
    begun = asyncio.Event()

    async def work(_: dict[str, Any]) -> None:
        begun.set()
        await asyncio.Event().wait()

    run.broker.put("m1")
    run.start(work, message_batch_size=1, stop_seconds=0)
    await begun.wait()
    assert run.listening is not None
    run.listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.listening
    run.listening = None

    assert run.broker.outcomes("m1") == [Outcome.ABANDON]


async def test_work_without_end_fails_after_its_time(run: Run) -> None:
    async def work(_: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    run.broker.put("m1")
    run.start(work, processing_seconds=0.01, max_retries=1)
    await run.broker.until(1)

    assert "TimeoutError" in run.broker.settled[0][1].description


async def test_a_function_that_is_none_of_coroutines_runs_in_a_thread_with_its_tenant(run: Run) -> None:
    def process(body: dict[str, Any]) -> str:
        return f'{{"said": "{body["text"]}", "tenant": "{ambient_tenant().tenant_id}"}}'

    run.broker.put("m1", text="hello")
    run.start(process)
    await run.broker.until(1)

    assert run.broker.results() == [{"tenant_id": "acme", "id": "m1", "said": "hello", "tenant": "acme"}]


async def test_a_result_for_another_tenant_is_sent_to_nobody(run: Run) -> None:
    async def mistake(_: dict[str, Any]) -> dict[str, Any]:
        return {"tenant_id": "globex"}

    run.broker.put("m1")
    run.start(mistake, max_retries=1)
    await run.broker.until(1)

    assert run.broker.outcomes("m1") == [Outcome.DEAD_LETTER]
    assert run.broker.sent == []


async def test_a_message_is_sent_by_itself_to_the_out_queue(run: Run) -> None:
    handler = AsyncServiceBusHandler(echo, "input-queue", "output-queue", broker=run.broker, clock=run.clock)

    await handler.send_message('{"tenant_id": "acme", "id": "m1", "text": "hello"}')

    [(tenant, queue, message)] = run.broker.sent
    assert (tenant, queue, message.message_id) == ("acme", "output-queue", "acme:m1")
    with pytest.raises(ValidationError):
        await handler.send_message({"id": "m1"})
    with pytest.raises(ConflictError):
        await handler._send(tenant_context("acme"), {"tenant_id": "globex", "id": "m1"})  # noqa: SLF001  # as in work on a message


@pytest.mark.parametrize("options", [{"max_retries": 0}, {"message_batch_size": 0}, {"retry_delay": -1}])
def test_an_option_out_of_its_bounds_is_refused_by_its_name(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        AsyncServiceBusHandler(echo, "in", "out", "namespace.servicebus.windows.net", **options)


def test_a_namespace_or_a_connection_string_is_needed() -> None:
    with pytest.raises(ValueError, match="connection_string"):
        AsyncServiceBusHandler(echo, "in", "out")


async def test_it_listens_once_at_a_time_and_again_after_a_stop(run: Run) -> None:
    handler = run.start(echo)
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already"):
        await handler.listen()
    await run.stop()

    run.broker.put("m1")
    run.listening = asyncio.create_task(handler.listen())
    await run.broker.until(1)

    assert run.broker.outcomes("m1") == [Outcome.COMPLETE]


async def test_the_documents_example_runs_changed_in_its_import_alone(run: Run) -> None:
    program = EXAMPLE.read_text()
    assert program.count(IMPORT) == 1
    run.broker.put("m1", text="hello")
    made = partial(AsyncServiceBusHandler, broker=run.broker, clock=run.clock)
    names: dict[str, Any] = {"AsyncServiceBusHandler": made, "process_data": echo}
    code = compile(program.replace(IMPORT, ""), "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    example = asyncio.create_task(eval(code, names))  # noqa: S307  # the document's own lines
    await run.broker.until(1)
    await names["handler"].stop()
    await example

    assert run.broker.results()[0]["said"] == "hello"


def test_the_methods_have_the_documents_parameters() -> None:
    methods = {
        "__init__": [
            "processor_function",
            "in_queue_name",
            "out_queue_name",
            "fully_qualified_namespace",
            "max_retries",
            "retry_delay",
            "max_wait_time",
            "message_batch_size",
        ],
        "process_message": ["message"],
        "send_message": ["message_body"],
        "listen": [],
        "stop": [],
    }
    for name, wanted in methods.items():
        parameters = inspect.signature(getattr(AsyncServiceBusHandler, name)).parameters.values()
        positional = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert positional[1:] == wanted
