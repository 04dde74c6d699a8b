"""Bind the route that asks for a purge, and the timer that carries purges out."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.purges.models import PurgeAcceptedReply
from functions.purges.purger import Purger
from functions.purges.service import PurgeService
from shared.http.inputs import IfMatch
from shared.http.models import TenantPath
from shared.http.routes import Routes
from shared.resilience.background import background_work
from shared.tenancy.context import PlatformContext, Role
from shared.tenancy.owned_data import open_owned_data

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the purges of tenants."""
    routes = Routes(runtime, "purges")

    @routes.delete("v1/tenants/{tenant_id}", min_role=Role.ADMIN, status=202)
    async def purge_tenant(
        platform: PlatformContext, path: TenantPath, if_match: IfMatch | None
    ) -> PurgeAcceptedReply:
        """Purge a tenant: remove all that it owns, in the background.

        It cannot be undone, and the id is never free again. The tenant's credentials are refused from now on.
        `GET /tenants/{tenant_id}` shows the progress, with the counts of what is left as the proof; asking
        for the purge again shows it too. Messages that were already sent to outgoing queues are their
        receivers' and stay.
        """
        service = PurgeService(platform, runtime.tenants, runtime.purges, runtime.audit)
        return await service.request(path.tenant_id, if_match)

    @routes.blueprint.timer_trigger(arg_name="timer", schedule="%TENANT_PURGE_SCHEDULE%")
    async def go_on_purging(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Go on with every purge that is not over."""
        purger = Purger(
            runtime.purges,
            runtime.tenants,
            partial(open_owned_data, runtime.container, runtime.blob_container),
            runtime.audit,
            runtime.clock,
            runtime.settings.purge_settle_seconds,
        )
        with background_work():
            await purger.run()

    return routes.blueprint
