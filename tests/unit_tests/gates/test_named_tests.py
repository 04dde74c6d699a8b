"""Each test that the documentation names is there, in the file that it names where it names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_EXAMPLES = {"tests/unit_tests/whole_app/test_notes.py"}
"""Files that a page tells its reader to write."""

_NAMED = re.compile(r"`(test_\w+)(\.py)?`")
_PATH = re.compile(r"\btests/(?:unit_tests|integration_tests|benchmarks|contract|support)[\w/.{},*-]*[\w}*]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


@cache
def functions_in(path: Path) -> frozenset[str]:
    """Return the names of a file's functions."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds))


@cache
def names() -> frozenset[str]:
    """Return the names of all tests, and of their modules."""
    modules = [*(ROOT / "tests").rglob("test_*.py")]
    return frozenset(path.stem for path in modules).union(*map(functions_in, modules))


def expand(path: str) -> Iterator[str]:
    """Yield the paths that one with braces stands for."""
    braces = _BRACES.search(path)
    if braces is None:
        yield path
        return
    for choice in braces[1].split(","):
        yield from expand(path[: braces.start()] + choice + path[braces.end() :])


def is_there(path: str) -> bool:
    """Tell whether a path, which may be a pattern or a module without its ending, is of the repository."""
    return any(ROOT.glob(path)) or (ROOT / f"{path}.py").is_file()


def tables(page: str) -> Iterator[list[list[str]]]:
    """Yield the tables of a page, each as rows of cells."""
    for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        yield [row.split("|") for row in _ROW.findall(block)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.slow
def test_every_test_and_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    missing = {name for name, _ in _NAMED.findall(text) if name not in names()}
    missing |= {path for named in _PATH.findall(text) for path in expand(named) if not is_there(path)}

    assert missing - _EXAMPLES == set()


def test_each_promise_about_queues_names_tests_of_the_files_above_it() -> None:
    [promises] = [
        table for table in tables((ROOT / "docs" / "queues.md").read_text()) if "claim" in table[0][0]
    ]
    heads, _, *rows = promises
    files = [[ROOT / path for path in _PATH.findall(head)] for head in heads]
    wrong = {
        name
        for row in rows
        for cell, named in zip(row, files, strict=True)
        for name, _ in _NAMED.findall(cell)
        if not any(name in functions_in(path) for path in named)
    }

    assert wrong == set()
    assert [row[0] for row in rows if not _NAMED.search("|".join(row))] == []
