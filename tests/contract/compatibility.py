"""Find what in a new contract breaks those who hold on to the old one.

Two directions: what callers send (`SENT`) may only be accepted more widely, what they get (`GOT`) may only be
promised more narrowly. What is not understood counts as breaking when it changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

type Json = dict[str, Any]

_PARAMETERS = "parameters"
_UPPER_LIMITS = ("maxLength", "maximum", "exclusiveMaximum", "maxItems")
_LOWER_LIMITS = ("minLength", "minimum", "exclusiveMinimum", "minItems")
_EXACT = ("type", "const", "pattern", "format")


class Direction(StrEnum):
    """Which way a value goes."""

    SENT = "sent"
    GOT = "got"


@dataclass(frozen=True, slots=True)
class Schemas:
    """The named schemas of both contracts, to resolve references with."""

    old: Json
    new: Json


def breaking_api_changes(old: Json, new: Json) -> list[str]:
    """Compare two OpenAPI documents; each entry says what breaks, and where."""
    schemas = Schemas(old["components"]["schemas"], new["components"]["schemas"])
    found: list[str] = []
    for path, operations in old["paths"].items():
        for method, operation in operations.items():
            place = f"{method.upper()} {path}"
            changed = new["paths"].get(path, {}).get(method)
            if changed is None:
                found.append(f"{place}: is gone")
            else:
                found += [f"{place}: {change}" for change in _operation_changes(operation, changed, schemas)]
    return found


def breaking_message_changes(old: Json, new: Json) -> list[str]:
    """Compare two sets of message schemas, each `{queue: {"direction": ..., "schema": ...}}`."""
    found: list[str] = []
    for queue, message in old.items():
        if queue not in new:
            found.append(f"{queue}: is gone")
            continue
        schemas = Schemas(message["schema"].get("$defs", {}), new[queue]["schema"].get("$defs", {}))
        changes = _schema_changes(
            message["schema"], new[queue]["schema"], Direction(message["direction"]), schemas
        )
        found += [f"{queue}: {change}" for change in changes]
    return found


_ROLES = [None, "user", "tenant_admin", "admin"]
"""The roles that a route may demand, the least first: whoever was let in goes on to be let in."""


def _operation_changes(old: Json, new: Json, schemas: Schemas) -> Iterator[str]:
    if old["operationId"] != new["operationId"]:
        yield f"its operationId became {new['operationId']}"
    if _ROLES.index(new.get("x-role")) > _ROLES.index(old.get("x-role")):
        yield f"its role changed from {old.get('x-role')} to {new.get('x-role')}"
    yield from _parameter_changes(old, new, schemas)
    old_body, new_body = _content(old.get("requestBody")), _content(new.get("requestBody"))
    if old_body is None and new_body is not None:
        yield "it wants a body now"
    if old_body is not None and new_body is not None:
        yield from _schema_changes(old_body, new_body, Direction.SENT, schemas, "body")
    for status, answer in old["responses"].items():
        changed = new["responses"].get(status)
        if changed is None:
            if status.startswith("2"):
                yield f"it answers {status} no more"
            continue
        before, after = _content(answer), _content(changed)
        if before is not None and after is None:
            yield f"{status} has no content any more"
        elif before is not None and after is not None:
            yield from _schema_changes(before, after, Direction.GOT, schemas, f"{status}")


def _parameter_changes(old: Json, new: Json, schemas: Schemas) -> Iterator[str]:
    before = {(parameter["in"], parameter["name"]): parameter for parameter in old[_PARAMETERS]}
    after = {(parameter["in"], parameter["name"]): parameter for parameter in new[_PARAMETERS]}
    for key, parameter in before.items():
        if key not in after:
            yield f"parameter {key[1]} is gone"
            continue
        if after[key]["required"] and not parameter["required"]:
            yield f"parameter {key[1]} is required now"
        was, becomes = _without_null(parameter["schema"]), _without_null(after[key]["schema"])
        yield from _schema_changes(was, becomes, Direction.SENT, schemas, f"parameter {key[1]}")
    for key in after.keys() - before.keys():
        if after[key]["required"]:
            yield f"parameter {key[1]} is new and required"


def _without_null(schema: Json) -> Json:
    """Leave null out of a parameter's schema: it cannot be sent as a text."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**schema, **kinds[0], "anyOf": ()}


def _content(holder: Json | None) -> Json | None:
    content: Json | None = ((holder or {}).get("content") or {}).get("application/json", {}).get("schema")
    return content


def _schema_changes(  # noqa: PLR0913, PLR0917  # a recursion carries its place and its trail
    old: Json,
    new: Json,
    direction: Direction,
    schemas: Schemas,
    place: str = "",
    seen: frozenset[str] = frozenset(),
) -> Iterator[str]:
    reference = old.get("$ref")
    if reference in seen:
        return
    if reference is not None:
        seen |= {reference}
    old, new = _resolved(old, schemas.old), _resolved(new, schemas.new)
    yield from (f"{place}: {change}" for change in _limit_changes(old, new, direction))
    yield from _variant_changes(old, new, direction, place)
    for variant, other in _pairs_of_named_variants(old, new):
        yield from _schema_changes(variant, other, direction, schemas, place, seen)
    properties, changed = old.get("properties", {}), new.get("properties", {})
    for name, schema in properties.items():
        inner = f"{place}.{name}".lstrip(".")
        if name not in changed:
            yield f"{inner}: is gone"
        else:
            yield from _schema_changes(schema, changed[name], direction, schemas, inner, seen)
    required, wanted = set(old.get("required", ())), set(new.get("required", ()))
    tightened = wanted - required if direction is Direction.SENT else required - wanted
    word = "is required now" if direction is Direction.SENT else "is not promised any more"
    yield from (f"{place}.{name}: {word}".lstrip(".") for name in sorted(tightened))
    if "items" in old and "items" in new:
        yield from _schema_changes(old["items"], new["items"], direction, schemas, f"{place}[]", seen)


def _limit_changes(old: Json, new: Json, direction: Direction) -> Iterator[str]:
    for keyword in _EXACT:
        if old.get(keyword) != new.get(keyword) and not _widened(keyword, old, new, direction):
            yield f"{keyword} changed from {old.get(keyword)} to {new.get(keyword)}"
    if direction is Direction.GOT:
        return
    for keyword in _UPPER_LIMITS:
        if keyword in new and new[keyword] < old.get(keyword, float("inf")):
            yield f"{keyword} fell from {old.get(keyword)} to {new[keyword]}"
    for keyword in _LOWER_LIMITS:
        if keyword in new and new[keyword] > old.get(keyword, float("-inf")):
            yield f"{keyword} rose from {old.get(keyword)} to {new[keyword]}"


def _widened(keyword: str, old: Json, new: Json, direction: Direction) -> bool:
    """Tell whether a constraint was dropped for what is sent, or added to what is got."""
    if keyword == "type":
        return False
    return keyword not in (new if direction is Direction.SENT else old)


def _variant_changes(old: Json, new: Json, direction: Direction, place: str) -> Iterator[str]:
    before, after = old.get("enum", [old["const"]] if "const" in old else None), new.get("enum")
    if direction is Direction.SENT and after is not None:
        lost = [value for value in before or () if value not in after]
        if lost or before is None:
            yield f"{place}: takes {lost or 'some values'} no more"
    old_kinds, new_kinds = _kinds(old), _kinds(new)
    lost_kinds = old_kinds - new_kinds if direction is Direction.SENT else new_kinds - old_kinds
    if lost_kinds:
        word = "takes" if direction is Direction.SENT else "may now be"
        yield f"{place}: {word} {', '.join(sorted(lost_kinds))}" + (" no more" if word == "takes" else "")


def _pairs_of_named_variants(old: Json, new: Json) -> list[tuple[Json, Json]]:
    """Pair the named schemas among the variants, by their order: a name is nothing on the wire."""
    before, after = ([kind for kind in schema.get("anyOf", ()) if "$ref" in kind] for schema in (old, new))
    return list(zip(before, after, strict=False))


def _kinds(schema: Json) -> set[str]:
    variants = schema.get("anyOf", ())
    named = sum("$ref" in kind for kind in variants)
    plain = {str(kind.get("type") or kind) for kind in variants if "$ref" not in kind}
    return plain | {f"a named schema ({number})" for number in range(named)}


def _resolved(schema: Json, named: Json) -> Json:
    reference = schema.get("$ref")
    return schema if reference is None else named[reference.rpartition("/")[2]]
