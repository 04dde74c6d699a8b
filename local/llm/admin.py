"""`/_local`: what tests tell the model to do and ask it about. Without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.llm.keys import AcceptedKeys
from local.llm.limits import Limit
from local.llm.releases import Release
from local.llm.script import Fault, Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from local.llm.endpoint import Endpoint

PREFIX = "/_local"


class Deployment(BaseModel):
    """A model under a name of one's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str


def routes(endpoint: Endpoint) -> list[Route]:
    """Bind the routes to an endpoint."""
    deployments = endpoint.deployments

    def deploy(deployment: Deployment) -> None:
        deployments.put(deployment.name, deployment.model)

    scripts, faults, limits, served = endpoint.scripts, endpoint.faults, endpoint.limits, endpoint.served
    return [
        *_collection("answers", (Script, scripts.add), scripts.waiting, scripts.clear),
        *_collection("faults", (Fault, faults.add), faults.listed, faults.clear),
        *_collection("limits", (Limit, limits.put), limits.listed, limits.clear),
        *_collection("deployments", (Deployment, deploy), deployments.listed, deployments.clear),
        *_collection("keys", (AcceptedKeys, endpoint.keys.add), endpoint.keys.listed, endpoint.keys.clear),
        *_collection(
            "releases", (Release, endpoint.releases.put), endpoint.releases.listed, endpoint.releases.clear
        ),
        *_collection("served", None, served.listed, served.clear),
    ]


def _collection[T: BaseModel](
    name: str,
    taken: tuple[type[T], Callable[[T], None]] | None,
    listed: Callable[[], Any],
    clear: Callable[[], None],
) -> list[Route]:
    """Give the routes of one collection: POST adds, GET lists, DELETE takes all back."""

    async def post(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # A page of another origin cannot send JSON here without being asked first.
            return JSONResponse({"error": "Content-Type must be application/json"}, status_code=415)
        content = await request.body()
        assert taken is not None  # noqa: S101 - there is no POST without it, below
        kind, add = taken
        try:
            add(kind.model_validate_json(content))
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
            return JSONResponse({"error": "; ".join(wrong)}, status_code=400)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({name: listed()}, status_code=201)

    async def get(request: Request) -> Response:  # noqa: ARG001 - as Starlette calls it
        return JSONResponse(listed() if taken is None else {name: listed()})

    async def delete(request: Request) -> Response:  # noqa: ARG001 - as Starlette calls it
        clear()
        return JSONResponse(listed() if taken is None else {name: listed()})

    path = f"{PREFIX}/{name}"
    bound = [Route(path, get), Route(path, delete, methods=["DELETE"])]
    return bound if taken is None else [*bound, Route(path, post, methods=["POST"])]
