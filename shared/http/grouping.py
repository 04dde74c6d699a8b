"""Grouping: the parameter of a query that names, with commas between them, what sums are grouped by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.validation import refuse_value, text_pattern

if TYPE_CHECKING:
    from enum import StrEnum


def grouping_pattern(kind: type[StrEnum]) -> str:
    """Return the pattern of the parameter: up to all of the dimensions."""
    names = "|".join(kind)
    return text_pattern(f"^({names})(,({names})){{0,{len(kind) - 1}}}$", _describe(kind))


def read_dimensions[D: StrEnum](group_by: str, kind: type[D]) -> list[D]:
    """Return the dimensions that the parameter names, each once, in its order.

    Raises:
        PydanticCustomError: It names what is none, or more than there are.
    """
    names = group_by.split(",")
    if len(names) > len(kind) or not set(names) <= set(kind):
        raise refuse_value(f"must be {_describe(kind)}")
    return [kind(name) for name in dict.fromkeys(names)]


def _describe(kind: type[StrEnum]) -> str:
    return f"up to {len(kind)} of {', '.join(kind)}, with commas between them"
