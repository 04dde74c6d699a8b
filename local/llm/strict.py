"""Rules of a JSON schema that an answer is to keep to strictly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.llm.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOT_PERMITTED = (
    "allOf",
    "oneOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "patternProperties",
    "unevaluatedProperties",
    "propertyNames",
    "uniqueItems",
    "contains",
)
_MOST_DEPTH = 64

type _Path = tuple[str, ...]


def check_strict(schema: Mapping[str, Any], about: str, param: str, code: str | None = None) -> None:
    """Demand OpenAI's subset: closed objects whose properties are all required, and only its keywords.

    Args:
        schema: The schema.
        about: Whose it is, in the message's words.
        param: Where it stands in the request.
        code: The error's code.

    Raises:
        RefusedError: It is outside the subset; the message says where.
    """

    def refused(what: str) -> RefusedError:
        return RefusedError(f"Invalid schema for {about}: {what}", param, code)

    if schema.get("type") != "object" or "anyOf" in schema:
        got = json.dumps(schema.get("type"))
        raise refused(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {got}'.")
    for path, part in _parts(schema, ()):
        if len(path) > _MOST_DEPTH:
            raise refused(f"In context={path!r}, the schema is nested too deeply.")
        what = _wrong(part, schema)
        if what is not None:
            raise refused(f"In context={path!r}, {what}")


def _wrong(part: Mapping[str, Any], root: Mapping[str, Any]) -> str | None:
    for keyword in _NOT_PERMITTED:
        if keyword in part:
            return f"'{keyword}' is not permitted."
    if "$ref" in part and resolve(root, part["$ref"]) is None:
        return f"reference can only point to definitions in the schema: {part['$ref']!r}."
    if part.get("type") == "object" or "properties" in part:
        return _wrong_object(part)
    if part.get("type") == "array" and "items" not in part:
        return "array schema missing items."
    if not part.keys() & {"type", "anyOf", "$ref", "enum", "const"}:
        return "schema must have a 'type' key."
    return None


def _wrong_object(part: Mapping[str, Any]) -> str | None:
    if part.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    properties, required = part.get("properties", {}), part.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return "'properties' has to be an object and 'required' an array."
    for name in properties:
        if name not in required:
            return (
                "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{name}'."
            )
    for name in required:
        if name not in properties:
            return f"'required' includes '{name}', which is not a key in properties."
    return None


def resolve(root: Mapping[str, Any], reference: object) -> Mapping[str, Any] | None:
    """Give what a reference points to inside of a schema."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        if not isinstance(found, dict):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, dict) else None


def _parts(schema: Mapping[str, Any], path: _Path) -> Iterator[tuple[_Path, Mapping[str, Any]]]:
    """Give a schema and all schemas inside of it, each with its place; references are not followed."""
    yield path, schema
    if len(path) > _MOST_DEPTH:
        return
    for keyword in ("properties", "$defs", "definitions"):
        named = schema.get(keyword)
        for name, part in named.items() if isinstance(named, dict) else ():
            if isinstance(part, dict):
                yield from _parts(part, (*path, keyword, name))
    items = schema.get("items")
    if isinstance(items, dict):
        yield from _parts(items, (*path, "items"))
    choices = schema.get("anyOf")
    for index, part in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(part, dict):
            yield from _parts(part, (*path, "anyOf", str(index)))
