"""Functions run without their triggers."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from local.host.bindings import (
    BlobTrigger,
    HttpTrigger,
    Queue,
    ServiceBusTrigger,
    TimerTrigger,
    WarmupTrigger,
)
from local.host.by_hand import HandRunner
from local.host.executor import Executor, Limits
from local.host.invocation import HttpInput, Json, Outcome
from local.host.listeners.blob import BlobVersion
from local.host.logs import LogLevels
from tests.unit_tests.local_host.fakes import FakeBlobs, FakeClock, FakeServices, FakeWorker, a_function

if TYPE_CHECKING:
    import pytest

    from local.host.bindings import Trigger
    from local.host.invocation import Invocation, Receive, Scope, Send


class _Account(FakeBlobs):
    """A storage account that knows the version a blob has now."""

    async def current(self, container: str, name: str) -> BlobVersion | None:
        content = self.contents.get(f"{container}/{name}")
        return BlobVersion(container, name, f"etag-{content.decode()}") if content is not None else None


async def _run(trigger: Trigger, text: str, worker: FakeWorker | None = None) -> list[Invocation]:
    async def body(_invocation: Invocation) -> Outcome:
        return Outcome()

    worker = worker or FakeWorker(body)
    executor = Executor(worker, FakeServices(), Limits(timedelta(minutes=1)), LogLevels({"default": "None"}))
    account = _Account({"inbox/a.txt": b"content"})
    runner = HandRunner(executor, FakeClock(), UTC, lambda _: account, streams=worker.streams_http)
    runner.start(a_function(trigger), text)
    await runner.finish()
    await runner.finish()  # with nothing left to wait for
    return worker.invocations


async def test_a_queue_function_gets_the_text_as_its_message() -> None:
    (invocation,) = await _run(ServiceBusTrigger("m", Queue("q"), ""), "text")
    assert invocation.inputs == {"m": "text"}
    assert invocation.metadata["UserProperties"] == Json("{}")


async def test_a_warm_up_gets_nothing() -> None:
    (invocation,) = await _run(WarmupTrigger("w"), "")
    assert invocation.inputs == {"w": ""}


async def test_a_timer_is_not_past_due() -> None:
    (invocation,) = await _run(TimerTrigger("t", "0 * * * * *"), "")
    value = invocation.inputs["t"]
    assert isinstance(value, Json)
    assert json.loads(value.text) == {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": None,
        "IsPastDue": False,
    }


async def test_a_blob_function_gets_the_blob_that_the_text_names(caplog: pytest.LogCaptureFixture) -> None:
    trigger = BlobTrigger("b", "inbox/{name}.txt", "")
    (invocation,) = await _run(trigger, "inbox/a.txt")
    assert invocation.inputs == {"b": b"content"}
    assert invocation.metadata["name"] == "a"
    assert await _run(trigger, "inbox/absent.txt") == []
    assert "there is no blob 'inbox/absent.txt'" in caplog.text


async def test_an_http_function_gets_the_text_as_a_post() -> None:
    (invocation,) = await _run(HttpTrigger("req", "a"), '{"a": 1}')
    request = invocation.inputs["req"]
    assert isinstance(request, HttpInput)
    assert (request.method, request.body) == ("POST", b'{"a": 1}')


async def test_a_streaming_function_gets_the_text_as_a_post() -> None:
    bodies = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append((scope["method"], (await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def body(_invocation: Invocation) -> Outcome:
        return Outcome()

    await _run(HttpTrigger("req", "a"), "text", FakeWorker(body, streams_http=True, app=app))
    assert bodies == [("POST", b"text")]
