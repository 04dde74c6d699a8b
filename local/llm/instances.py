"""Values that validate against a JSON schema: made up, plainly so, and the same for the same seed."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import jsonschema

from local.llm.cues import choose, write_text
from local.llm.patterns import UnmatchableError, matching
from local.llm.strict import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHALLOW = 3
"""Below so many references, nothing is made up that does not have to be: recursive schemas end."""
_DEEPEST = 24
_ITEMS = 2
_SPAN = 100
_MOST = 10_000
"""So long a text or array a schema may demand."""
_FORMATS = {
    "date-time": "2026-01-31T10:30:00Z",
    "date": "2026-01-31",
    "time": "10:30:00Z",
    "duration": "PT1H",
    "email": "stand-in@example.com",
    "hostname": "stand-in.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/stand-in",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class NoInstanceError(ValueError):
    """No value was found for a schema."""


def instance(schema: Mapping[str, Any], seed: str, said: str = "") -> Any:  # noqa: ANN401 - any JSON
    """Make up a value that validates.

    Args:
        schema: The schema.
        seed: What chooses where nothing else does.
        said: What the value is about: of what a schema offers, it is what this speaks for.

    Raises:
        NoInstanceError: The schema is broken, or contradicts itself, or is beyond what this knows.
    """
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        made = _Maker(schema, seed, said).make(schema, ("answer",), 0)
        jsonschema.Draft202012Validator(schema).validate(made)
    except jsonschema.SchemaError as error:
        raise NoInstanceError(f"it is no JSON schema: {error.message}") from error
    except jsonschema.ValidationError as error:
        raise NoInstanceError(f"what was made up for it does not validate: {error.message}") from error
    except (UnmatchableError, RecursionError) as error:
        raise NoInstanceError(str(error)) from error
    return made


class _Maker:
    def __init__(self, root: Mapping[str, Any], seed: str, said: str) -> None:
        self._root = root
        self._seed = seed
        self._said = said

    def make(self, schema: Mapping[str, Any] | bool, path: tuple[str, ...], depth: int) -> Any:  # noqa: ANN401, FBT001 - any JSON; true and false are schemas
        if isinstance(schema, bool):
            return f"stand-in {path[-1]}"
        if depth > _DEEPEST:
            raise NoInstanceError("it refers to itself without an end")
        schema, depth = self._whole(schema, depth)
        if any(schema.get(keyword, 0) > _MOST for keyword in ("minItems", "minLength", "minProperties")):
            raise NoInstanceError(f"it asks for more than {_MOST} of something")
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            meant = choose(schema["enum"], self._said)
            return schema["enum"][self._pick(path, len(schema["enum"]))] if meant is None else meant
        for keyword in ("anyOf", "oneOf"):
            if schema.get(keyword):
                rest = {name: value for name, value in schema.items() if name != keyword}
                chosen = self._branch(schema[keyword], path, depth)
                return self.make(_merged(rest, chosen), path, depth)
        return self._of_type(self._type(schema, path, depth), schema, path, depth)

    def _whole(self, schema: Mapping[str, Any], depth: int) -> tuple[Mapping[str, Any], int]:
        """Follow references and merge what all has to hold; each reference is one step deeper."""
        while "$ref" in schema or "allOf" in schema:
            whole = {name: value for name, value in schema.items() if name not in {"$ref", "allOf"}}
            parts = list(schema.get("allOf", ()))
            if "$ref" in schema:
                depth += 1
                target = resolve(self._root, schema["$ref"])
                if target is None or depth > _DEEPEST:
                    raise NoInstanceError(f"{schema['$ref']!r} leads to no definition in it")
                parts.insert(0, target)
            for part in parts:
                whole = (
                    whole if part is True else _merged(whole, part if isinstance(part, dict) else {"not": {}})
                )
            schema = whole
        return schema, depth

    def _branch(
        self, choices: Sequence[Mapping[str, Any] | bool], path: tuple[str, ...], depth: int
    ) -> Mapping[str, Any]:
        usable = [choice for choice in choices if isinstance(choice, dict)]
        if depth >= _SHALLOW:
            # Those that lead nowhere deeper, where there are any.
            usable = [choice for choice in usable if '"$ref"' not in json.dumps(choice)] or usable
        if not usable:
            raise NoInstanceError("one of its choices has no schema")
        return usable[self._pick(path, len(usable))]

    def _type(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            if depth >= _SHALLOW and "null" in kind:
                return "null"
            return str(kind[self._pick(path, len(kind))])
        if isinstance(kind, str):
            return kind
        if "properties" in schema or "additionalProperties" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _of_type(self, kind: str, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> Any:  # noqa: ANN401 - any JSON
        match kind:
            case "object":
                return self._object(schema, path, depth)
            case "array":
                return self._array(schema, path, depth)
            case "string":
                return self._string(schema, path)
            case "integer" | "number":
                return self._number(schema, path, whole=kind == "integer")
            case "boolean":
                return self._pick(path, 2) == 0
            case _:
                return None

    def _object(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        names = [name for name in properties if name in required or depth < _SHALLOW]
        names += [name for name in required if name not in properties]
        more = schema.get("additionalProperties", True)
        while len(names) < schema.get("minProperties", 0) or (not names and isinstance(more, dict)):
            names.append(f"stand_in_{len(names) + 1}")
        return {name: self.make(properties.get(name, more), (*path, name), depth) for name in names}

    def _array(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        first = schema.get("prefixItems", [])
        wanted = max(least, len(first)) if depth >= _SHALLOW else max(least, len(first), _ITEMS)
        length = int(min(wanted, most))
        kinds = [*first, *[schema.get("items", True)] * length][:length]
        made: list[Any] = []
        for index, kind in enumerate(kinds):
            item = self.make(kind, (*path, str(index + 1)), depth)
            if schema.get("uniqueItems") and item in made:
                item = self._another(kind, (*path, str(index + 1)), depth, made)
            made.append(item)
        return made

    def _another(self, kind: Any, path: tuple[str, ...], depth: int, made: list[Any]) -> Any:  # noqa: ANN401 - any JSON
        for attempt in range(_SPAN):
            item = self.make(kind, (*path, str(attempt)), depth)
            if item not in made:
                return item
        raise NoInstanceError("its items cannot differ")

    def _string(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if "pattern" in schema:
            return matching(str(schema["pattern"]), lambda text: least <= len(text) <= most)
        about = write_text(path[-1], self._said) or f"stand-in {' '.join(path[-2:])}"
        text = _FORMATS.get(str(schema.get("format")), about)
        if len(text) < least:
            text = (text + " ") * (least // (len(text) + 1) + 1)
            return str(text[: int(min(max(least, len(text.rstrip())), most))])
        return str(text[: int(min(len(text), most))])

    def _number(self, schema: Mapping[str, Any], path: tuple[str, ...], *, whole: bool) -> float:
        step = schema.get("multipleOf", 1 if whole else 0.5)
        low, high = _bounds(schema, step)
        least = math.ceil(low / step) if math.isfinite(low) else None
        most = math.floor(high / step) if math.isfinite(high) else None
        if least is None:
            least = 0 if most is None or most >= 0 else most - _SPAN
        span = _SPAN if most is None else max(0, min(_SPAN, most - least))
        chosen = (least + self._pick(path, span + 1)) * step
        # Between two narrow bounds there may be no multiple of the step that was ours to choose.
        if not whole and "multipleOf" not in schema and not low <= chosen <= high:
            return (low + high) / 2
        return int(chosen) if whole else float(chosen)

    def _pick(self, path: tuple[str, ...], count: int) -> int:
        digest = hashlib.sha256("\0".join((self._seed, *path)).encode()).digest()
        return int.from_bytes(digest[:8]) % count


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    nudge = step if step >= 1 else min(step, 1e-6)
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + nudge)
    if "exclusiveMaximum" in schema:
        high = min(high, schema["exclusiveMaximum"] - nudge)
    return low, high


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Join two schemas that both have to hold, as far as that can be done by name."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    if "allOf" in one and "allOf" in other:
        merged["allOf"] = [*one["allOf"], *other["allOf"]]
    return merged
