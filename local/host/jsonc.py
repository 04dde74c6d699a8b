"""JSON as Azure's tools read it: with comments and with commas before a closing bracket."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = r'("(?:\\.|[^"\\])*")'
_COMMENT = re.compile(_TEXT + r"|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(_TEXT + r"|,(?=\s*[}\]])", re.DOTALL)


def read_json(text: str, number: Callable[[str], object] | None = None) -> Any:  # noqa: ANN401  # any JSON
    """Read a file's text; `number` reads its numbers as they are written.

    Raises:
        ValueError: It is not JSON even so.
    """
    plain = _LAST_COMMA.sub(_blank, _COMMENT.sub(_blank, text.removeprefix("\ufeff")))
    return json.loads(plain, parse_int=number, parse_float=number)


def _blank(match: re.Match[str]) -> str:
    """Keep a text, and put blanks in the place of anything else, so that lines and columns stay."""
    return match[1] or re.sub(r"[^\r\n]", " ", match[0])
