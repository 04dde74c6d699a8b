"""Redaction of credentials and of what identifies a person. Every logged string passes here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

type _Replacement = str | Callable[[re.Match[str]], str]

_NINE = 9

# Each pattern starts only where a run of its characters starts, or repeats within bounds: a hostile text
# takes linear time.
_API_KEY = re.compile(r"(?<![A-Za-z0-9])tk\.[A-Za-z0-9_.-]+")
_BEARER = re.compile(r"\b(bearer)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_JWT = re.compile(r"(?<![\w.-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_PROVIDERS_KEY = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}")
_SIGNING_SECRET = re.compile(r"(?<![A-Za-z0-9])whsec_[A-Za-z0-9_-]{16,}")
_URLS_PASSWORD = re.compile(r"(://[^/\s:@]{0,64}):[^/\s@]{1,256}@")
_SECRET_VALUE = re.compile(
    r"\b((?:account|sharedaccess|api|instrumentation)[ _-]?key"
    r"|sharedaccesssignature|sig|client_secret|password)"
    r"(\"?'?\s{0,3}[=:]\s{0,3}\"?'?)[^;&\s\"',}]+",
    re.IGNORECASE,
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"  # Amex, Diners, JCB
    r"|(?:50|5[6-9]|6\d)\d{11,17}"  # Maestro, Discover, UnionPay
)
"""Which numbers issuers give out: a time in milliseconds, or most ids, are none of them."""

_PHONE = re.compile(
    r"(?<![\w.:+-])(?:"
    # +49 151 2345678; with 00 only where it is divided, for ids are padded with zeros
    r"(?:\+[1-9]\d{0,2}|00[1-9]\d{0,2}[ ./-])(?:[ ./-]?\(?\d{1,5}\)?){2,6}"
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
    digits = match[0].replace(" ", "").replace("-", "")
    issued = _ISSUED.fullmatch(digits) is not None
    return "[card]" if issued and _passes_luhn([int(digit) for digit in digits]) else match[0]


def _passes_luhn(digits: list[int]) -> bool:
    doubled = (2 * digit for digit in digits[-2::-2])
    folded = sum(digit - _NINE if digit > _NINE else digit for digit in doubled)
    return (folded + sum(digits[::-2])) % 10 == 0


RULES: tuple[tuple[re.Pattern[str], _Replacement], ...] = (
    (_API_KEY, "[key]"),
    (_PROVIDERS_KEY, "[key]"),
    (_SIGNING_SECRET, "[secret]"),
    (_BEARER, r"\1 [token]"),
    (_JWT, "[token]"),
    (_URLS_PASSWORD, r"\1:[secret]@"),
    (_SECRET_VALUE, r"\1\2[secret]"),
    (_EMAIL, "[email]"),
    (_CARD, _card),
    (_PHONE, "[phone]"),
)


# Whatever a rule finds has one of these in it. Most texts have none, and every log line has several texts.
_WORTH_A_LOOK = re.compile(r"[@=:]|tk\.|sk-|whsec_|eyJ|bearer\s|\+\d|00\d|(?:\d\D{0,3}){6}\d", re.IGNORECASE)


def redact(text: str) -> str:
    """Replace what is secret or personal in a text."""
    if _WORTH_A_LOOK.search(text) is None:
        return text
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return text


def is_sensitive(name: str) -> bool:
    """Tell whether a field's name says that its value is a secret."""
    return _SENSITIVE_NAME.search(name) is not None
