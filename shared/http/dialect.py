"""Dialect of a group of routes: the form of their refusals, and of the streams that they answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ValidationError
from shared.http.error_reply import ErrorReply, render_error
from shared.http.responses import JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from pydantic import BaseModel

    from shared.errors import APIError
    from shared.http.responses import HttpResponse

VERSION = "v1"
"""The version of this API, with which the paths of all routes but the open ones begin."""

_STREAM = (
    "One server-sent event, where the body, or the Accept header of a GET, asks for a stream. The last is"
    " `done` with the JSON of a plain answer, or `error` with that of a refusal; a comment comes after 15 s"
    " of silence. Repeated under its Idempotency-Key, it is the last event alone."
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Form of a group of routes' refusals and streams; everything else is the same for all routes.

    Attributes:
        refusal: The model of a refusal's body.
        render: Renders a refusal, which was dated and has the request's id.
        invalid: The status of a request that is not valid.
        failure_event: The name of the event that tells of a stream's failure; empty for one without a name.
        describe_events: Describes one event of a stream, by the schemas of a plain answer and of a refusal.
        list_suffix: The end of a query parameter's name that is given once for each of several values, which
            the route is told with commas between them; empty where none is.
        families: First parts, behind the version, of its paths that other programs call: an unknown one of
            them is refused in this form, too.
    """

    refusal: type[BaseModel]
    render: Callable[[APIError, datetime, str], HttpResponse]
    invalid: int
    failure_event: str
    describe_events: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
    list_suffix: str = ""
    families: frozenset[str] = frozenset()

    def has_path(self, path: str) -> bool:
        """Tell whether a path below the app's prefix is one of its own, with a route or without one."""
        version, _, rest = path.partition("/")
        return version == VERSION and rest.partition("/")[0] in self.families


def _describe_events(reply: dict[str, Any], refusal: dict[str, Any]) -> dict[str, Any]:
    """Describe one event of a stream."""
    last: Mapping[str, dict[str, Any]] = {"done": reply, "error": refusal}
    kinds = [_describe_event({"const": name}, {"contentSchema": schema}) for name, schema in last.items()]
    other = _describe_event({"type": "string", "not": {"enum": list(last)}}, {})
    return {"description": _STREAM, "anyOf": [other, *kinds]}


def _describe_event(name: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    data = {"type": "string", "contentMediaType": JSON, **content}
    return {"type": "object", "required": ["event", "data"], "properties": {"event": name, "data": data}}


OWN = Dialect(ErrorReply, render_error, ValidationError.status, "error", _describe_events)
"""The dialect of all routes that declare no other one."""
