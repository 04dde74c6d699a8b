"""JSON values: what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def texts_within(value: object) -> Iterator[str]:
    """Give each text in a piece of JSON, its members' names left out; the caller has bounded its depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from texts_within(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from texts_within(member)
