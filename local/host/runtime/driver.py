"""Drive Microsoft's worker runtime in this process: index an app, load its functions, invoke them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from local.host.endings import failure_of, is_stopped, run_to_outcome
from local.host.invocation import Failure, FunctionMetadata, Outcome, RetryPolicy
from local.host.runtime import protos
from local.host.runtime.values import from_typed_data, to_typed_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.host.invocation import Invocation, Receive, Scope, Send

_INVOCATION_HEADER = b"x-ms-invocation-id"


class IndexingError(Exception):
    """The worker refused the function app."""

    def __init__(self, message: str, stack_trace: str = "") -> None:
        super().__init__(message)
        self.stack_trace = stack_trace


class RuntimeWorker:
    """The worker runtime, which is global to its process: make one."""

    def __init__(self, app_root: Path) -> None:
        self._app_root = app_root
        self._asgi_app: Any = None
        self._runtime: Any = None
        self._coordinator: Any = None

    @property
    def streams_http(self) -> bool:
        """Whether the app imported an HTTP streaming extension."""
        return self._asgi_app is not None

    async def start(self) -> Sequence[FunctionMetadata]:
        """Import and index the app, and load each of its functions.

        Raises:
            IndexingError: The app cannot be imported, or one of its functions is not valid.
        """
        os.chdir(self._app_root)
        # The real worker runs inside the app's folder with its packages first on the path.
        sys.path.insert(0, str(self._app_root))
        sys.path.insert(0, str(self._app_root / ".python_packages/lib/site-packages"))
        # It reads settings from the environment while it is imported, so not before these are set.
        import azure_functions_runtime  # noqa: PLC0415  # it reads settings while it is imported
        from azure_functions_runtime import handle_event, http_v2  # noqa: PLC0415 -- same

        self._runtime = azure_functions_runtime
        self._coordinator = http_v2.http_coordinator
        handle_event.initialize_http_server = self._initialize_http_server
        self._runtime.start_threadpool_executor()
        response = await self._runtime.worker_init_request(
            _request(worker_init_request=protos.WorkerInitRequest(str(self._app_root)))
        )
        _raise_for_status(response.result)
        found = await self._runtime.functions_metadata_request(_request())
        _raise_for_status(found.result)
        if found.function_metadata_results is None:
            script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
            raise IndexingError(f"{script} is not in {self._app_root}, or it defines no functions")
        metadata = [_metadata(function) for function in found.function_metadata_results]
        for function in metadata:
            loaded = await self._runtime.function_load_request(
                _request(function_load_request=protos.FunctionLoadRequest(function.function_id))
            )
            _raise_for_status(loaded.result)
        return metadata

    def stop(self) -> None:
        """Take no more synchronous functions; those that run are not waited for."""
        executor = self._runtime.get_threadpool_executor() if self._runtime is not None else None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run a function to its end, whatever that is."""
        # In a task of its own: a function may cancel the task that it runs in, which is then not the host's.
        return await run_to_outcome(asyncio.ensure_future(self._run(invocation)))

    async def _run(self, invocation: Invocation) -> Outcome:
        try:
            return _outcome(
                await self._runtime.invocation_request(
                    _request(invocation_request=_invocation_request(invocation))
                )
            )
        except BaseException as error:
            if is_stopped(error):
                raise
            return Outcome(failure=failure_of(error))

    async def serve_http(self, invocation: Invocation, scope: Scope, receive: Receive, send: Send) -> Outcome:
        """Run a function of the streaming extension on the request itself.

        The extension pairs the request that its web app sees with the invocation by a header, so that the
        caller's own, of whatever case and number, has no place in it.
        """
        running = asyncio.ensure_future(self._run_streaming(invocation))
        headers = [pair for pair in scope["headers"] if pair[0].lower() != _INVOCATION_HEADER]
        headers.append((_INVOCATION_HEADER, invocation.id.encode()))
        # The web app has one route, whose pattern stops at a line break: it sees that as it was sent.
        path = scope["path"].replace("\n", "%0A")
        try:
            await self._asgi_app({**scope, "headers": headers, "path": path}, receive, send)
        except Exception:
            # The web app re-raises what the function raised, after it answered 500; that is the outcome's.
            if not running.done() or running.cancelled() or running.result().succeeded:
                raise
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait([running])
            # The runtime itself never forgets a request.
            self._coordinator._context_references.pop(invocation.id, None)  # noqa: SLF001 -- it offers no public way
        return await run_to_outcome(running) if running.cancelled() else running.result()

    async def _run_streaming(self, invocation: Invocation) -> Outcome:
        outcome = None
        try:
            outcome = await self._run(invocation)
        finally:
            # Whatever ends the invocation without a response must not leave the request waiting for one.
            if outcome is None or not outcome.succeeded:
                self._end_request(invocation.id)
        return outcome

    def _end_request(self, invocation_id: str) -> None:
        from azure_functions_runtime import http_v2  # noqa: PLC0415 -- as in `start`

        # The request may not have come yet: then it finds its answer when it does.
        waiting = self._coordinator._context_references.setdefault(  # noqa: SLF001 -- it offers no public way
            invocation_id, http_v2.AsyncContextReference()
        )
        if not waiting.http_response_available_event.is_set():
            waiting.http_response = RuntimeError("the function ended without an answer")

    def _initialize_http_server(self, host: str) -> str:
        """Have the runtime set up its streaming web app, but hand it over instead of serving it."""
        from azure_functions_runtime import http_v2  # noqa: PLC0415 -- as in `start`

        extension = sys.modules[http_v2.HttpV2Registry.ext_base().ModuleTrackerMeta.get_module()]
        extension.WebServer = partial(_InProcessServer, self)  # type: ignore[attr-defined] # any extension's module has one
        address: str = http_v2.initialize_http_server(host)
        return address


class _InProcessServer:
    """Stands where the extension's own web server stood, and listens nowhere."""

    def __init__(self, worker: RuntimeWorker, _host: str, _port: int, web_app: Any) -> None:  # noqa: ANN401 -- untyped extension
        worker._asgi_app = web_app.get_app()  # noqa: SLF001 -- one unit with the worker

    async def serve(self) -> None:
        """Return at once: requests come through `RuntimeWorker.serve_http`."""


def _request(**kind: object) -> SimpleNamespace:
    return SimpleNamespace(
        request=SimpleNamespace(**kind), properties={"host": "127.0.0.1", "protos": protos}
    )


def _raise_for_status(result: protos.StatusResult) -> None:
    if result.status != protos.StatusResult.Success:
        error = result.exception or protos.RpcException("the worker gave no reason")
        raise IndexingError(error.message, error.stack_trace)


def _metadata(function: protos.RpcFunctionMetadata) -> FunctionMetadata:
    return FunctionMetadata(
        name=function.name,
        function_id=function.function_id,
        script_file=function.script_file,
        bindings=[cast("dict[str, Any]", json.loads(raw)) for raw in function.raw_bindings],
        retry=_retry_policy(function.retry_options) if function.retry_options else None,
    )


def _retry_policy(options: protos.RpcRetryOptions) -> RetryPolicy:
    fixed = options.delay_interval
    return RetryPolicy(
        exponential=fixed is None,
        limit=options.max_retry_count,
        minimum=fixed or options.minimum_interval or timedelta(),
        maximum=fixed or options.maximum_interval or timedelta(),
    )


def _invocation_request(invocation: Invocation) -> protos.InvocationRequest:
    failure = invocation.retry.failure
    return protos.InvocationRequest(
        invocation_id=invocation.id,
        function_id=invocation.function_id,
        input_data=[protos.ParameterBinding(name, to_typed_data(v)) for name, v in invocation.inputs.items()],
        trigger_metadata={name: to_typed_data(value) for name, value in invocation.metadata.items()},
        trace_context=protos.RpcTraceContext(invocation.trace_parent, invocation.trace_state),
        retry_context=protos.RpcRetryContext(
            invocation.retry.count,
            invocation.retry.limit,
            protos.RpcException(failure.message, failure.stack_trace) if failure else None,
        ),
    )


def _outcome(response: protos.InvocationResponse) -> Outcome:
    if response.result.status != protos.StatusResult.Success:
        error = response.result.exception or protos.RpcException("the worker gave no reason")
        return Outcome(failure=Failure(error.message, error.stack_trace))
    return Outcome(
        return_value=from_typed_data(response.return_value),
        outputs={output.name: from_typed_data(output.data) for output in response.output_data},
    )
