"""What must never reach a log: credentials and what identifies a person. Every string passes here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

type _Replacement = str | Callable[[re.Match[str]], str]

_SHORTEST_CARD = 13
_NINE = 9

# Each pattern starts only where a run of its characters starts, or repeats within bounds: a hostile text
# takes linear time.
_API_KEY = re.compile(r"(?<![A-Za-z0-9])tk\.[A-Za-z0-9_.-]+")
_BEARER = re.compile(r"\b(bearer)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\b((?:account|sharedaccess|api)[ _-]?key|sharedaccesssignature|sig|client_secret|password)"
    r"(\"?'?\s{0,3}[=:]\s{0,3}\"?'?)[^;&\s\"',}]+",
    re.IGNORECASE,
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w.:+-])(?:"
    r"(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}"  # +49 151 2345678
    r"|\(\d{3}\) ?\d{3}[ .-]?\d{4}"  # (555) 123-4567
    r"|\d{3}[ .-]\d{3}[ .-]\d{4}"  # 555-123-4567
    r"|0\d{2,5}[ /-]\d{5,10}"  # 0151 2345678
    r")(?![\w-])"
)

_SENSITIVE_NAME = re.compile(
    r"(?:^|[_.-])(?:password|secret|authorization|cookie|api[_-]?key|access[_-]?key|account[_-]?key|token|credential"
    r"|connection[_-]?string)$",
    re.IGNORECASE,
)


def _card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match[0] if character.isdigit()]
    return "[card]" if len(digits) >= _SHORTEST_CARD and _passes_luhn(digits) else match[0]


def _passes_luhn(digits: list[int]) -> bool:
    doubled = (2 * digit for digit in digits[-2::-2])
    folded = sum(digit - _NINE if digit > _NINE else digit for digit in doubled)
    return (folded + sum(digits[::-2])) % 10 == 0


_RULES: tuple[tuple[re.Pattern[str], _Replacement], ...] = (
    (_API_KEY, "[key]"),
    (_BEARER, r"\1 [token]"),
    (_SECRET_VALUE, r"\1\2[secret]"),
    (_EMAIL, "[email]"),
    (_CARD, _card),
    (_PHONE, "[phone]"),
)


def redact(text: str) -> str:
    """Replace what is secret or personal in a text."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def is_sensitive(name: str) -> bool:
    """Tell whether a field's name says that its value is a secret."""
    return _SENSITIVE_NAME.search(name) is not None
