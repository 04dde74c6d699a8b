"""Request paths as Kestrel and ASP.NET read them: escapes, segments, and what counts as the same literal."""

from __future__ import annotations

import codecs
import re

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SLASH = re.compile("(%2f)", re.IGNORECASE)
_UPPER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_LEFT_ESCAPED = "tenantry_left_escaped"


def fold(text: str) -> str:
    """Fold the case of ASCII letters and of nothing else: the Kelvin sign is no `k`."""
    return text.translate(_UPPER)


def split_path(path: str) -> list[str]:
    """Return the decoded segments of a raw path.

    An escaped slash stays as it was sent, in its segment, and so do bytes that are no UTF-8: Kestrel decodes
    neither.
    """
    text = path.strip("/")
    if not text:
        return []
    parts = text.split("/")
    return [_ESCAPES.sub(_decode_run, part) for part in parts] if "%" in text else parts


def _decode_run(match: re.Match[str]) -> str:
    pieces = _SLASH.split(match[0])
    # The odd pieces are the escaped slashes.
    return "".join(piece if index % 2 else _decode(piece) for index, piece in enumerate(pieces))


def _decode(escapes: str) -> str:
    return bytes.fromhex(escapes.replace("%", "")).decode("utf-8", _LEFT_ESCAPED)


def _leave_escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in wrong), error.end


codecs.register_error(_LEFT_ESCAPED, _leave_escaped)
