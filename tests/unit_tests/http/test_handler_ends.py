"""Whatever a handler ends in, the caller gets an answer of the edge's shape, and the log one line."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import APIError, DependencyUnavailableError
from shared.http.models import ReplyModel
from shared.http.routes import Routes
from shared.resilience.concurrency import side_by_side
from shared.tenancy.context import Role, TenantContext
from tests.support.fakes import Call, FakeClock, RouteClient, tenant_context
from tests.unit_tests.http.test_pipeline import Services


class PanicException(BaseException):
    """A panic of a native library: no `Exception`."""


class Reply(ReplyModel):
    text: str = "done"


ENDS = (
    SystemExit,
    GeneratorExit,
    PanicException,
    asyncio.CancelledError,
    asyncio.InvalidStateError,
    StopAsyncIteration,
    StopIteration,
    RecursionError,
    MemoryError,
    TimeoutError,
    RuntimeError,
)


@dataclass
class Handlers:
    """One route whose handler ends as it is told."""

    services: Services = field(default_factory=Services)
    end: BaseException | None = None
    depth: int = 0
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        routes = Routes(self.services, "ends")

        @routes.get("v1/end", min_role=Role.USER)
        async def end(tenant: TenantContext) -> Reply:
            """End."""
            await self.fail(self.depth)
            return Reply()

        @routes.get("v1/wait", min_role=Role.USER)
        async def wait(tenant: TenantContext) -> Reply:
            """Wait."""
            self.waiting.set()
            await asyncio.Event().wait()
            return Reply()

        self.headers = self.services.authenticator.add("user", tenant_context("acme"))
        self.client = RouteClient(self.services)

    async def fail(self, depth: int) -> None:
        if depth:
            try:
                await self.fail(depth - 1)
            finally:
                await asyncio.sleep(0)
        elif self.end is not None:
            raise self.end


@given(end=st.sampled_from(ENDS), depth=st.integers(0, 4), grouped=st.booleans())
@pytest.mark.slow
async def test_whatever_ends_a_handler_is_a_500_that_tells_nothing(
    end: type[BaseException], depth: int, *, grouped: bool
) -> None:
    error = end("tk.secret")
    handlers = Handlers(end=BaseExceptionGroup("many", [error]) if grouped else error, depth=depth)

    answer = await handlers.client.call("end", Call(headers=handlers.headers))

    assert (answer.status, answer.json()["error"]) == (500, "InternalError")
    assert b"secret" not in answer.body
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    handlers.end = None
    assert (await handlers.client.call("end", Call(headers=handlers.headers))).status == 200


async def test_an_exit_in_a_task_of_a_handler_is_a_500_as_well() -> None:
    handlers = Handlers()
    routes = Routes(handlers.services, "tasks")

    @routes.get("v1/side", min_role=Role.USER)
    async def side(tenant: TenantContext) -> Reply:
        """Do two things side by side, of which one asks the process to exit."""
        handlers.end = SystemExit(1)
        await side_by_side([handlers.fail(2), asyncio.sleep(0)])
        return Reply()

    answer = await handlers.client.call("side", Call(headers=handlers.headers))

    assert (answer.status, answer.json()["error"]) == (500, "InternalError")


async def test_a_failure_is_one_line_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    handlers = Handlers(end=PanicException("index out of bounds"))

    with caplog.at_level(logging.INFO):
        await handlers.client.call("end", Call(headers=handlers.headers))
        handlers.end = DependencyUnavailableError("The store")
        handlers.end.__cause__ = OSError("no route to host")
        await handlers.client.call("end", Call(headers=handlers.headers))

    told = [(record.getMessage(), record.levelname, record.exc_info) for record in caplog.records]
    assert [line[:2] for line in told] == [("Unexpected failure", "ERROR"), ("Request failed", "ERROR")]
    assert [type(cause[1]).__name__ for *_, cause in told if cause] == ["PanicException", "OSError"]


async def test_an_answer_is_logged_with_the_time_that_it_took(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    clock.advance(100)
    handlers = Handlers(Services(clock))

    with caplog.at_level(logging.INFO):
        await handlers.client.call("end", Call(headers=handlers.headers))

    (told,) = [vars(record) for record in caplog.records if record.getMessage() == "Request answered"]
    assert told["duration_ms"] == 0


async def test_a_request_that_is_cancelled_is_not_answered() -> None:
    handlers = Handlers()
    request = asyncio.create_task(handlers.client.call("wait", Call(headers=handlers.headers)))
    await handlers.waiting.wait()

    request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request


async def test_an_error_that_was_answered_holds_no_frame() -> None:
    handlers = Handlers(end=APIError("no"), depth=2)

    await handlers.client.call("end", Call(headers=handlers.headers))

    assert handlers.end is not None
    assert handlers.end.__traceback__ is None
