"""The same note, taken by a bare function with FastAPI types and by a route behind the edge.

Everything is the app's own but the store, which is in memory: authentication answers from its cache anyway.
"""

import json
from typing import TYPE_CHECKING

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response
from pydantic import Field

from functions.keys.trigger import blueprint as keys
from functions.tenants.trigger import blueprint as tenants
from shared.clock import SystemClock
from shared.http.models import PathModel, QueryModel, ReplyModel, RequestModel
from shared.http.routes import Routes
from shared.logging.configure import configure_logging
from shared.runtime import Runtime
from shared.settings import LoggingSettings, Settings
from shared.tenancy.context import Role, TenantContext
from tests.support.memory_cosmos import MemoryCosmos
from tests.support.whole_app import ENVIRONMENT

if TYPE_CHECKING:
    from shared.cosmos.container import Container


class NotePath(PathModel):
    """Which note."""

    note_id: str = Field(pattern=r"^[a-z]+$")


class NoteQuery(QueryModel):
    """How much of it."""

    limit: int = Field(10, ge=1, le=100)


class NoteRequest(RequestModel):
    """A note."""

    text: str = Field(min_length=1)
    stars: int = 0


class NoteReply(ReplyModel):
    """What became of it."""

    note_id: str
    text: str
    stars: int


def _start() -> Settings:
    configure_logging(LoggingSettings())
    return Settings.model_validate(ENVIRONMENT)


class MemoryRuntime(Runtime):
    """The composition root over a store in memory, on the machine's clock."""

    def __init__(self) -> None:
        super().__init__(_start, SystemClock())
        self._memory = MemoryCosmos(SystemClock())

    def container(self, name: str) -> "Container":
        return self._memory.container(name)


runtime = MemoryRuntime()
routes = Routes(runtime, "notes")


@routes.post("v1/notes/{note_id}", min_role=Role.USER)
async def take_note(tenant: TenantContext, path: NotePath, query: NoteQuery, note: NoteRequest) -> NoteReply:
    """Take a note."""
    return NoteReply(note_id=path.note_id, text=note.text, stars=note.stars)


app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(tenants(runtime))
app.register_functions(keys(runtime))
app.register_functions(routes.blueprint)


@app.route(route="bare/{note_id}", methods=["POST"])
async def bare(req: Request) -> Response:
    """Take a note, checking nothing."""
    note = json.loads(await req.body())
    reply = {"note_id": req.path_params["note_id"], "text": note["text"], "stars": note["stars"]}
    return Response(json.dumps(reply), media_type="application/json")
