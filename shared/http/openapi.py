"""OpenAPI document, built from the same declarations that the edge runs."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic.json_schema import models_json_schema

from shared.errors import ValidationError
from shared.http.descriptions import DescribedJsonSchema, describe_operation
from shared.http.inputs import PATH_PARAMETER, InputSource
from shared.http.models import AcceptedReply, RequestModel, VersionedReply
from shared.http.responses import JSON
from shared.http.streaming import EVENT_STREAM, LINE_STREAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Literal

    from pydantic import BaseModel

    from shared.errors import JsonValue
    from shared.http.examples import RecordedExample
    from shared.http.route import Route

_REFERENCE = "#/components/schemas/{model}"
_REFUSALS = {
    400: "The body is not JSON",
    401: "No key, or not a valid one",
    403: "The role may not do this",
    404: "Nothing is there, or it is another tenant's",
    408: "The body did not come in time",
    409: "It contradicts what is stored, or is still running under the same Idempotency-Key",
    412: "If-Match names another state",
    413: "The body has more bytes than `x-bounds` tells",
    422: "A field is invalid, which the answer names, or the body or the answer is beyond `x-bounds`",
    429: "Over a limit; Retry-After says when to come back",
    500: "A defect",
    503: "A dependency is down; Retry-After says when to come back",
    504: "A dependency did not answer in time",
}
_ADDRESS_TOO_LONG = 414
_OPEN = (422, 500, 503, 504)
_AUTHENTICATED = (401, 403, 404, 422, 429, 500, 503, 504)
_WITH_BODY = (400, 408, 413)
_COME_BACK = frozenset({409, 429, 503, 504})
_UNAUTHORISED = 401
_HEADER_TEXT = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?$",  # HTTP takes the spaces around it away
}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The caller's, if it sent a valid one",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    },
    "X-RateLimit-Limit": {
        "description": "Requests per minute",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Remaining": {
        "description": "How many more requests are admitted at once",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "Seconds until all of them are again",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Retry-After": {
        "description": "Seconds after which to come back",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {"description": "The state that is answered", "schema": {"type": "string"}},
    "Location": {
        "description": "Where to look for what was accepted",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "WWW-Authenticate": {
        "description": "The scheme that a credential is sent in",
        "required": True,
        "schema": {"const": "Bearer"},
    },
}
_NO_EXAMPLES: Mapping[str, RecordedExample] = MappingProxyType({})
_LINES = (
    "A JSON object per line, where the Accept header asks for it: the items of all pages. Empty lines keep"
    " the stream alive. Where its time is over before, the last line is an object with `next_cursor` alone;"
    " where it fails, one with `error`."
)
_COUNT = {"type": "integer", "minimum": 0}
_RATES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def build_openapi(
    routes: Sequence[Route], version: str, examples: Mapping[str, RecordedExample] = _NO_EXAMPLES
) -> dict[str, Any]:
    """Describe the routes as an OpenAPI 3.1 document, in a stable order.

    Args:
        routes: The app's routes.
        version: The app's version.
        examples: An example by operation; an operation without one is described without.
    """
    shown = sorted((route for route in routes if route.documented), key=lambda r: (r.path, r.method))
    models = sorted(_models(shown), key=_model_name)
    generated, definitions = models_json_schema(
        [*models], ref_template=_REFERENCE, schema_generator=DescribedJsonSchema
    )
    schemas = {(model, mode): generated[model, mode] for model, mode in models}
    paths: dict[str, Any] = {}
    for route in shown:
        path = "/api/" + PATH_PARAMETER.sub(r"{\1}", route.path)
        operation = _operation(route, schemas, definitions)
        if route.name in examples:
            _add_example(operation, examples[route.name], definitions)
        paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tenantry", "version": version},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(definitions.get("$defs", {}).items())),
            "headers": _HEADERS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


type _Mode = Literal["validation", "serialization"]
type _Schemas = Mapping[tuple[type[BaseModel], _Mode], dict[str, Any]]


def _models(routes: Iterable[Route]) -> set[tuple[type[BaseModel], _Mode]]:
    models: set[tuple[type[BaseModel], _Mode]] = set()
    for route in routes:
        models.add((route.dialect.refusal, "serialization"))
        models.update((model, "validation") for model in route.inputs.models())
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
        "description": describe_operation(route),
        "parameters": _parameters(route, schemas, definitions),
        "responses": _responses(route, schemas),
        "x-bounds": route.bounds.describe(has_body=route.inputs.body is not None),
    }
    if route.min_role is not None:
        operation["security"] = [{"key": []}]
        operation["x-role"] = route.min_role
    if route.inputs.body is not None:
        content = {JSON: {"schema": schemas[route.inputs.body, "validation"]}}
        operation["requestBody"] = {"required": True, "content": content | _whole_bodies(route.inputs.body)}
    return operation


def _whole_bodies(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Describe bodies of other types than JSON, each of which is one field of the model."""
    if not issubclass(model, RequestModel):
        return {}
    return {kind: {"schema": {"type": "string", "minLength": 1}} for kind in model.whole_bodies}


def _add_example(operation: dict[str, Any], example: RecordedExample, definitions: Mapping[str, Any]) -> None:
    """Show a recorded request and its answer in an operation."""
    for parameter in operation["parameters"]:
        named = parameter["schema"].get("$ref", "").rpartition("/")[2]
        schema = definitions["$defs"][named] if named else parameter["schema"]
        sent = example.find_parameter(parameter["in"], parameter["name"], schema)
        if sent is not None:
            parameter["example"] = sent
    if "requestBody" in operation:
        operation["requestBody"]["content"][JSON]["example"] = example.body
    for kind, media in operation["responses"][str(example.status)].get("content", {}).items():
        media["example"] = example.answer
        if kind == EVENT_STREAM:
            media["example"] = {"event": "done", "data": json.dumps(example.answer)}
        elif kind == LINE_STREAM:
            media["example"] = _write_lines(example.answer)


def _write_lines(answer: JsonValue) -> str:
    """Return the items of a page as JSON lines."""
    items = answer.get("items") if isinstance(answer, dict) else None
    return "".join(f"{json.dumps(item)}\n" for item in items) if isinstance(items, list) else ""


def _parameters(route: Route, schemas: _Schemas, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    for where, model in (("path", route.inputs.path), ("query", route.inputs.query)):
        if model is None:
            continue
        reference = schemas[model, "validation"]["$ref"].rpartition("/")[2]
        schema = definitions["$defs"][reference]
        parameters += [
            {
                "name": name,
                "in": where,
                "required": where == "path" or name in schema.get("required", ()),
                "description": properties.get("description", ""),
                "schema": _drop_null(
                    {key: value for key, value in properties.items() if key != "description"}
                ),
            }
            for name, properties in schema["properties"].items()
        ]
    if route.inputs.takes(InputSource.IF_MATCH):
        parameters.append(_header("If-Match", "The ETag of the state to change", _HEADER_TEXT))
    if route.inputs.takes(InputSource.LAST_EVENT_ID):
        described = "The id of the last event that came: a stream goes on after it"
        parameters.append(_header("Last-Event-ID", described, _HEADER_TEXT))
    if route.min_role is not None and route.serves_tenants:
        described = "The tenant that the platform's administrator acts for"
        parameters.append(_header("X-Tenant-Id", described, {"type": "string"}))
    if route.repeatable:
        described = "Repeated with the same key, the request is answered as it was at first"
        parameters.append(_header("Idempotency-Key", described, _HEADER_TEXT))
    return parameters


def _drop_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave null out of a parameter's schema: a text is never null, it is left out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1 or len(kinds) == len(schema["anyOf"]):
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf" and value is not None}
    return {**rest, **kinds[0]}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    error = {JSON: {"schema": schemas[route.dialect.refusal, "serialization"]}}
    described: dict[int, dict[str, Any]] = {
        status: {
            "description": _refusal(route, status),
            "headers": _headers(route, status),
            "content": error,
        }
        for status in sorted(_refusals(route))
    }
    if route.inputs.path is not None or route.inputs.query is not None:
        told = "The address is longer than the host reads, which answers this by itself"
        described[_ADDRESS_TOO_LONG] = {"description": told}
    success = _success(route, schemas)
    for status, meaning in route.extra_statuses.items():
        described[status] = _merge_refusal(described.get(status), success | {"description": meaning})
    return {str(route.status): success} | {str(status): answer for status, answer in described.items()}


def _success(route: Route, schemas: _Schemas) -> dict[str, Any]:
    headers = _headers(route, route.status)
    headers |= {
        name: {"description": told, "schema": _COUNT} for name, told in route.response_headers.items()
    }
    success: dict[str, Any] = {"description": "Success", "headers": headers}
    if route.media_type != JSON:
        success["content"] = {route.media_type: {"schema": {"type": "string"}}}
    elif route.reply is not None:
        success["content"] = {JSON: {"schema": schemas[route.reply, "serialization"]}}
        if issubclass(route.reply, VersionedReply):
            headers |= _refer_to_headers("ETag")
        if issubclass(route.reply, AcceptedReply):
            headers |= _refer_to_headers("Location")
    if route.streams:
        reply = success["content"][JSON]["schema"]
        refusal = schemas[route.dialect.refusal, "serialization"]
        if route.inputs.takes(InputSource.WANTS_LINES):
            success["content"][LINE_STREAM] = {"schema": {"type": "string", "description": _LINES}}
            return success
        success["content"][EVENT_STREAM] = {"schema": route.dialect.describe_events(reply, refusal)}
    return success


def _refusal(route: Route, status: int) -> str:
    """Describe a refusal; a dialect may have one status for all that is wrong with a request."""
    told = _REFUSALS[status]
    if status == route.dialect.invalid and status != ValidationError.status:
        return f"{told}, or: {_REFUSALS[ValidationError.status]}"
    return told


def _refusals(route: Route) -> set[int]:
    refusals = set(_OPEN if route.min_role is None else _AUTHENTICATED)
    if route.method != "GET":
        refusals.add(409)
    if route.inputs.body is not None:
        refusals.update(_WITH_BODY)
    if route.inputs.takes(InputSource.IF_MATCH):
        refusals.add(412)
    return refusals - {ValidationError.status} | {route.dialect.invalid}


def _headers(route: Route, status: int) -> dict[str, Any]:
    headers = _refer_to_headers("X-Request-Id")
    if status == _UNAUTHORISED:
        return headers | _refer_to_headers("WWW-Authenticate")
    # An error may come before the credential is known to be valid: then there is no rate to tell.
    if route.min_role is not None and status < 500:  # noqa: PLR2004  # the server's errors
        headers |= _refer_to_headers(*_RATES)
    if status in _COME_BACK:
        headers |= _refer_to_headers("Retry-After")
    return headers


def _refer_to_headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _merge_refusal(refusal: dict[str, Any] | None, reply: dict[str, Any]) -> dict[str, Any]:
    """Describe a status that the route's own reply and the edge's refusal share."""
    if refusal is None or "content" not in reply:
        return reply
    both = [answer["content"][JSON]["schema"] for answer in (reply, refusal)]
    headers = reply["headers"] | refusal["headers"]
    return reply | {"headers": headers, "content": {JSON: {"schema": {"anyOf": both}}}}
