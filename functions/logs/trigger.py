"""Bind the shipping of logs, their index and the route that sums them up."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.logs.call_models import (
    CallQuery,
    CallReply,
    CallSummaryQuery,
    CallSummaryReply,
    RequestCallsReply,
    RequestPath,
)
from functions.logs.calls import CallService
from functions.logs.content_models import CallContentReply, ContentQuery
from functions.logs.contents import ContentRetention, ContentService
from functions.logs.models import (
    LogLineReply,
    LogQuery,
    LogSummaryReply,
    LogTailQuery,
    LogTailReply,
    SummaryQuery,
)
from functions.logs.repository import ManifestRepository
from functions.logs.retention import LogRetention
from functions.logs.search import LogSearch
from functions.logs.service import LogIndex, LogService
from functions.logs.shipping import RUN_SECONDS, open_monitor, ship_in_background
from functions.logs.stream_places import StreamPlaces
from functions.logs.tail import LogTail
from functions.logs.upkeep import LogStores, LogUpkeep, UpkeepRetention
from shared.http.inputs import LastEventId, WantsEvents, WantsLines
from shared.http.paging import ListReply
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.http.streaming import LINES, EventStream
from shared.resilience.background import background_work
from shared.settings import read_trigger_settings
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the logs capability."""
    routes = Routes(runtime, "logs")
    runtime.begin_with(partial(ship_in_background, runtime))

    _bind_reading(routes, runtime)
    _bind_calls(routes.speaking(routes.dialect, "calls"), runtime)

    @routes.blueprint.timer_trigger(arg_name="timer", schedule="%LOG_SHIP_SCHEDULE%")
    async def ship_logs(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Ship this worker's log lines, and those of its folder that nobody else ships."""
        monitor = runtime.once(open_monitor)
        if monitor is not None:
            with background_work():
                await monitor.scan()
                await monitor.drain(RUN_SECONDS)

    @routes.blueprint.blob_trigger(
        arg_name="blob",
        path="%LOGS_CONTAINER%/{tenant}/{day}/{name}",
        connection="STORAGE",
        source=func.BlobSource(read_trigger_settings().blob_trigger_source),
    )
    async def index_logs(blob: func.InputStream) -> None:
        """Index one shipped file."""
        with background_work():
            await runtime.once(_open_index).add(blob.name or "", blob.read())

    @routes.blueprint.timer_trigger(arg_name="timer", schedule="0 17 * * * *")
    async def tidy_logs(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Remove what is kept no longer, and index what no event told of."""
        with background_work():
            await runtime.once(_open_upkeep).run()

    return routes.blueprint


def _bind_reading(routes: Routes, runtime: "Runtime") -> None:
    def logs(tenant: TenantContext) -> LogService:
        return LogService(tenant, runtime.container("log_index"), runtime.blobs, runtime.clock)

    @routes.get("v1/logs", min_role=Role.TENANT_ADMIN, seconds=LONGEST_ANSWER_SECONDS)
    async def list_log_lines(
        tenant: TenantContext, query: LogQuery, wants_lines: WantsLines | None
    ) -> ListReply[LogLineReply] | EventStream[ListReply[LogLineReply]]:
        """List the tenant's log lines, newest first.

        Lines are found once they are shipped and indexed, which takes a minute or two. A page reads 20
        shipped files at most: it may have fewer lines than asked for, or none, and a `next_cursor`. With
        `Accept: application/x-ndjson` all lines come, from the cursor on, each as a line of JSON; after 170 s
        the last one is an object with a `next_cursor` to go on with.
        """
        if wants_lines:
            lines = logs(tenant).stream_lines(query)
            return EventStream(runtime.once(_open_places).bind(tenant, lines), form=LINES)
        return await logs(tenant).list_lines(query)

    @routes.get("v1/logs/tail", min_role=Role.TENANT_ADMIN, seconds=LONGEST_ANSWER_SECONDS)
    async def tail_log(
        tenant: TenantContext,
        query: LogTailQuery,
        wants_events: WantsEvents | None,
        last_event_id: LastEventId | None,
    ) -> LogTailReply | EventStream[LogTailReply]:
        """Show what arrived of the tenant's log, or follow it.

        Lines arrive when their instance ships them: up to a minute after they were written, and some seconds
        for the index; `delay_seconds` tells. With `Accept: text/event-stream` an event `start` comes at once,
        then each line as an event `line`, and `done` after 170 s: ask again then, with Last-Event-ID or
        `after`, which reach back for an hour. A tenant has four such streams on an instance at a time.
        """
        manifests = ManifestRepository(tenant, runtime.container("log_index"))
        tail = LogTail(tenant, manifests, LogSearch(manifests, runtime.blobs), runtime.clock)
        if wants_events:
            lines = tail.follow(query, last_event_id)
            return EventStream(runtime.once(_open_places).bind(tenant, lines))
        return await tail.look(query)

    @routes.get("v1/logs/summary", min_role=Role.TENANT_ADMIN)
    async def get_log_summary(tenant: TenantContext, query: SummaryQuery) -> LogSummaryReply:
        """Sum the tenant's log lines up by day.

        It counts the lines that were shipped and indexed, by level and event. Lines reach the index
        some minutes after they were written.
        """
        return await logs(tenant).summary(query)


def _bind_calls(routes: Routes, runtime: "Runtime") -> None:
    def calls(tenant: TenantContext) -> CallService:
        manifests = ManifestRepository(tenant, runtime.container("log_index"))
        return CallService(tenant, manifests, runtime.blobs, runtime.clock)

    @routes.get("v1/calls", min_role=Role.TENANT_ADMIN)
    async def list_calls(tenant: TenantContext, query: CallQuery) -> ListReply[CallReply]:
        """List the tenant's model calls, the last that ended first.

        They are log lines, found once these are shipped and indexed; what an instance that is lost had not
        shipped is missing. `GET /usage` is the authority for tokens and cost.
        """
        return await calls(tenant).list_calls(query)

    @routes.get("v1/calls/summary", min_role=Role.TENANT_ADMIN)
    async def get_call_summary(tenant: TenantContext, query: CallSummaryQuery) -> CallSummaryReply:
        """Sum the tenant's model calls up, with quantiles of their times.

        It counts the calls whose log lines were shipped and indexed.
        """
        return await calls(tenant).summary(query)

    @routes.get("v1/calls/{request_id}", min_role=Role.TENANT_ADMIN)
    async def get_request_calls(tenant: TenantContext, path: RequestPath) -> RequestCallsReply:
        """Show the way of one request of the last 31 days, with the times of its steps.

        Steps are its log lines: the request at the edge, its turn, its model calls with the ledger's part and
        the deployments'. A request whose lines are not shipped yet is not found.
        """
        return await calls(tenant).show_request(path.request_id)

    @routes.get("v1/calls/{request_id}/content", min_role=Role.TENANT_ADMIN)
    async def get_call_content(
        tenant: TenantContext, path: RequestPath, query: ContentQuery
    ) -> ListReply[CallContentReply]:
        """Show what the model calls of one request of the last 31 days said.

        It is there where the setting `logs.keep_content` was on, at once, for as long as the tenant's log
        lines, or its conversations where that is shorter. Each reading is in the tenant's audit trail.
        """
        service = ContentService(tenant, runtime.content_blobs, runtime.audit, runtime.clock)
        return await service.show(path.request_id, query)


def _open_places(runtime: "Runtime") -> StreamPlaces:
    return StreamPlaces(runtime.clock, runtime.authenticator.check_in_force)


def _open_index(runtime: "Runtime") -> LogIndex:
    retention = LogRetention.of(runtime.settings)
    return LogIndex(runtime.authenticator, runtime.container("log_index"), retention, runtime.clock)


def _open_upkeep(runtime: "Runtime") -> LogUpkeep:
    index = runtime.once(_open_index)
    stores = LogStores(runtime.blobs, runtime.container("log_index"), index, runtime.content_blobs)
    logs = LogRetention.of(runtime.settings)
    retention = UpkeepRetention(logs, ContentRetention(logs, runtime.tenant_settings))
    return LogUpkeep(runtime.tenants, runtime.authenticator, stores, retention, runtime.clock)
