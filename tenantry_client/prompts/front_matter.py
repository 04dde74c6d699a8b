"""Front matter of Markdown: YAML between two lines of three dashes, before the text."""

from __future__ import annotations

import re
from typing import NamedTuple

from tenantry_client.errors import InvalidPromptFileError

FENCE = "---"
_BLANKS = " \t"
_INVISIBLE = " \t\f\v\x00\xa0\u200b\u200c\u200d\u2060\ufeff"
_BLANK_LINES = re.compile(r"(?:[ \t\ufeff]*\n)*")
_CLOSING = re.compile(r"^---[ \t]*(?:\n|\Z)", re.MULTILINE)
_NEARLY_FENCE = re.compile(
    "[-\u2010-\u2015\u2212\xad]{2}|[\u2012-\u2015]|\\+\\+\\+|(?:```|~~~)[ \t]*(?:ya?ml|toml|json)"
    "|(?:name|template|description|tags|config|declared_variables|examples|reason)[ \t]*:"
)
"""Dashes that an editor has joined, another language's fence, or fields without a fence."""


class FrontMatter(NamedTuple):
    """A file's fields, as YAML, and its text; line ends are newlines in both."""

    fields: str
    text: str


def split_front_matter(content: str) -> FrontMatter | None:
    """Split Markdown; None where it has no front matter, such as a README.

    Byte order marks and blank lines before it are left out, and so are blanks after the dashes. Every line
    end (CR LF, CR) counts as a newline, so that a checkout with other line ends says the same.

    Raises:
        InvalidPromptFileError: It nearly has front matter, and it says what is wrong with it.
    """
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    blank = _BLANK_LINES.match(content)
    first, newline, rest = content[blank.end() if blank else 0 :].partition("\n")
    if first.lstrip("\ufeff").rstrip(_BLANKS) != FENCE:
        if _NEARLY_FENCE.match(first.replace("\x00", "").lstrip(_INVISIBLE)):
            raise InvalidPromptFileError(
                f"The front matter does not begin as it should: its first line is {FENCE!r} alone"
            )
        return None
    closing = _CLOSING.search(rest) if newline else None
    if closing is None:
        raise InvalidPromptFileError(f"The front matter has no end: a line that is {FENCE!r} alone")
    return FrontMatter(rest[: closing.start()], rest[closing.end() :].removesuffix("\n"))
