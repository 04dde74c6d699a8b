"""Drive the worker runtime on one app without a socket, and print what came of it; its state is global."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

from local.host.bindings import HttpTrigger, parse_function
from local.host.executor import Call, Executor, Limits
from local.host.hostjson import UNLIMITED
from local.host.http_front import RouteTable
from local.host.invocation import HttpInput, HttpOutput, Invocation
from local.host.logs import LogLevels, configure_logging
from local.host.runtime.driver import IndexingError, RuntimeWorker
from local.host.settings import Settings
from tests.unit_tests.local_host.fakes import Browser, FakeServices


async def drive(root: Path) -> dict[str, object]:
    """Index the app, send each of its functions that takes a plain GET one request, and stop."""
    settings = Settings({"TICK": "* * * * * *", "PLAIN_QUEUE": "q"})
    worker = RuntimeWorker(root)
    functions = [parse_function(metadata, settings) for metadata in await worker.start()]
    executor = Executor(worker, FakeServices(), Limits(UNLIMITED), LogLevels({"default": "None"}))
    routes = RouteTable(functions, "")
    answers: dict[str, object] = {}
    for target in ("/ping", "/fails", "/numbers/3", "/fails_midway", "/text", "/cookies", "/nothing"):
        matched = routes.match("GET", target)
        if matched is None:
            continue
        routed, params = matched
        call = Call(routed.function, HttpInput("GET", target, params=params), "driven")
        if worker.streams_http:
            browser = Browser()
            try:
                await browser.request(
                    partial(executor.run_http, call),
                    "GET",
                    target,
                    headers={"X-Ms-Invocation-Id": "the caller's own"},
                )
            except ValueError as error:
                answers[f"{target} broke"] = str(error)
            answers[target] = [browser.status, browser.body.decode()]
        else:
            value = (await executor.run(call)).return_value
            answers[target] = [value.status, value.body.decode()] if isinstance(value, HttpOutput) else value
    retries = {function.name: function.retry.limit for function in functions if function.retry is not None}
    bad = await worker.invoke(Invocation("i", "no-such-function", {}))
    worker.stop()
    return {
        "functions": {function.name: isinstance(function.trigger, HttpTrigger) for function in functions},
        "streams": worker.streams_http,
        "answers": answers,
        "retries": retries,
        "unknown": bad.failure is not None,
        "remembered": len(worker._coordinator._context_references),  # noqa: SLF001 -- nothing may pile up in there
    }


def main() -> None:
    """Print the outcome as JSON."""
    configure_logging(LogLevels({}))
    try:
        print(json.dumps(asyncio.run(drive(Path(sys.argv[1]).resolve()))))  # noqa: T201 -- the answer
    except IndexingError as error:
        print(json.dumps({"refused": str(error), "stack": bool(error.stack_trace)}))  # noqa: T201 -- the answer


if __name__ == "__main__":
    main()
