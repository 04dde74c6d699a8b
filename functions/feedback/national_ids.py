"""National ids of persons, told from other numbers by their check digits, dates and groups.

A number whose check digit is all that there is passes by chance in one case of ten: such ones have to be
written in their groups, or be called by their name just before.
"""

from __future__ import annotations

import re
from calendar import monthrange
from typing import TYPE_CHECKING, NamedTuple

from functions.feedback.check_digits import passes_luhn, passes_mod_11_10, passes_verhoeff, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LEAP_YEAR = 2000
_MONTHS = range(1, 13)
_ADDED_IN_SWEDEN = 60
_ADDED_IN_NORWAY = 40
"""What is added to the day of birth in the numbers of those who are not in the population register."""

_SPANISH_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_SPANISH_FIRST = str.maketrans("XYZ", "012")
_FINNISH_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CHINESE_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHINESE_CHECKS = "10X98765432"
_ITALIAN_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17,
            19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
        ),
        strict=True,
    )
)  # fmt: skip


class DigitGroups(NamedTuple):
    """A number as it stands in a text.

    Attributes:
        digits: All of its digits.
        sizes: How many digits each of its groups has.
        before: The text just before it.
    """

    digits: str
    sizes: tuple[int, ...]
    before: str


def is_national_id(number: DigitGroups) -> bool:
    """Tell whether a number is the national id of a person."""
    return any(check(number) for check in _BY_LENGTH.get(len(number.digits), ()))


def find_lettered_ids(text: str) -> Iterator[tuple[int, int]]:
    """Find national ids that have letters: Spain, Italy, Finland, China. Gives where they begin and end.

    Args:
        text: Any text; each pattern looks at 20 characters from each place at most.
    """
    for pattern, is_valid in _LETTERED:
        for match in pattern.finditer(text):
            if is_valid(match[0].upper()):
                yield match.span()


def _is_date(month: str, day: str) -> bool:
    """Tell whether there is such a day in a leap year."""
    return int(month) in _MONTHS and 1 <= int(day) <= monthrange(_LEAP_YEAR, int(month))[1]


def _is_american(number: DigitGroups) -> bool:
    """Tell of a Social Security Number, which has no check digit: its groups are asked for."""
    area, group, serial = number.digits[:3], number.digits[3:5], number.digits[5:]
    never_given = area in {"000", "666"} or area[0] == "9" or group == "00" or serial == "0000"
    return number.sizes == (3, 2, 4) and not never_given


def _is_dutch(number: DigitGroups) -> bool:
    """Tell of a burgerservicenummer: the eleven test, and its name before it."""
    named = any(name in number.before.lower() for name in ("bsn", "burgerservice", "sofi"))
    return named and weigh(number.digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _is_swedish(number: DigitGroups) -> bool:
    """Tell of a personnummer, with or without its century; coordination numbers have 60 added to the day."""
    digits = number.digits[-10:]
    day = int(digits[4:6])
    return _is_date(digits[2:4], f"{day % _ADDED_IN_SWEDEN}") and passes_luhn(digits)


def _is_german(number: DigitGroups) -> bool:
    """Tell of a Steuer-Identifikationsnummer: of its first ten digits one comes twice or three times."""
    digits = number.digits
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    return digits[0] != "0" and counts[-1] in {2, 3} and counts[-2] == 1 and passes_mod_11_10(digits)


def _is_polish(number: DigitGroups) -> bool:
    """Tell of a PESEL, whose month has the century added."""
    digits = number.digits
    month = f"{int(digits[2:4]) % 20}"
    return _is_date(month, digits[4:6]) and weigh(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _is_brazilian(number: DigitGroups) -> bool:
    """Tell of a CPF by its two check digits."""
    digits = number.digits
    first = weigh(digits, range(10, 1, -1)) * 10 % 11 % 10
    second = weigh(digits, range(11, 1, -1)) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"


def _is_belgian(number: DigitGroups) -> bool:
    """Tell of a rijksregisternummer, of either century."""
    digits = number.digits
    rests = {97 - int(century + digits[:9]) % 97 for century in ("", "2")}
    return _is_date(digits[2:4], digits[4:6]) and int(digits[9:]) in rests


def _is_norwegian(number: DigitGroups) -> bool:
    """Tell of a fødselsnummer by its two check digits; a D-number has 40 added to the day."""
    digits = number.digits
    day = int(digits[:2])
    checks = ((3, 7, 6, 1, 8, 9, 4, 5, 2, 1), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1))
    is_date = _is_date(digits[2:4], f"{day % _ADDED_IN_NORWAY}")
    return is_date and all(weigh(digits, weights) % 11 == 0 for weights in checks)


def _is_indian(number: DigitGroups) -> bool:
    """Tell of an Aadhaar number: its groups are asked for."""
    return number.sizes == (4, 4, 4) and number.digits[0] not in "01" and passes_verhoeff(number.digits)


def _is_french(number: DigitGroups) -> bool:
    """Tell of a numéro de sécurité sociale without Corsica's letters."""
    digits = number.digits
    return digits[0] in "1234" and int(digits[13:]) == 97 - int(digits[:13]) % 97


def _is_spanish(text: str) -> bool:
    """Tell of a DNI, or of a foreigner's NIE."""
    plain = text.replace("-", "").translate(_SPANISH_FIRST) if text[0] in "XYZ" else text.replace("-", "")
    return _SPANISH_LETTERS[int(plain[:8]) % 23] == plain[8]


def _is_italian(text: str) -> bool:
    """Tell of a codice fiscale."""
    odd = sum(_ITALIAN_ODD[character] for character in text[:15:2])
    even = sum(int(one) if one.isdecimal() else ord(one) - ord("A") for one in text[1:15:2])
    return chr(ord("A") + (odd + even) % 26) == text[15]


def _is_finnish(text: str) -> bool:
    """Tell of a henkilötunnus."""
    return _is_date(text[2:4], text[:2]) and _FINNISH_LETTERS[int(text[:6] + text[7:10]) % 31] == text[10]


def _is_chinese(text: str) -> bool:
    """Tell of a resident identity card number (GB 11643-1999)."""
    return (
        _is_date(text[10:12], text[12:14]) and _CHINESE_CHECKS[weigh(text, _CHINESE_WEIGHTS) % 11] == text[17]
    )


_BY_LENGTH: Mapping[int, tuple[Callable[[DigitGroups], bool], ...]] = {
    9: (_is_american, _is_dutch),
    10: (_is_swedish,),
    11: (_is_german, _is_polish, _is_brazilian, _is_belgian, _is_norwegian),
    12: (_is_indian, _is_swedish),
    15: (_is_french,),
}
_LETTERED: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (re.compile(r"(?<!\w)(?:[XYZxyz]-?[0-9]{7}|[0-9]{8})-?[A-Za-z](?!\w)", re.ASCII), _is_spanish),
    (
        re.compile(
            r"(?<!\w)[A-Z]{6}[0-9L-NP-V]{2}[A-EHLMPR-T][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z](?!\w)",
            re.ASCII | re.IGNORECASE,
        ),
        _is_italian,
    ),
    (re.compile(r"(?<!\w)[0-9]{6}[-+A-FU-Ya-fu-y][0-9]{3}[0-9A-Ya-y](?!\w)", re.ASCII), _is_finnish),
    (re.compile(r"(?<!\w)[0-9]{17}[0-9Xx](?!\w)", re.ASCII), _is_chinese),
)
