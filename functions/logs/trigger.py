"""Bind the shipping of logs, their index and the route that sums them up."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.logs.models import LogLineReply, LogQuery, LogSummaryReply, SummaryQuery
from functions.logs.retention import LogRetention
from functions.logs.service import LogIndex, LogService
from functions.logs.shipping import RUN_SECONDS, open_monitor, ship_in_background
from functions.logs.upkeep import LogStores, LogUpkeep
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.resilience.background import background_work
from shared.settings import read_trigger_settings
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the logs capability."""
    routes = Routes(runtime, "logs")
    runtime.begin_with(partial(ship_in_background, runtime))

    def logs(tenant: TenantContext) -> LogService:
        return LogService(tenant, runtime.container("log_index"), runtime.blobs, runtime.clock)

    @routes.get("v1/logs", min_role=Role.TENANT_ADMIN)
    async def list_log_lines(tenant: TenantContext, query: LogQuery) -> ListReply[LogLineReply]:
        """List the tenant's log lines, newest first.

        Lines are found once they are shipped and indexed, which takes a minute or two. A page reads 20
        shipped files at most: it may have fewer lines than asked for, or none, and a `next_cursor`.
        """
        return await logs(tenant).list_lines(query)

    @routes.get("v1/logs/summary", min_role=Role.TENANT_ADMIN)
    async def get_log_summary(tenant: TenantContext, query: SummaryQuery) -> LogSummaryReply:
        """Sum the tenant's log lines up by day.

        It counts the lines that were shipped and indexed, by level and event. Lines reach the index
        some minutes after they were written.
        """
        return await logs(tenant).summary(query)

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


def _open_index(runtime: "Runtime") -> LogIndex:
    retention = LogRetention.of(runtime.settings)
    return LogIndex(runtime.authenticator, runtime.container("log_index"), retention, runtime.clock)


def _open_upkeep(runtime: "Runtime") -> LogUpkeep:
    index = runtime.once(_open_index)
    stores = LogStores(runtime.blobs, runtime.container("log_index"), index)
    retention = LogRetention.of(runtime.settings)
    return LogUpkeep(runtime.tenants, runtime.authenticator, stores, retention, runtime.clock)
