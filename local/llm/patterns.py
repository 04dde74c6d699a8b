"""Texts that match a regular expression."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# The standard library has no public parser of expressions. Where this one is misread, the match fails.
_parser: Any = importlib.import_module("re._parser")
_MOST_REPEATS = 64
_LONGEST = 100_000
_PRINTABLE = [*range(ord("a"), ord("z") + 1), *range(ord("0"), ord("9") + 1), *range(32, 127)]
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_NOT_DIGIT": lambda c: not c.isdigit(),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda c: not c.isspace(),
    "CATEGORY_WORD": lambda c: c.isalnum() or c == "_",
    "CATEGORY_NOT_WORD": lambda c: not (c.isalnum() or c == "_"),
}


class UnmatchableError(ValueError):
    """No text was found that matches."""


def matching(pattern: str, fits: Callable[[str], bool]) -> str:
    """Give a text that matches and fits, the shortest of those that it tries.

    Raises:
        UnmatchableError: The expression is broken, or uses what this does not know, or nothing fits.
    """
    try:
        expression, parsed = re.compile(pattern), _parser.parse(pattern)
        for more in (*range(8), 12, 16, 24, 32, _MOST_REPEATS):
            text = _text(parsed, more)
            if expression.search(text) and fits(text):
                return text
    except (re.error, RecursionError, OverflowError) as error:
        raise UnmatchableError(f"the pattern {pattern!r} cannot be read: {error}") from error
    raise UnmatchableError(f"no text was found for the pattern {pattern!r}")


def _text(parsed: Iterable[tuple[Any, Any]], more: int) -> str:
    return "".join(_part(str(kind), value, more) for kind, value in parsed)


def _part(kind: str, value: Any, more: int) -> str:  # noqa: ANN401, PLR0911 - a line for each kind of node
    match kind:
        case "LITERAL":
            return chr(value)
        case "NOT_LITERAL":
            return "b" if value == ord("a") else "a"
        case "ANY":
            return "a"
        case "IN":
            return _one_of(value)
        case "AT":
            return ""
        case "SUBPATTERN":
            return _text(value[-1], more)
        case "BRANCH":
            return _text(value[1][0], more)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, repeated = value
            text, times = _text(repeated, more), min(least + more, int(most), least + _MOST_REPEATS)
            if len(text) * times > _LONGEST:
                raise UnmatchableError(f"what matches is longer than {_LONGEST} characters")
            return text * int(times)
        case _:
            raise UnmatchableError(f"patterns with {kind} are not known here")


def _one_of(choices: list[tuple[Any, Any]]) -> str:
    (first, _), *_ = choices
    if str(first) == "NEGATE":
        excluded = list(choices[1:])
        return next(chr(code) for code in _PRINTABLE if not any(_has(choice, code) for choice in excluded))
    return chr(next(_codes(choices[0])))


def _codes(choice: tuple[Any, Any]) -> Iterator[int]:
    kind, value = str(choice[0]), choice[1]
    if kind == "LITERAL":
        return iter((value,))
    if kind == "RANGE":
        return iter(range(value[0], value[1] + 1))
    return (code for code in (*_PRINTABLE, ord("\n")) if _CATEGORIES[str(value)](chr(code)))


def _has(choice: tuple[Any, Any], code: int) -> bool:
    kind, value = str(choice[0]), choice[1]
    if kind == "LITERAL":
        return bool(value == code)
    if kind == "RANGE":
        return bool(value[0] <= code <= value[1])
    return _CATEGORIES[str(value)](chr(code))
