"""Bind health, the OpenAPI document and the answer for unknown paths."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import azure.functions as func

from functions.ops.models import LiveReply, LogFileState, OpenApiReply, ReadyReply, UnknownPath
from functions.ops.service import HealthService
from shared.errors import RouteNotFoundError
from shared.http.examples import read_examples
from shared.http.openapi import build_openapi
from shared.http.responses import HtmlPage
from shared.http.routes import Routes
from shared.logging.configure import current_file
from shared.probes import probe_dependencies
from shared.resilience.deadlines import deadline
from shared.version import VERSION

if TYPE_CHECKING:
    from shared.runtime import Runtime

_DOCS = Path(__file__).with_name("docs.html")
_EXAMPLES = Path(__file__).with_name("examples.json")

_PROBE_SECONDS = 8.0


def _log_file_state() -> LogFileState:
    file = current_file()
    if file is None:
        return LogFileState.OFF
    return LogFileState.WRITTEN if file.failure is None else LogFileState.FAILING


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the operational routes; all of them are open."""
    routes = Routes(runtime, "ops")

    @routes.get("health/live", min_role=None)
    async def health_live() -> LiveReply:
        """Tell that the worker answers.

        It asks nothing else, so that a dependency's outage restarts nobody.
        """
        return LiveReply()

    @routes.get("health/ready", min_role=None, seconds=_PROBE_SECONDS + 2)
    async def health_ready() -> ReadyReply:
        """Tell whether each dependency answers, by name.

        Where one is down or not configured, the answer is a 503 whose `detail` has all of them. Each is asked
        with the cheapest call that proves it answers.
        """
        with deadline(_PROBE_SECONDS, runtime.clock):  # earlier than the route's, to name who did not answer
            probes = probe_dependencies(runtime)
            return await HealthService(probes, runtime.cache.counts, _log_file_state()).ready()

    @cache
    def document() -> OpenApiReply:
        examples = read_examples(_EXAMPLES).by_operation()
        return OpenApiReply.model_validate(build_openapi(runtime.routes, VERSION, examples))

    @routes.get("openapi.json", min_role=None)
    async def openapi() -> OpenApiReply:
        """Describe this API.

        It is an OpenAPI 3.1 document, built from the declarations that the app runs; its examples are
        requests that a test sends.
        """
        return document()

    @cache
    def page() -> HtmlPage:
        return HtmlPage(_DOCS.read_text())

    @routes.get("docs", min_role=None)
    async def docs() -> HtmlPage:
        """Show this API to people.

        The page reads `openapi.json` and loads nothing from elsewhere. An operation's id as the fragment
        opens it: `/api/docs#create_key`.
        """
        return page()

    @routes.catch_all("{*rest}")
    async def unknown_route(path: UnknownPath) -> None:
        """Answer what no other route does."""
        raise RouteNotFoundError(f"No route '/api/{path.rest}'", {"path": path.rest})

    return routes.blueprint
