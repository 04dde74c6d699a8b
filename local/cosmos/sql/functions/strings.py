"""String functions. Positions and lengths count UTF-16 code units in the service, code points here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import orjson

from local.cosmos.sql.functions.signature import Function, of_strings, whole
from local.cosmos.values import UNDEFINED, Json, Value

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_REPLICA: Final = 10_000
_REGEX_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


def _search(test: Callable[[str, str], bool]) -> Function:
    """Declare a search with the optional third argument that ignores case."""

    def evaluate(text: Value, part: Value, ignore_case: Value = False) -> Value:  # noqa: FBT002 - the service's own
        if not isinstance(text, str) or not isinstance(part, str) or not isinstance(ignore_case, bool):
            return UNDEFINED
        return test(text.casefold(), part.casefold()) if ignore_case else test(text, part)

    return Function(evaluate, 2, 3)


def _string_equals(left: Value, right: Value, ignore_case: Value = False) -> Value:  # noqa: FBT002 - the service's own
    if not isinstance(left, str) or not isinstance(right, str) or not isinstance(ignore_case, bool):
        return UNDEFINED
    return left.casefold() == right.casefold() if ignore_case else left == right


def _concat(*parts: Value) -> Value:
    return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else UNDEFINED


def _index_of(text: Value, part: Value, start: Value = 0) -> Value:
    begin = whole(start)
    if not isinstance(text, str) or not isinstance(part, str) or begin is None:
        return UNDEFINED
    return text.find(part, max(begin, 0))


def _left(text: Value, count: Value) -> Value:
    length = whole(count)
    if not isinstance(text, str) or length is None:
        return UNDEFINED
    return text[: max(length, 0)]


def _right(text: Value, count: Value) -> Value:
    length = whole(count)
    if not isinstance(text, str) or length is None:
        return UNDEFINED
    return text[len(text) - min(max(length, 0), len(text)) :]


def _substring(text: Value, start: Value, count: Value) -> Value:
    begin, length = whole(start), whole(count)
    if not isinstance(text, str) or begin is None or length is None:
        return UNDEFINED
    if begin < 0 or length <= 0:
        return ""
    return text[begin : begin + length]


def _replace(text: str, part: str, by: str) -> Value:
    return text.replace(part, by) if part else UNDEFINED


def _replicate(text: Value, count: Value) -> Value:
    times = whole(count)
    if not isinstance(text, str) or times is None or times < 0 or len(text) * times > _LONGEST_REPLICA:
        return UNDEFINED
    return text * times


@lru_cache(maxsize=256)
def _regex(pattern: str, modifiers: str) -> re.Pattern[str] | None:
    flags = 0
    for mark in modifiers:
        if mark not in _REGEX_FLAGS:
            return None
        flags |= _REGEX_FLAGS[mark]
    try:
        return re.compile(pattern, flags)
    except re.error:
        return None


def _regex_match(text: Value, pattern: Value, modifiers: Value = "") -> Value:
    if not isinstance(text, str) or not isinstance(pattern, str) or not isinstance(modifiers, str):
        return UNDEFINED
    found = _regex(pattern, modifiers)
    return UNDEFINED if found is None else found.search(text) is not None


def _trim(strip: Callable[[str, str | None], str]) -> Function:
    def evaluate(text: Value, characters: Value = None) -> Value:
        if not isinstance(text, str) or not (characters is None or isinstance(characters, str)):
            return UNDEFINED
        return strip(text, characters)

    return Function(evaluate, 1, 2)


def _to_string(value: Value) -> Value:
    match value:
        case str():
            return value
        case list() | dict() | bool() | int() | None:
            return orjson.dumps(value).decode()
        case float():
            return repr(value) if not value.is_integer() else orjson.dumps(value).decode()
        case _:
            return UNDEFINED


def _string_join(parts: Value, separator: Value) -> Value:
    if not isinstance(parts, list) or not isinstance(separator, str):
        return UNDEFINED
    texts = [part for part in parts if isinstance(part, str)]
    return separator.join(texts) if len(texts) == len(parts) else UNDEFINED


def _string_split(text: str, separator: str) -> Value:
    return list(text.split(separator)) if separator else UNDEFINED


def _parsed(accepts: tuple[type, ...]) -> Function:
    """Declare a function that reads a JSON text of the wanted type; another type is undefined."""

    def parse(text: str) -> Value:
        try:
            value: Json = orjson.loads(text)
        except orjson.JSONDecodeError:
            return UNDEFINED
        return value if type(value) in accepts else UNDEFINED

    return of_strings(parse)


STRINGS: Final[dict[str, Function]] = {
    "CONCAT": Function(_concat, 2, None),
    "CONTAINS": _search(lambda text, part: part in text),
    "ENDSWITH": _search(str.endswith),
    "INDEX_OF": Function(_index_of, 2, 3),
    "LEFT": Function(_left, 2, 2),
    "LENGTH": of_strings(len),
    "LOWER": of_strings(str.lower),
    "LTRIM": _trim(str.lstrip),
    "REGEXMATCH": Function(_regex_match, 2, 3),
    "REPLACE": of_strings(_replace, 3),
    "REPLICATE": Function(_replicate, 2, 2),
    "REVERSE": of_strings(lambda text: text[::-1]),
    "RIGHT": Function(_right, 2, 2),
    "RTRIM": _trim(str.rstrip),
    "STARTSWITH": _search(str.startswith),
    "STRINGEQUALS": Function(_string_equals, 2, 3),
    "STRINGJOIN": Function(_string_join, 2, 2),
    "STRINGSPLIT": of_strings(_string_split, 2),
    "STRINGTOARRAY": _parsed((list,)),
    "STRINGTOBOOLEAN": _parsed((bool,)),
    "STRINGTONULL": _parsed((type(None),)),
    "STRINGTONUMBER": _parsed((int, float)),
    "STRINGTOOBJECT": _parsed((dict,)),
    "SUBSTRING": Function(_substring, 3, 3),
    "TOSTRING": Function(_to_string, 1, 1),
    "TRIM": _trim(str.strip),
    "UPPER": of_strings(str.upper),
}
