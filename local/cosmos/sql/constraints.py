"""What a filter pins down: the values that a property must have for an item to pass.

A filter is read as alternatives, each a map from property path to the one value that it demands. From them
the engine sees whether a query stays in one partition and which items it can look up instead of scanning.
The filter itself is still evaluated on each item, so an alternative may promise too little, never too much.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final

from local.cosmos.sql import tree
from local.cosmos.values import Value, deep_equal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

type Path = tuple[str, ...]
type Pins = dict[Path, Value]

MAX_ALTERNATIVES: Final = 2000
_UNPINNED: Final[list[Pins]] = [{}]
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def alternatives(where: tree.Node | None, alias: str, parameters: Mapping[str, Value]) -> list[Pins]:
    """Read a filter on the items called `alias` as alternatives.

    [{}] where it demands nothing that is understood.
    """
    return _UNPINNED if where is None else _read(where, alias, parameters)


def bounds(
    where: tree.Node | None, alias: str, parameters: Mapping[str, Value], path: Path
) -> tuple[str | None, str | None]:
    """Read between which texts, both included, a property must be for an item to pass; None is no bound."""
    low: str | None = None
    high: str | None = None
    for node in _conjuncts(where):
        if not isinstance(node, tree.Binary) or node.operator not in _MIRRORED:
            continue
        pins = _equality(node.left, node.right, alias, parameters)
        operator = node.operator
        if pins is None:
            pins, operator = _equality(node.right, node.left, alias, parameters), _MIRRORED[operator]
        text = None if pins is None else pins[0].get(path)
        if not isinstance(text, str):
            continue
        if operator in {">", ">="}:
            low = text if low is None else max(low, text)
        else:
            high = text if high is None else min(high, text)
    return low, high


def _conjuncts(node: tree.Node | None) -> Iterator[tree.Node]:
    match node:
        case None:
            return
        case tree.Group(inner):
            yield from _conjuncts(inner)
        case tree.Logical("AND", operands):
            for operand in operands:
                yield from _conjuncts(operand)
        case _:
            yield node


def _read(node: tree.Node, alias: str, parameters: Mapping[str, Value]) -> list[Pins]:
    match node:
        case tree.Group(inner):
            return _read(inner, alias, parameters)
        case tree.Logical("AND", operands):
            return reduce(_both, (_read(operand, alias, parameters) for operand in operands))
        case tree.Logical("OR", operands):
            either = [pins for operand in operands for pins in _read(operand, alias, parameters)]
            return either if len(either) <= MAX_ALTERNATIVES and all(either) else _UNPINNED
        case tree.Binary("=", left, right):
            return (
                _equality(left, right, alias, parameters)
                or _equality(right, left, alias, parameters)
                or _UNPINNED
            )
        case tree.InList(needle, choices, False):
            pins = [_equality(needle, choice, alias, parameters) for choice in choices]
            known = [pin for found in pins if found is not None for pin in found]
            return known if len(known) == len(pins) <= MAX_ALTERNATIVES else _UNPINNED
        case _:
            return _UNPINNED


def _equality(
    side: tree.Node, other: tree.Node, alias: str, parameters: Mapping[str, Value]
) -> list[Pins] | None:
    path = _path(side, alias)
    if path is None:
        return None
    match other:
        case tree.Constant(value):
            return [{path: value}]
        case tree.Parameter(name) if name in parameters:
            return [{path: parameters[name]}]
        case _:
            return None


def _path(node: tree.Node, alias: str) -> Path | None:
    steps: list[str] = []
    while isinstance(node, tree.Index):
        if not isinstance(node.index, tree.Constant) or not isinstance(node.index.value, str):
            return None
        steps.append(node.index.value)
        node = node.base
    return tuple(reversed(steps)) if steps and node == tree.Name(alias) else None


def _both(left: list[Pins], right: list[Pins]) -> list[Pins]:
    if len(left) * len(right) > MAX_ALTERNATIVES:
        return left if len(left) <= len(right) else right
    return [
        {**one, **other}
        for one in left
        for other in right
        if all(path not in one or deep_equal(one[path], value) for path, value in other.items())
    ]
