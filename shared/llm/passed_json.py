"""JSON that is passed on: read and written by pydantic's own reader, at less than half of the library's cost.

That one takes no half of a character, which a provider may send in a part of a stream: then the library does.
"""

from __future__ import annotations

import json

from pydantic_core import PydanticSerializationError, from_json, to_json


def read_passed_json(content: bytes) -> object:
    """Read JSON.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deep.
    """
    try:
        return from_json(content)
    except ValueError:
        return json.loads(content)


def write_passed_json(value: object) -> str:
    """Write JSON, without blanks."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:
        return json.dumps(value, separators=(",", ":"))
