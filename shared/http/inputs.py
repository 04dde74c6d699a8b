"""Inputs of a handler, read off its signature by their types."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import TYPE_CHECKING, Any, NewType, get_args

from pydantic import BaseModel

from shared.http.models import PathModel, QueryModel
from shared.tenancy.context import PlatformContext, TenantContext

if TYPE_CHECKING:
    from collections.abc import Mapping

IfMatch = NewType("IfMatch", str)
"""The If-Match header: the ETag of the state that is to be changed."""

OperationId = NewType("OperationId", str)
"""The id that an Idempotency-Key stands for, the same for the same key of the same caller on the same route.
A handler stores it with the effect, to find that again after a crash."""

LastEventId = NewType("LastEventId", str)
"""The Last-Event-ID header: the id of the last event that the client of a stream has got."""

IfNoneMatch = NewType("IfNoneMatch", str)
"""The If-None-Match header: the ETags of what the client has already."""

AcceptsGzip = NewType("AcceptsGzip", bool)
"""Whether the Accept-Encoding header admits gzip; None where it does not."""

ArrivedAt = NewType("ArrivedAt", float)
"""When the request came in, on the monotonic side of the app's clock; every request has it."""

WantsEvents = NewType("WantsEvents", bool)
"""Whether the Accept header names `text/event-stream`; None where it does not."""

WantsLines = NewType("WantsLines", bool)
"""Whether the Accept header names `application/x-ndjson`; None where it does not."""

PATH_PARAMETER = re.compile(r"\{\*?([A-Za-z_]+)[^}]*\}")

_ALLOWED = (
    "a TenantContext, a PlatformContext or the union of both; a PathModel; a QueryModel; one body, which is a"
    " RequestModel or as strict as one; IfMatch | None; OperationId | None; LastEventId | None;"
    " WantsEvents | None; WantsLines | None; IfNoneMatch | None; AcceptsGzip | None; ArrivedAt"
)


class RouteDeclarationError(TypeError):
    """The declaration of a route contradicts itself; raised while the app is being imported."""

    def __init__(self, handler: str, problem: str) -> None:
        super().__init__(f"{handler}: {problem}")


class InputSource(StrEnum):
    """Part of a request that an argument is filled from."""

    CALLER = "caller"
    PATH = "path"
    QUERY = "query"
    BODY = "body"
    IF_MATCH = "if_match"
    OPERATION_ID = "operation_id"
    LAST_EVENT_ID = "last_event_id"
    WANTS_EVENTS = "wants_events"
    WANTS_LINES = "wants_lines"
    IF_NONE_MATCH = "if_none_match"
    ACCEPTS_GZIP = "accepts_gzip"
    ARRIVED_AT = "arrived_at"


_BY_KINDS: dict[frozenset[Any], InputSource] = {
    frozenset({TenantContext}): InputSource.CALLER,
    frozenset({PlatformContext}): InputSource.CALLER,
    frozenset({TenantContext, PlatformContext}): InputSource.CALLER,
    frozenset({IfMatch, NoneType}): InputSource.IF_MATCH,
    frozenset({OperationId, NoneType}): InputSource.OPERATION_ID,
    frozenset({LastEventId, NoneType}): InputSource.LAST_EVENT_ID,
    frozenset({WantsEvents, NoneType}): InputSource.WANTS_EVENTS,
    frozenset({WantsLines, NoneType}): InputSource.WANTS_LINES,
    frozenset({IfNoneMatch, NoneType}): InputSource.IF_NONE_MATCH,
    frozenset({AcceptsGzip, NoneType}): InputSource.ACCEPTS_GZIP,
    frozenset({ArrivedAt}): InputSource.ARRIVED_AT,
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Arguments of one handler, and the models that are read and checked for it.

    Attributes:
        arguments: The name of the argument that each part of a request fills; only what the handler takes.
        callers: The contexts that the handler can work for.
        path: The model of the path's parameters; None where the path has none.
        query: The model of the query; None where none is taken.
        body: The model of the body; None where none is read.
    """

    arguments: Mapping[InputSource, str]
    callers: frozenset[type]
    path: type[PathModel] | None = None
    query: type[QueryModel] | None = None
    body: type[BaseModel] | None = None

    def takes(self, source: InputSource) -> bool:
        """Tell whether the handler has an argument for this part of a request."""
        return source in self.arguments

    def models(self) -> list[type[BaseModel]]:
        """Return the model of each part that is checked."""
        return [model for model in (self.path, self.query, self.body) if model is not None]

    def bind(self, values: Mapping[InputSource, object]) -> dict[str, object]:
        """Return the handler's arguments by name."""
        return {name: values[source] for source, name in self.arguments.items()}


def read_inputs(
    name: str, signature: inspect.Signature, path: str, path_model: type[PathModel] | None = None
) -> Inputs:
    """Read a handler's inputs off its signature.

    Args:
        name: The handler's name.
        signature: Its signature; the annotations are types.
        path: The route's path, with `{parameters}`.
        path_model: The model of its parameters, for a handler that does not take them.

    Raises:
        RouteDeclarationError: An argument is of no type that the edge can fill, there are two of one kind, or
            the path's model has not the path's parameters.
    """
    arguments: dict[InputSource, str] = {}
    models: dict[InputSource, Any] = {}
    callers: frozenset[type] = frozenset({TenantContext, PlatformContext})
    for parameter in signature.parameters.values():
        source = _find_source(parameter.annotation)
        if source is None:
            written = inspect.formatannotation(parameter.annotation)
            raise RouteDeclarationError(
                name, f"the edge cannot fill '{parameter.name}: {written}'; allowed are {_ALLOWED}"
            )
        if source in arguments:
            raise RouteDeclarationError(
                name, f"'{arguments[source]}' and '{parameter.name}' are both {source}"
            )
        arguments[source] = parameter.name
        if source is InputSource.CALLER:
            callers = _kinds(parameter.annotation)
        elif source in {InputSource.PATH, InputSource.QUERY, InputSource.BODY}:
            models[source] = parameter.annotation
    inputs = Inputs(
        arguments,
        callers,
        _path_model(models.get(InputSource.PATH), path_model, name),
        models.get(InputSource.QUERY),
        models.get(InputSource.BODY),
    )
    _check_path(inputs.path, path, name)
    return inputs


def _find_source(annotation: object) -> InputSource | None:
    if (source := _BY_KINDS.get(_kinds(annotation))) is not None:
        return source
    if not isinstance(annotation, type) or not issubclass(annotation, BaseModel):
        return None
    if issubclass(annotation, PathModel):
        return InputSource.PATH
    if issubclass(annotation, QueryModel):
        return InputSource.QUERY
    return InputSource.BODY if _is_strict(annotation) else None


def _kinds(annotation: object) -> frozenset[Any]:
    """Return the alternatives of a union, or the one type that it is."""
    return frozenset(get_args(annotation) or (annotation,))


def _is_strict(model: type[BaseModel]) -> bool:
    """Tell whether a body's model is as strict as a `RequestModel`; the domain's own drafts are."""
    config = model.model_config
    return config.get("extra") == "forbid" and bool(config.get("strict")) and bool(config.get("frozen"))


def _path_model(
    taken: type[PathModel] | None, declared: type[PathModel] | None, name: str
) -> type[PathModel] | None:
    if taken is None:
        return declared
    if declared not in {None, taken}:
        raise RouteDeclarationError(name, f"takes a {taken.__name__}, and declares another path")
    return taken


def _check_path(model: type[PathModel] | None, path: str, name: str) -> None:
    parameters = set(PATH_PARAMETER.findall(path))
    fields = set() if model is None else {field.alias or key for key, field in model.model_fields.items()}
    if parameters != fields:
        raise RouteDeclarationError(
            name, f"the path has the parameters {sorted(parameters)}, its model {sorted(fields)}"
        )
