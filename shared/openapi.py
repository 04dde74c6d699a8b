"""The OpenAPI document, from the same declarations that the edge runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic.json_schema import models_json_schema

from shared.answers import ErrorReply
from shared.http import VersionedReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Literal

    from pydantic import BaseModel

    from shared.http import Route

_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{\*?([A-Za-z_]+)[^}]*\}")
_REFUSALS = {
    400: "The body is not JSON",
    401: "No key, or not a valid one",
    403: "The role may not do this",
    404: "Nothing is there, or it is another tenant's",
    409: "It contradicts what is stored",
    412: "If-Match names another state",
    413: "The body is too large",
    422: "A field is invalid; the answer names it",
    429: "Over a limit; Retry-After says when to come back",
    500: "A defect",
    503: "A dependency is down; Retry-After says when to come back",
    504: "A dependency did not answer in time",
}
_OPEN = (422, 500, 503, 504)
_AUTHENTICATED = (401, 403, 404, 422, 429, 500, 503, 504)
_WITH_BODY = (400, 409, 413)


def build_openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Describe the routes as an OpenAPI 3.1 document, in a stable order."""
    shown = sorted((route for route in routes if route.documented), key=lambda r: (r.path, r.method))
    models = sorted(_models(shown), key=_model_name)
    generated, definitions = models_json_schema([*models], ref_template=_REFERENCE)
    schemas = {(model, mode): generated[model, mode] for model, mode in models}
    paths: dict[str, Any] = {}
    for route in shown:
        path = "/api/" + _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas, definitions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tenantry", "version": version},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(definitions.get("$defs", {}).items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


type _Mode = Literal["validation", "serialization"]
type _Schemas = Mapping[tuple[type[BaseModel], _Mode], dict[str, Any]]


def _models(routes: Iterable[Route]) -> set[tuple[type[BaseModel], _Mode]]:
    models: set[tuple[type[BaseModel], _Mode]] = {(ErrorReply, "serialization")}
    for route in routes:
        models.update((model, "validation") for model in route.inputs.values())
        if route.reply is not None:
            models.add((route.reply, "serialization"))
    return models


def _model_name(entry: tuple[type[BaseModel], _Mode]) -> tuple[str, str]:
    return entry[0].__name__, entry[1]


def _operation(route: Route, schemas: _Schemas, definitions: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": _parameters(route, schemas, definitions),
        "responses": _responses(route, schemas),
    }
    if route.who is not None:
        operation["security"] = [{"key": []}]
        operation["x-role"] = route.who
    if route.body is not None:
        schema = schemas[route.body[1], "validation"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _parameters(route: Route, schemas: _Schemas, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    for where in ("path", "query"):
        model = route.inputs.get(where)
        if model is None:
            continue
        reference = schemas[model, "validation"]["$ref"].rpartition("/")[2]
        schema = definitions["$defs"][reference]
        parameters += [
            {
                "name": name,
                "in": where,
                "required": where == "path" or name in schema.get("required", ()),
                "schema": properties,
            }
            for name, properties in schema["properties"].items()
        ]
    if route.takes_if_match:
        parameters.append(_header("If-Match", "The ETag of the state to change"))
    if route.who is not None and not route.platform:
        parameters.append(_header("X-Tenant-Id", "The tenant that the platform's administrator acts for"))
    if route.repeatable:
        parameters.append(
            _header(
                "Idempotency-Key", "Repeated with the same key, the request is answered as it was at first"
            )
        )
    return parameters


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success"}
    if route.reply is not None:
        success["content"] = {"application/json": {"schema": schemas[route.reply, "serialization"]}}
        if issubclass(route.reply, VersionedReply):
            success["headers"] = {"ETag": {"schema": {"type": "string"}}}
    refusals = set(_OPEN if route.who is None else _AUTHENTICATED)
    if route.body is not None:
        refusals.update(_WITH_BODY)
    if route.takes_if_match:
        refusals.add(412)
    if route.repeatable:
        refusals.add(409)
    error = {"application/json": {"schema": schemas[ErrorReply, "serialization"]}}
    described = {
        str(status): {"description": _REFUSALS[status], "content": error} for status in sorted(refusals)
    }
    for status, meaning in route.also.items():
        described[str(status)] = _as_well(described.get(str(status)), success | {"description": meaning})
    return {str(route.status): success} | described


def _as_well(refusal: dict[str, Any] | None, reply: dict[str, Any]) -> dict[str, Any]:
    """Describe a status that the route's own reply and the edge's refusal share."""
    if refusal is None or "content" not in reply:
        return reply
    both = [answer["content"]["application/json"]["schema"] for answer in (reply, refusal)]
    return reply | {"content": {"application/json": {"schema": {"anyOf": both}}}}
