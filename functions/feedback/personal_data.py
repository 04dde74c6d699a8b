"""Personal data in a text, found by patterns and check digits, and put out of sight.

All of it is linear in the text: each pattern looks at a bounded number of characters from each place, and
numbers are read in windows of at most seven groups of digits.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from functions.feedback.check_digits import iban_length, is_iban, passes_luhn
from functions.feedback.national_ids import DigitGroups, find_lettered_ids, is_national_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class PersonalDataKind(StrEnum):
    """Kind of personal data."""

    EMAIL = "email"
    PHONE = "phone"
    IBAN = "iban"
    CARD = "card"
    NATIONAL_ID = "national_id"
    NAME = "name"
    ADDRESS = "address"
    OTHER = "other"

    @property
    def mask(self) -> str:
        """Return the word that stands in its place."""
        return f"[{self.value.replace('_', ' ')}]"


class PersonalDataSpan(NamedTuple):
    """A place in a text that holds personal data."""

    start: int
    end: int
    kind: PersonalDataKind


@dataclass(frozen=True, slots=True)
class MaskedText:
    """A text whose personal data was put out of sight, and the kinds that it had."""

    text: str
    kinds: frozenset[PersonalDataKind]


_MOST_GROUPS = 7
_MOST_DIGITS = 19
_FEWEST_DIGITS = 8
_LONGEST_GAP = 3
_CONTEXT = 40
_INTERNATIONAL = range(8, 16)
"""Digits of a telephone number with its country (ITU-T E.164)."""
_NATIONAL = range(8, 14)
_AMERICAN_SIZES = {(3, 3, 4), (1, 3, 3, 4)}
_AMERICAN_DIGITS = 10
_CARD_DIGITS = range(13, 20)

_EMAIL = re.compile(r"(?<![\w.%+'-])[\w.%+'-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}+")
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")
_DIGITS = re.compile(r"[0-9]+")
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
_DATE_SIZES = {(1, 1, 4), (1, 2, 4), (2, 1, 4), (2, 2, 4), (2, 2, 2), (4, 2, 2)}
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d)\d{12}|35\d{14}|62\d{14,17}",
    re.ASCII,
)
"""Beginnings and lengths of payment cards by their networks (ISO/IEC 7812-1)."""

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))


def find_personal_data(text: str) -> list[PersonalDataSpan]:
    """Return where a text holds personal data, in order; no two places overlap."""
    plain = _spell_plainly(text)
    found = [
        *_find_emails(plain),
        *_find_ibans(plain),
        *(PersonalDataSpan(*span, PersonalDataKind.NATIONAL_ID) for span in find_lettered_ids(plain)),
        *_find_numbers(plain),
    ]
    spans: list[PersonalDataSpan] = []
    for span in sorted(found, key=lambda one: (one.start, -one.end)):
        if not spans or span.start >= spans[-1].end:
            spans.append(span)
        elif span.end > spans[-1].end:  # nothing of either may be left
            spans[-1] = spans[-1]._replace(end=span.end)
    return spans


def mask_personal_data(text: str) -> MaskedText:
    """Put the personal data of a text out of sight; invisible characters inside of it do not hide it."""
    text = text.translate(_INVISIBLE)
    spans = find_personal_data(text)
    parts: list[str] = []
    at = 0
    for span in spans:
        parts += (text[at : span.start], span.kind.mask)
        at = span.end
    return MaskedText("".join((*parts, text[at:])), frozenset(span.kind for span in spans))


def mask_quotes(text: str, quotes: Iterable[tuple[str, PersonalDataKind]]) -> str:
    """Put words out of sight where they stand as words of their own, in whatever case; the longest first."""
    for quote, kind in sorted(quotes, key=lambda one: -len(one[0])):
        text = _word(quote).sub(kind.mask, text)
    return text


def has_quote(text: str, quote: str) -> bool:
    """Tell whether words stand in a text as words of their own, in whatever case."""
    return _word(quote).search(text) is not None


def remove_masks(text: str) -> str:
    """Return a text without the words that stand in the place of personal data."""
    for kind in PersonalDataKind:
        text = text.replace(kind.mask, " ")
    return text


def _word(quote: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(quote)}(?!\w)", re.IGNORECASE)


def _spell_plainly(text: str) -> str:
    """Write digits, signs and dashes of all scripts as ASCII has them; no character changes its place."""
    if text.isascii():
        return text
    return "".join(map(_spell_character, text)).translate(_DASHES)


def _spell_character(character: str) -> str:
    if character.isascii():
        return character
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character


def _find_emails(text: str) -> Iterator[PersonalDataSpan]:
    for match in _EMAIL.finditer(text):
        yield PersonalDataSpan(*match.span(), PersonalDataKind.EMAIL)


def _find_ibans(text: str) -> Iterator[PersonalDataSpan]:
    for match in _IBAN_START.finditer(text):
        start = match.start()
        length = iban_length(match[0][:2].upper())
        if length is None:
            continue
        written = text[start : start + 2 * length]
        compact = written.replace(" ", "").replace("-", "")[:length]
        if not (compact.isascii() and compact.isalnum() and is_iban(compact.upper())):
            continue
        end = start + _length_of(written, length)
        if not text[end : end + 1].isalnum():
            yield PersonalDataSpan(start, end, PersonalDataKind.IBAN)


def _length_of(written: str, count: int) -> int:
    """Return how long the beginning of a text is that has so many characters without spaces and hyphens."""
    places = (place for place, character in enumerate(written, 1) if character not in " -")
    return next(place for number, place in enumerate(places, 1) if number == count)


def _find_numbers(text: str) -> Iterator[PersonalDataSpan]:
    """Find numbers of cards, persons and telephones: at each group of digits the longest that is one."""
    groups = [match.span() for match in _DIGITS.finditer(text)]
    gaps = [text[end:begin] for (_, end), (begin, _) in pairwise(groups)]
    is_joined = [len(gap) <= _LONGEST_GAP and not gap.strip(" ()./-") for gap in gaps]
    at = 0
    while at < len(groups):
        run = 1
        while run < _MOST_GROUPS and at + run < len(groups) and is_joined[at + run - 1]:
            run += 1
        span = _read_number(text, groups[at : at + run])
        at += 1
        if span is not None:
            yield span
            while at < len(groups) and groups[at][0] < span.end:
                at += 1


def _read_number(text: str, groups: list[tuple[int, int]]) -> PersonalDataSpan | None:
    """Read the longest number that begins with the first of some groups of digits and is somebody's."""
    start = groups[0][0]
    found = None
    count = 0
    for place, (begin, end) in enumerate(groups, 1):
        count += end - begin
        if count > _MOST_DIGITS:
            break
        if count < _FEWEST_DIGITS or text[end : end + 1].isalpha() or text[start - 1 : start].isalpha():
            continue
        digits = "".join(text[head:stop] for head, stop in groups[:place])
        sizes = tuple(stop - head for head, stop in groups[:place])
        kind = _tell_kind(DigitGroups(digits, sizes, text[max(0, start - _CONTEXT) : start]), text[start:end])
        if kind is not None:
            found = PersonalDataSpan(_begin(text, start, kind), end, kind)
    return found


def _begin(text: str, start: int, kind: PersonalDataKind) -> int:
    """Return where a number begins: a telephone's with its plus and bracket."""
    while kind is PersonalDataKind.PHONE and start and text[start - 1] in "+(":
        start -= 1
    return start


def _tell_kind(number: DigitGroups, written: str) -> PersonalDataKind | None:
    count = len(number.digits)
    if number.before.rstrip("(").endswith("+"):
        return PersonalDataKind.PHONE if count in _INTERNATIONAL else None
    if _DECIMAL.fullmatch(written):
        return None
    if count in _CARD_DIGITS and _CARD.fullmatch(number.digits) and passes_luhn(number.digits):
        return PersonalDataKind.CARD
    if is_national_id(number):
        return PersonalDataKind.NATIONAL_ID
    return PersonalDataKind.PHONE if _is_telephone(number, written) else None


def _is_telephone(number: DigitGroups, written: str) -> bool:
    """Tell whether a number without a plus is a telephone's."""
    digits, sizes = number.digits, number.sizes
    if digits[0] != "0":
        is_whole = len(digits) == _AMERICAN_DIGITS or digits[0] == "1"
        return sizes in _AMERICAN_SIZES and digits[-_AMERICAN_DIGITS] > "1" and is_whole
    if sizes[0] == 1 or (sizes in _DATE_SIZES and " " not in written):
        return False
    if digits[1] == "0":
        return digits[2] != "0" and len(digits) - 2 in _INTERNATIONAL
    return len(digits) in _NATIONAL
