"""Put a host together: index the app, serve its HTTP functions, listen for the others, drain on stop."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local.host.admin import Admin
from local.host.bindings import BlobTrigger, HttpTrigger, ServiceBusTrigger, TimerTrigger, parse_function
from local.host.bound_services import AzureClients
from local.host.by_hand import HandRunner
from local.host.clock import SystemClock
from local.host.cors import CrossOrigin
from local.host.depths import read_queues
from local.host.executor import Executor, Limits, unsupported_retry
from local.host.expressions import BlobPattern
from local.host.http_front import FrontOptions, HttpFront, RouteTable
from local.host.http_messages import BodyBounds
from local.host.instances import Board, keep_publishing
from local.host.keys import load_keys
from local.host.listeners.blob import BlobListener
from local.host.listeners.listener import keep_listening
from local.host.listeners.receipts import SqliteReceipts
from local.host.listeners.schedule import parse_schedule
from local.host.listeners.servicebus import ServiceBusListener
from local.host.listeners.timer import FileMonitor, TimerListener
from local.host.logs import LogLevels, log
from local.host.server import Server, port_of
from local.host.settings import SettingError
from local.host.status import HostState, HostStatus

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from local.host.bindings import Function
    from local.host.cors import CorsPolicy
    from local.host.hostjson import HostJson
    from local.host.listeners.blob_sdk import SdkBlobSource
    from local.host.listeners.listener import Listener
    from local.host.listeners.servicebus import Receiver
    from local.host.runtime.driver import RuntimeWorker
    from local.host.settings import Settings

_DEFAULT_BODY_LIMIT = 104_857_600
_DRAIN_SECONDS = 20
_CLEAN_UP_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the command line."""

    port: int
    data_dir: Path
    app_root: Path
    enforce_keys: bool = False
    run_timers: bool = True
    listen_fd: int | None = None


@dataclass(slots=True)
class Host:
    """One instance."""

    options: Options
    settings: Settings
    host_json: HostJson
    worker: RuntimeWorker
    functions: Sequence[Function] = ()
    cors: CorsPolicy | None = None
    errors: Sequence[str] = ()
    clock: SystemClock = field(default_factory=SystemClock)
    _receipts: SqliteReceipts | None = None

    async def index(self) -> None:
        """Let the worker index the app, and check that this host can run every function of it.

        Raises:
            IndexingError: The worker refused the app.
            BindingError: A function has a binding that this host does not do.
            SettingError: A binding names a setting that is not there.
        """
        found = [parse_function(metadata, self.settings) for metadata in await self.worker.start()]
        wanted = self.host_json.functions
        self.functions = [function for function in found if wanted is None or function.name in wanted]
        for function in self.functions:
            if isinstance(function.trigger, TimerTrigger):
                parse_schedule(function.trigger.schedule, self._zone)
            if isinstance(function.trigger, BlobTrigger):
                BlobPattern.parse(function.trigger.path)
            if unsupported_retry(function):
                log.warning(
                    "Function '%s': retries are not supported for its trigger; its retry policy is ignored.",
                    function.name,
                )
        self._route_table()

    def _route_table(self) -> RouteTable:
        return RouteTable(self.functions, self.host_json.extensions.http.route_prefix)

    def give_up_app(self, reason: str) -> None:
        """Serve nothing but the reason why the app does not run."""
        self.functions = ()
        self.errors = (reason,)

    async def serve(self, bound: socket.socket, ready: Callable[[int], None], stopped: asyncio.Event) -> None:
        """Answer requests and listen, until `stopped` is set; then finish what was begun."""
        clients = AzureClients(self.settings)
        levels = LogLevels(self.host_json.logging.log_level)
        executor = Executor(self.worker, clients, Limits(self.host_json.function_timeout), levels)
        by_hand = HandRunner(
            executor,
            self.clock,
            self._zone,
            lambda name: _blob_source(clients, name),
            streams=self.worker.streams_http,
        )
        status = self._status(port_of(bound), executor)
        front = self._front(status, executor, by_hand)
        server = Server(front if self.cors is None else CrossOrigin(front, self.cors), _DRAIN_SECONDS)
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        listening: list[asyncio.Task[None]] = []
        try:
            await _answering(server, serving)
            ready(port_of(bound))
            listening = [
                asyncio.create_task(keep_listening(listener, stopped, self.clock), name=listener.name)
                for listener in self._listeners(executor, clients)
            ]
            publishing = keep_publishing(status.board, status.state.report, stopped, self.clock)
            listening.append(asyncio.create_task(publishing, name="the report to the other instances"))
            await stopped.wait()
        finally:
            log.info("Stopping: what was begun is finished first.")
            stopped.set()
            server.should_exit = True
            await _drain(
                [serving, *listening, asyncio.create_task(by_hand.finish(), name="what was run by hand")]
            )
            await _drain(
                [asyncio.create_task(clients.close(), name="closing the services")], _CLEAN_UP_SECONDS
            )
            if self._receipts is not None:
                self._receipts.close()

    def _status(self, port: int, executor: Executor) -> HostStatus:
        state = HostState(
            app_name=self.options.app_root.name,
            base_url=f"http://localhost:{port}",
            route_prefix=self.host_json.extensions.http.route_prefix,
            functions=self.functions,
            tallies=executor.tallies,
            poison=lambda: self._receipts.poison() if self._receipts is not None else [],
            errors=self.errors,
        )
        if not self.errors:
            _introduce(state)
        board = Board(self.options.data_dir / "instances")
        return HostStatus(state, board, lambda: read_queues(self.functions, self.settings))

    def _front(self, status: HostStatus, executor: Executor, by_hand: HandRunner) -> HttpFront:
        http = self.host_json.extensions.http
        names = [function.name for function in self.functions]
        enforce = self.options.enforce_keys and not self.errors  # there is nothing but the reason
        keys = load_keys(self.options.data_dir / "keys.json", names) if enforce else None
        home_page = not self.settings.flag("AzureWebJobsDisableHomepage")
        limit = int(self.settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or _DEFAULT_BODY_LIMIT)
        return HttpFront(
            self._route_table(),
            executor,
            Admin(status, by_hand, keys, home_page=home_page),
            FrontOptions(http, BodyBounds(limit), self.worker.streams_http, keys),
        )

    def _listeners(self, executor: Executor, clients: AzureClients) -> list[Listener]:
        listeners: list[Listener] = []
        for function in self.functions:
            if function.disabled:
                continue
            match function.trigger:
                case ServiceBusTrigger() as trigger:
                    options = self.host_json.extensions.service_bus
                    receivers = _receivers(clients, trigger, options.prefetch_count)
                    listeners.append(
                        ServiceBusListener(function, trigger, options, executor, self.clock, receivers)
                    )
                case TimerTrigger() as trigger if self.options.run_timers:
                    schedule = parse_schedule(trigger.schedule, self._zone)
                    monitor = FileMonitor(self.options.data_dir / "timers")
                    listeners.append(
                        TimerListener(function, trigger, schedule, monitor, executor, self.clock)
                    )
                case BlobTrigger() as trigger:
                    listeners.append(self._blob_listener(function, trigger, executor, clients))
                case _:
                    pass  # requests come through the front; timers may run on another instance
        return listeners

    def _blob_listener(
        self, function: Function, trigger: BlobTrigger, executor: Executor, clients: AzureClients
    ) -> BlobListener:
        if self._receipts is None:
            self._receipts = SqliteReceipts(self.options.data_dir / "blob-receipts")
        return BlobListener(
            function=function,
            trigger=trigger,
            pattern=BlobPattern.parse(trigger.path),
            options=self.host_json.extensions.blobs,
            source=_blob_source(clients, trigger.connection),
            receipts=self._receipts,
            runner=executor,
            clock=self.clock,
        )

    @property
    def _zone(self) -> tzinfo:
        name = self.settings.get("WEBSITE_TIME_ZONE")
        if not name or self.errors:
            return UTC
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingError(f"WEBSITE_TIME_ZONE: there is no time zone '{name}'") from error


def check_connections(functions: Sequence[Function], settings: Settings) -> None:
    """Fail for a connection that no setting names before anything listens.

    Raises:
        SettingError: There is one.
    """
    for function in functions:
        if function.disabled:
            continue
        try:
            if isinstance(function.trigger, ServiceBusTrigger):
                settings.servicebus(function.trigger.connection)
            elif isinstance(function.trigger, BlobTrigger):
                settings.blobs(function.trigger.connection)
        except SettingError as error:
            raise SettingError(
                f"The listener for function 'Functions.{function.name}' was unable to start: {error}"
            ) from error


def _receivers(
    clients: AzureClients, trigger: ServiceBusTrigger, prefetch_count: int
) -> Callable[[], Receiver]:
    from local.host.listeners.servicebus_sdk import SdkReceiver  # noqa: PLC0415 -- 0.2 s, only for apps that listen

    return lambda: SdkReceiver(clients.servicebus(trigger.connection), trigger, prefetch_count)


def _blob_source(clients: AzureClients, connection: str) -> SdkBlobSource:
    from local.host.listeners.blob_sdk import SdkBlobSource  # noqa: PLC0415 -- 0.3 s, only for apps that listen

    return SdkBlobSource(clients.blobs(connection))


async def _answering(server: Server, serving: asyncio.Task[None]) -> None:
    """Return when the server answers, or raise why it does not."""
    answers = asyncio.create_task(server.answers.wait())
    await asyncio.wait([answers, serving], return_when=asyncio.FIRST_COMPLETED)
    answers.cancel()
    if serving.done():
        await serving
        raise RuntimeError("the HTTP server ended while it started")


async def _drain(tasks: Sequence[asyncio.Task[None]], seconds: float = _DRAIN_SECONDS) -> None:
    """Give what runs time to end, then cancel it, and leave behind what does not end even so."""
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        log.warning("%s did not end in %d s and is cancelled", task.get_name(), seconds)
        task.cancel()
    ended, left = await asyncio.wait(tasks, timeout=_CLEAN_UP_SECONDS)
    for task in left:
        log.warning("%s does not end and is left behind", task.get_name())
    for task in ended:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s: %s", type(error).__name__, error)


def _introduce(state: HostState) -> None:
    """List the functions as the Core Tools do."""
    lines = [f"{len(state.functions)} functions found ({os.getpid()})", "", "Functions:", ""]
    for function in state.functions:
        prefix = "" if isinstance(function.trigger, HttpTrigger) else f"{state.trigger_type(function)} "
        note = " (disabled)" if function.disabled else ""
        lines.append(f"\t{function.name}: {prefix}{state.address(function)}{note}")
    log.info("%s\n", "\n".join(lines))
