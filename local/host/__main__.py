"""`python -m local.host`: run a function app on this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from local import part
from local.host.bindings import BindingError
from local.host.cors import CorsPolicy
from local.host.endings import failure_of, is_stopped, run_through
from local.host.expressions import ExpressionError
from local.host.host import Host, Options, check_connections
from local.host.hostjson import HostJsonError, load_host_json
from local.host.http_front import RouteConflictError
from local.host.listeners.schedule import ScheduleError
from local.host.logs import LogLevels, configure_logging, log
from local.host.routing import RouteError
from local.host.runtime.driver import IndexingError, RuntimeWorker
from local.host.server import listening_socket
from local.host.settings import SettingError, host_section, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from local.host.settings import Settings

_EXIT_UNUSABLE_APP = 1
_STOP_THREADS_SECONDS = 5.0
_PROCESS_COUNT = "FUNCTIONS_WORKER_PROCESS_COUNT"

_NAMED_BY_THE_HOST = (
    BindingError,
    ExpressionError,
    RouteConflictError,
    RouteError,
    ScheduleError,
    SettingError,
)
_APP_ERRORS = (IndexingError, *_NAMED_BY_THE_HOST)


def main() -> int:
    """Run until stopped and return the exit code."""
    options = _arguments()
    # stdout carries the one line of the contract; what functions print goes where their logs go.
    contract, sys.stdout = sys.stdout, sys.stderr

    def announce(port: int) -> None:
        with contextlib.redirect_stdout(contract):
            part.announce(port)

    try:
        host = _host(options)
        code = _run_through(_run(host, announce))
    except (HostJsonError, SettingError) as error:
        print(f"The function app in {options.app_root} cannot start: {error}", file=sys.stderr)
        code = _EXIT_UNUSABLE_APP
    except part.PortTakenError as error:
        print(error, file=sys.stderr)
        code = part.EXIT_PORT_TAKEN
    if code == 0:
        _leave_hanging_threads()
    return code


def _host(options: Options) -> Host:
    settings = load_settings(options.app_root, os.environ)
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
    host_json = load_host_json(options.app_root, os.environ)
    configure_logging(LogLevels(host_json.logging.log_level))
    for name in host_json.unknown_options():
        log.warning("host.json: the option '%s' is not supported by the local host and is ignored", name)
    _check_worker_processes(settings)
    return Host(options, settings, host_json, RuntimeWorker(options.app_root), cors=_cors_policy(options))


def _check_worker_processes(settings: Settings) -> None:
    """Refuse what would be ignored.

    Raises:
        SettingError: Several worker processes are asked for.
    """
    count = settings.get(_PROCESS_COUNT)
    if count not in {None, "", "1"}:
        raise SettingError(
            f"{_PROCESS_COUNT} is {count}, and this host runs its worker in its own process: leave it out, "
            "and start `python -m local --instances N` for several"
        )


def _cors_policy(options: Options) -> CorsPolicy | None:
    """Read what local.settings.json says to the host itself.

    Raises:
        SettingError: It contradicts itself.
    """
    section = host_section(options.app_root)
    for name in section:
        if name not in {"CORS", "CORSCredentials"}:
            log.warning("local.settings.json: the option 'Host.%s' is not supported and is ignored", name)
    try:
        return CorsPolicy.parse(section)
    except ValueError as error:
        raise SettingError(f"local.settings.json: {error}") from error


def _run_through(work: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        asyncio.set_event_loop(loop)
        task = loop.create_task(work)
        return run_through(
            lambda: loop.run_until_complete(task),
            task.done,
            lambda error: log.error("A task that a function began ended with %r; the host goes on", error),
        )


async def _run(host: Host, announce: Callable[[int], None]) -> int:
    bound = listening_socket(host.options.port, host.options.listen_fd)
    try:
        try:
            await host.index()
            check_connections(host.functions, host.settings)
        except BaseException as error:
            if is_stopped(error):
                raise
            _give_up_app(host, error)
        stopped = asyncio.Event()
        stopping = asyncio.create_task(_set_when_told(stopped))
        try:
            await host.serve(bound, announce, stopped)
        finally:
            stopping.cancel()
    finally:
        bound.close()
    host.worker.stop()
    return 0


def _give_up_app(host: Host, error: BaseException) -> None:
    """Say why an app does not run, on stderr and from now on to whoever asks, as Azure's host does."""
    reason = str(error) if isinstance(error, _APP_ERRORS) else f"{type(error).__name__}: {error}"
    stack = error.stack_trace if isinstance(error, IndexingError) else failure_of(error).stack_trace
    if stack and not isinstance(error, _NAMED_BY_THE_HOST):
        print(f"Worker failed to index functions\nResult: Failure\n{stack}", file=sys.stderr)
    print(
        "The host stays up and answers 503 until the app is mended and the host started again.",
        file=sys.stderr,
    )
    print(f"The function app in {host.options.app_root} cannot start: {reason}", file=sys.stderr, flush=True)
    host.give_up_app(reason)


async def _set_when_told(stopped: asyncio.Event) -> None:
    await part.until_stopped()
    stopped.set()


def _leave_hanging_threads() -> None:
    """Give synchronous functions time to end, then end without them; the interpreter would wait."""
    deadline = time.monotonic() + _STOP_THREADS_SECONDS
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    for thread in threads:
        if not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() and not thread.daemon for thread in threads):
        log.warning("a synchronous function is still running; it is left behind")
        sys.stderr.flush()
        os._exit(0)


def _arguments() -> Options:
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free one")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="where keys, schedules and receipts are kept"
    )
    parser.add_argument(
        "--app-root", type=Path, default=Path(), help="the folder of function_app.py and host.json"
    )
    parser.add_argument(
        "--auth", action="store_true", help="enforce authorization levels with keys, as Azure does"
    )
    parser.add_argument("--timers", choices=["on", "off"], default="on", help="off on all instances but one")
    parser.add_argument(
        "--listen-fd", type=int, help="an inherited socket that listens, shared with other instances"
    )
    given = parser.parse_args()
    data_dir = given.data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Options(
        port=given.port,
        data_dir=data_dir,
        app_root=given.app_root.resolve(),
        enforce_keys=given.auth,
        run_timers=given.timers == "on",
        listen_fd=given.listen_fd,
    )


if __name__ == "__main__":
    sys.exit(main())
