"""Partial updates: add, set, replace, remove, incr and move on the properties of an item."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from local.cosmos.errors import CosmosError, bad_request
from local.cosmos.values import Json, JsonObject, normal_number

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OPERATIONS: Final = 10
_DOCS: Final = "Learn more: https://aka.ms/cosmosdbpatchdocs"
_SYSTEM: Final = frozenset({"id", "_rid", "_self", "_etag", "_ts", "_attachments"})

type Pointer = tuple[str, ...]


class PatchOperation(NamedTuple):
    """One step of a patch."""

    kind: str
    path: Pointer
    value: Json = None
    source: Pointer = ()


class Patch(NamedTuple):
    """A whole patch with the filter that the item has to pass."""

    operations: tuple[PatchOperation, ...]
    condition: str | None


def parse_patch(body: Json) -> Patch:
    """Read a patch's body.

    Raises:
        CosmosError: 400 where it is malformed, empty, too long, or touches what cannot be patched.
    """
    operations = body.get("operations") if isinstance(body, dict) else body
    condition = body.get("condition") if isinstance(body, dict) else None
    if not isinstance(operations, list) or not operations:
        raise bad_request(f"The patch has no operations. {_DOCS}")
    if len(operations) > MAX_OPERATIONS:
        raise bad_request(f"The number of patch operations can't exceed '{MAX_OPERATIONS}'. {_DOCS}")
    if condition is not None and not isinstance(condition, str):
        raise bad_request("The patch's condition has to be a string.")
    return Patch(tuple(_parse(number, entry) for number, entry in enumerate(operations, 1)), condition)


def _parse(number: int, entry: Json) -> PatchOperation:
    if not isinstance(entry, dict):
        raise _failed(number, "Operation", "is not an object.")
    op = entry.get("op")
    kind = _kind(op) if isinstance(op, str) else None
    if kind is None:
        raise bad_request(f"For Operation({number}): the operation {op!r} is not supported. {_DOCS}")
    if "value" not in entry and kind not in {"remove", "move"}:
        raise _failed(number, kind, "needs a value.")
    path = _pointer(number, kind, entry.get("path"))
    source = _pointer(number, kind, entry.get("from")) if kind == "move" else ()
    return PatchOperation(kind, path, entry.get("value"), source)


@lru_cache(maxsize=64)
def _kind(op: str) -> str | None:
    kind = op.lower().replace("increment", "incr")
    return kind if kind in _APPLY else None


def _pointer(number: int, kind: str, path: Json) -> Pointer:
    steps = _steps(path) if isinstance(path, str) else ()
    if not steps:
        raise _failed(number, kind, f"has the invalid path {path!r}.")
    if steps[0] in _SYSTEM:
        raise _failed(number, kind, f"cannot change the property '{steps[0]}'.")
    return steps


@lru_cache(maxsize=1024)
def _steps(path: str) -> Pointer:
    """Split a path; one that is malformed, or that of the whole item, has no steps."""
    if not path.startswith("/") or path == "/":
        return ()
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/"))


def _failed(number: int, kind: str, what: str) -> CosmosError:
    return bad_request(f"For Operation({number}): {kind.capitalize()} Operation {what} {_DOCS}")


class _NoPlaceError(Exception):
    """The path leads nowhere; the message says why."""


def apply_patch(item: JsonObject, patch: Patch) -> None:
    """Change an item as the patch says.

    Raises:
        CosmosError: 400 where an operation cannot be applied; the item is then half changed.
    """
    for number, operation in enumerate(patch.operations, 1):
        try:
            _APPLY[operation.kind](item, operation)
        except _NoPlaceError as error:
            raise _failed(number, operation.kind, str(error)) from None


def _parent(item: JsonObject, path: Pointer) -> JsonObject | list[Json]:
    if len(path) == 1:
        return item
    node: Json = item
    for depth, step in enumerate(path[:-1]):
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and (at := _position(step)) is not None and at < len(node):
            node = node[at]
        else:
            raise _NoPlaceError(
                "can only create a child object of an existing node(array or object) and cannot create path "
                f"recursively, no path found beyond: '/{'/'.join(path[:depth])}'."
            )
    if not isinstance(node, dict | list):
        raise _NoPlaceError(f"finds no object or array at '/{'/'.join(path[:-1])}'.")
    return node


def _position(step: str) -> int | None:
    return int(step) if step.isascii() and step.isdigit() and (step == "0" or step[0] != "0") else None


def _element(array: list[Json], step: str, *, past_end: bool) -> int:
    if step == "-" and past_end:
        return len(array)
    at = _position(step)
    if at is None or at > len(array) - (not past_end):
        raise _NoPlaceError(f"has the index '{step}' out of the array's bounds.")
    return at


def _add(item: JsonObject, operation: PatchOperation) -> None:
    parent, last = _parent(item, operation.path), operation.path[-1]
    if isinstance(parent, dict):
        parent[last] = operation.value
    else:
        parent.insert(_element(parent, last, past_end=True), operation.value)


def _set(item: JsonObject, operation: PatchOperation) -> None:
    parent, last = _parent(item, operation.path), operation.path[-1]
    if isinstance(parent, dict):
        parent[last] = operation.value
        return
    at = _element(parent, last, past_end=True)
    parent[at : at + 1] = [operation.value]


def _replace(item: JsonObject, operation: PatchOperation) -> None:
    parent, last = _parent(item, operation.path), operation.path[-1]
    if isinstance(parent, list):
        parent[_element(parent, last, past_end=False)] = operation.value
    elif last in parent:
        parent[last] = operation.value
    else:
        raise _NoPlaceError(
            f"can only replace an existing path, and '/{'/'.join(operation.path)}' does not exist."
        )


def _take(item: JsonObject, path: Pointer) -> Json:
    parent, last = _parent(item, path), path[-1]
    if isinstance(parent, list):
        return parent.pop(_element(parent, last, past_end=False))
    if last not in parent:
        raise _NoPlaceError(f"can only remove an existing path, and '/{'/'.join(path)}' does not exist.")
    return parent.pop(last)


def _remove(item: JsonObject, operation: PatchOperation) -> None:
    _take(item, operation.path)


def _increment(item: JsonObject, operation: PatchOperation) -> None:
    parent, last = _parent(item, operation.path), operation.path[-1]
    by = operation.value
    if isinstance(by, bool) or not isinstance(by, int | float):
        raise _NoPlaceError("needs a number as its value.")
    if isinstance(parent, list):
        at = _element(parent, last, past_end=False)
        parent[at] = _sum(parent[at], by)
    else:
        parent[last] = _sum(parent[last], by) if last in parent else by


def _sum(old: Json, by: float) -> Json:
    if isinstance(old, bool) or not isinstance(old, int | float):
        raise _NoPlaceError("can only increment a number.")
    total = normal_number(old + by)
    if not isinstance(total, int | float):
        raise _NoPlaceError("has a result that is no finite number.")
    return total


def _move(item: JsonObject, operation: PatchOperation) -> None:
    if operation.path[: len(operation.source)] == operation.source and operation.path != operation.source:
        raise _NoPlaceError("cannot move a path into its own child.")
    _parent(item, operation.path)
    value = _take(item, operation.source)
    _add(item, PatchOperation("add", operation.path, value))


_APPLY: Final[dict[str, Callable[[JsonObject, PatchOperation], None]]] = {
    "add": _add,
    "set": _set,
    "replace": _replace,
    "remove": _remove,
    "incr": _increment,
    "move": _move,
}
