"""Patterns of an answer's texts: regular expressions whose work grows with the text alone.

They run on Rust's engine, which pydantic-core brings: it never goes back in a text, as `re` does. What they
cost is the size of their automaton for each character at worst.
"""

from __future__ import annotations

import re

from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

MOST_CHARACTERS = 200

_SHORTHANDS = {
    r"\d": "[0-9]",
    r"\D": "[^0-9]",
    r"\w": "[0-9A-Za-z_]",
    r"\W": "[^0-9A-Za-z_]",
}
"""ECMA-262, whose patterns JSON Schema has, means ASCII by them; those of Unicode are large automata."""

_TOKEN = re.compile(r"\\.|\(\?.?|\{[\s0-9,]*\}", re.DOTALL)
_UNKNOWN = re.compile(r"\\[pP]|\(\?[^:]?|\{(?![0-9]+(?:,[0-9]*)?\}).*", re.DOTALL)
_COUNTED = re.compile(r"\{(?P<least>[0-9]+)(?:,(?P<most>[0-9]*))?\}")
_ENDS_OF_PARTS_WITH_COPIES = frozenset(")}?*+")
_CHARACTERS_OF_A_COPY = 4


class UnknownPatternError(ValueError):
    """A pattern is malformed, or has what is not taken.

    That is look-around, back-references, flags, `p` classes, and counts as only Rust reads them (`{ 2 }`,
    `{,2}`), which nothing here would measure.
    """


class AnswerPattern:
    """Compiled pattern; as in JSON Schema, a part of the text has to match.

    Args:
        pattern: The regular expression.

    Attributes:
        weight: What one character of a text may cost it, in states of its automaton.

    Raises:
        UnknownPatternError: It is not taken.
    """

    def __init__(self, pattern: str) -> None:
        if any(_UNKNOWN.fullmatch(token) for token in _TOKEN.findall(pattern)):
            raise UnknownPatternError
        translated = _TOKEN.sub(lambda token: _SHORTHANDS.get(token[0], token[0]), pattern)
        try:
            self._compiled = SchemaValidator(core_schema.str_schema(pattern=translated))
        except SchemaError as error:
            raise UnknownPatternError from error
        self.weight = _count_copies(pattern) + len(pattern) // _CHARACTERS_OF_A_COPY

    def matches(self, text: str) -> bool:
        """Tell whether a text matches; one with halves of characters does not."""
        try:
            self._compiled.validate_python(text)
        except ValidationError:
            return False
        return True


def pattern_size(pattern: str) -> int:
    """Return what compiling a pattern may cost: its characters, as often as they are copied."""
    return len(pattern) * _count_copies(pattern)


def _count_copies(pattern: str) -> int:
    """Return how many copies of their parts a pattern's counted repetitions stand for, at most.

    Those of a group, or of what is repeated already, multiply whatever is in it.
    """
    of_parts, of_groups = 1, 1
    for found in _COUNTED.finditer(pattern):
        times = max(int(count) for count in found.group("least", "most") if count)
        if pattern[found.start() - 1] in _ENDS_OF_PARTS_WITH_COPIES:
            of_groups *= max(1, times)
        else:
            of_parts += times
    return of_parts * of_groups
