"""Cosmos SQL whose field lists come from the models that read the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import BaseModel

WHOLE = "VALUE c"
"""Whole items, for those who must not lose what a newer release stored."""


def fields_of(*models: type[BaseModel]) -> str:
    """Return the fields of stored models as a query selects them, each once."""
    names = dict.fromkeys(
        field.alias or name for model in models for name, field in model.model_fields.items()
    )
    return name_fields(names)


def name_fields(names: Collection[str]) -> str:
    """Return names of fields as a query selects them; they are the app's own, no caller's."""
    return ", ".join(f"c.{name}" for name in names)


def select(what: str | type[BaseModel], *, where: str = "", order_by: str = "") -> str:
    """Return the text of a query over `c`.

    Args:
        what: The model that reads the answer, or what to select. No part of the text comes from a caller:
            values are parameters.
        where: The condition, or nothing for all.
        order_by: The order, or nothing for any.
    """
    fields = what if isinstance(what, str) else fields_of(what)
    parts = ["SELECT", fields, "FROM c"]
    if where:
        parts += ["WHERE", where]
    if order_by:
        parts += ["ORDER BY", order_by]
    return " ".join(parts)
