"""Bind the shipping of logs, their index and the route that sums them up."""

import asyncio
from typing import TYPE_CHECKING

import azure.functions as func

from functions.logs.models import LogSummaryReply, SummaryQuery
from functions.logs.service import LogIndex, LogService
from functions.logs.shipper import LogShipper
from shared.http.routes import Routes
from shared.logging.configure import current_file
from shared.logging.files import instance_name
from shared.resilience.background import background_work
from shared.settings import read_trigger_settings
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the logs capability."""
    routes = Routes(runtime, "logs")

    @routes.get("v1/logs/summary", min_role=Role.TENANT_ADMIN)
    async def get_log_summary(tenant: TenantContext, query: SummaryQuery) -> LogSummaryReply:
        """Sum the tenant's log lines up by day.

        It counts the lines that were shipped and indexed, by level. Lines reach the index some minutes after
        they were written.
        """
        return await LogService(tenant, runtime.container("log_index"), runtime.clock).summary(query)

    @routes.blueprint.timer_trigger(arg_name="timer", schedule="%LOG_SHIP_SCHEDULE%")
    async def ship_logs(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Ship this worker's log lines and every rotated file of its folder."""
        directory = runtime.settings.log_dir
        if directory is None:
            return
        file = current_file()
        if file is not None:
            await asyncio.to_thread(file.rotate)
        shipper = LogShipper(
            directory, runtime.blobs, runtime.clock, instance_name(), runtime.purges.is_taken
        )
        with background_work():
            await shipper.ship()

    @routes.blueprint.blob_trigger(
        arg_name="blob",
        path="%LOGS_CONTAINER%/{tenant}/{day}/{name}",
        connection="STORAGE",
        source=func.BlobSource(read_trigger_settings().blob_trigger_source),
    )
    async def index_logs(blob: func.InputStream) -> None:
        """Index one shipped file."""
        index = LogIndex(runtime.authenticator, runtime.container("log_index"), runtime.clock)
        with background_work():
            await index.add(blob.name or "", blob.read())

    return routes.blueprint
