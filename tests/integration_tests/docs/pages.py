"""What the pages show in fences: commands, programs, answers.

The info string of a fence says what becomes of it:

| info string | |
|---|---|
| `sh`, `python` | runs, in the page's order |
| `sh foreground` | runs until its first line on stdout, then it is stopped |
| `sh no-run: why` | is not run |
| `python fragment` | is a part of a program |
| `python path/of/a/file.py`, `js path/of/a/file.mjs` | is that file's text; a test runs it where it stands |
| none, `text`, `json` right behind one that runs | is what it prints; `...` stands for anything |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LANGUAGES = {"sh", "python", "js", "json", "text", "yaml", "markdown", ""}
"""A command in any other language would be one that nobody runs."""

_ANSWERS = {"json", "text", ""}
_FENCE = re.compile(r"^ {0,3}```+(.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fence of a page, with the answer that the page shows right behind it."""

    page: str
    line: int
    language: str
    words: str
    text: str
    answer: str | None = None
    is_answer: bool = False

    @property
    def place(self) -> str:
        """The page and line of the fence."""
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is run in the page's order."""
        if self.language == "sh":
            return self.words in {"", "foreground"}
        return self.language == "python" and not self.words

    @property
    def reason(self) -> str | None:
        """Why it is not run, where the page says that it is not."""
        found = re.match(r"no-run:?(.*)", self.words)
        return None if found is None else found[1].strip()


def pages() -> list[str]:
    """Name the README, the client's, and each page below docs."""
    found = [
        ROOT / "README.md",
        ROOT / "tenantry_client" / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    return [str(page.relative_to(ROOT)) for page in found]


def blocks_of(page: str) -> list[Block]:
    """Read the fences of a page, in order."""
    return list(_parse(page, (ROOT / page).read_text(encoding="utf-8")))


def prose_of(page: str) -> str:
    """Read a page without its fences."""
    return re.sub(r"(?ms)^ {0,3}```.*?^ {0,3}```[^\n]*$", "", (ROOT / page).read_text(encoding="utf-8"))


def _parse(page: str, text: str) -> Iterator[Block]:
    waiting: Block | None = None
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opened = _FENCE.match(line)
        if opened is None:
            if waiting is not None:
                yield waiting
                waiting = None
            continue
        language, _, words = opened[1].strip().partition(" ")
        body = "\n".join(_until_closed(lines))
        block = Block(page, number, language, words.strip(), body)
        if waiting is not None and language in _ANSWERS:
            yield Block(page, waiting.line, waiting.language, waiting.words, waiting.text, answer=body)
            yield Block(page, number, language, words.strip(), body, is_answer=True)
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = block if block.runs else None
        if waiting is None:
            yield block
    if waiting is not None:
        yield waiting


def _until_closed(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if _FENCE.match(line):
            return
        yield line


def folder_of(page: str) -> Path:
    """Give the folder that a page's links start from."""
    return (ROOT / page).parent
