"""Run a function without its trigger: what `POST /admin/functions/{name}` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from local.host.bindings import BlobTrigger, HttpTrigger, ServiceBusTrigger, TimerTrigger, WarmupTrigger
from local.host.executor import Call
from local.host.expressions import BlobPattern, ExpressionError
from local.host.invocation import HttpInput
from local.host.listeners import servicebus_messages
from local.host.listeners.blob import blob_call
from local.host.listeners.schedule import parse_schedule
from local.host.listeners.timer import timer_value
from local.host.logs import log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from local.host.bindings import Function
    from local.host.clock import Clock
    from local.host.executor import Executor
    from local.host.invocation import Message
    from local.host.listeners.blob import BlobAccount, BlobContent, BlobVersion

_REASON = "This function was programmatically called via the host APIs."


class HandRunner:
    """Starts functions in the background and knows which have not ended."""

    def __init__(
        self,
        executor: Executor,
        clock: Clock,
        zone: tzinfo,
        blobs: Callable[[str], BlobAccount],
        *,
        streams: bool,
    ) -> None:
        self._executor = executor
        self._clock = clock
        self._zone = zone
        self._blobs = blobs
        self._streams = streams
        self._running: set[asyncio.Task[None]] = set()

    def start(self, function: Function, text: str) -> None:
        """Run a function in the background on the text that stands for its trigger's input."""
        task = asyncio.create_task(self._run(function, text))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait for what was started."""
        if self._running:
            await asyncio.wait(self._running)

    async def _run(self, function: Function, text: str) -> None:
        try:
            match function.trigger:
                case HttpTrigger():
                    await self._run_http(function, text)
                case ServiceBusTrigger(batch=many):
                    value, metadata = servicebus_messages.by_hand(text, many=many, now=self._clock.now())
                    data = servicebus_messages.expression_data(value, metadata)
                    await self._executor.run(Call(function, value, _REASON, metadata, data))
                case TimerTrigger(schedule=schedule):
                    timer = timer_value(parse_schedule(schedule, self._zone), None, past_due=False)
                    await self._executor.run(Call(function, timer, _REASON))
                case WarmupTrigger():
                    await self._executor.run(Call(function, text, _REASON))
                case BlobTrigger() as trigger:
                    await self._run_blob(function, trigger, text)
        except Exception as error:  # noqa: BLE001 -- nobody awaits this task: its error is told here
            log.error(
                "Functions.%s could not be run by hand: %s: %s", function.name, type(error).__name__, error
            )

    async def _run_http(self, function: Function, text: str) -> None:
        headers = {"content-type": "application/json", "host": "localhost"}
        body = text.encode()
        request = HttpInput("POST", f"http://localhost/{function.name}", headers, body=body)
        call = Call(function, request, _REASON)
        if not self._streams:
            await self._executor.run(call)
            return
        await self._executor.run_http(call, _scope(function, headers), _body_once(body), _ignore)

    async def _run_blob(self, function: Function, trigger: BlobTrigger, path: str) -> None:
        pattern = BlobPattern.parse(trigger.path)
        container, _, name = path.lstrip("/").partition("/")
        source = self._blobs(trigger.connection)
        version: BlobVersion | None = await source.current(container, name)
        content: BlobContent | None = await source.read(version) if version is not None else None
        if version is None or content is None:
            raise ExpressionError(f"there is no blob '{path}'")
        await self._executor.run(blob_call(function, trigger, pattern, version, content))


def _scope(function: Function, headers: dict[str, str]) -> dict[str, Any]:
    path = f"/{function.name}"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }


def _body_once(body: bytes) -> Callable[[], Any]:
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:  # the caller stays until the function has ended
            await asyncio.get_running_loop().create_future()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _ignore(_message: Message) -> None:
    """Drop a response that nobody waits for."""
