"""Bind the routes of the catalogue of models, and the timer that tells of retirements."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.model_catalogue.models import ModelPageQuery, ModelPath, ModelReply, PutModelRequest
from functions.model_catalogue.retirements import warn_of_retirements
from functions.model_catalogue.service import CatalogueService
from shared.http.inputs import IfMatch
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.llm.catalogue_store import CatalogueStore
from shared.resilience.background import background_work
from shared.tenancy.context import PlatformContext, Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the catalogue of models."""
    routes = Routes(runtime, "models")

    def service(caller: TenantContext | PlatformContext) -> CatalogueService:
        store = CatalogueStore(runtime.container("tenants"), runtime.clock)
        return CatalogueService(caller, runtime.models, store, runtime.audit, runtime.clock)

    @routes.get("v1/model-catalogue", min_role=Role.USER)
    async def list_models(
        caller: TenantContext | PlatformContext, query: ModelPageQuery
    ) -> ListReply[ModelReply]:
        """List the models.

        A tenant sees those that it may use (setting `models.allowed`), the administrator all of them, and
        where they are called. They are sorted by name; what is changed elsewhere shows within 15 seconds.
        """
        return await service(caller).list(query)

    @routes.put("v1/model-catalogue/{*name}", min_role=Role.ADMIN)
    async def put_model(
        caller: TenantContext | PlatformContext,
        path: ModelPath,
        model: PutModelRequest,
        if_match: IfMatch | None,
    ) -> ModelReply:
        """Store a model.

        The entry replaces the one of its name as a whole, the setting's and the packaged one too. It is in
        force within 15 seconds everywhere. A slash in its name is written as it is, or as `%2F`.
        """
        return await service(caller).put(path.name, model, if_match)

    @routes.delete("v1/model-catalogue/{*name}", min_role=Role.ADMIN)
    async def delete_model(
        caller: TenantContext | PlatformContext, path: ModelPath, if_match: IfMatch | None
    ) -> None:
        """Remove a stored model.

        The setting's or the packaged entry of its name holds again; where there is none, bots with this model
        answer 409. A model that is not stored is a 404: `enabled: false` takes a packaged one out of use.
        """
        await service(caller).remove(path.name, if_match)

    _bind_retirements(runtime, routes.blueprint)
    return routes.blueprint


def _bind_retirements(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    @blueprint.timer_trigger(arg_name="timer", schedule="0 30 6 * * *")
    async def warn_of_model_retirements(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Tell of the models in use that retire within 90 days."""
        with background_work():
            await warn_of_retirements(runtime.models, runtime.clock)
