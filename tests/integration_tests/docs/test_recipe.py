"""The recipe of docs/contributing.md, followed to the letter in a copy of the tree."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.docs.pages import Block, blocks_of
from tests.support.working_copy import copy_tree

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/contributing.md"
FRAGMENT = "fragment of "
_ADDED = re.compile(r"(?P<name>\w+) = [({]\.\.\., (?P<values>.*)[)}]")
GATES = (
    "test_capabilities.py",
    "test_contract.py",
    "test_descriptions.py",
    "test_examples.py",
    "test_owned_data.py",
)


@pytest.mark.slow(240)
def test_a_capability_by_the_recipe_passes_its_test_and_the_gates(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tenantry")
    files = [write(tree, block) for block in blocks_of(PAGE) if block.words]
    code = [file for file in files if file.endswith(".py")]
    tests = [file for file in files if "/test_" in file]

    for words in (
        ("ruff", "format", "--quiet", *code),
        ("ruff", "check", "--quiet", "--fix", *code),
        ("tests.contract",),
        ("pytest", "-q", *tests, *(f"tests/unit_tests/gates/{gate}" for gate in GATES)),
    ):
        done = python(tree, *words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    assert len(set(files)) == 8
    assert "/api/v1/notes/{note_id}" in json.loads((tree / "docs/contract/openapi.json").read_text())["paths"]


def write(tree: Path, block: Block) -> str:
    """Do with a block what the page says, and name the file that it changed."""
    name = block.words.removeprefix(FRAGMENT)
    file = tree / name
    if name == block.words:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{block.text}\n")
    elif block.language == "json":
        definition = json.loads(file.read_text())
        definition["containers"].append(json.loads(block.text))
        file.write_text(json.dumps(definition, indent=2))
    else:
        file.write_text(with_fragment(file.read_text(), block.text))
    return name


def with_fragment(source: str, fragment: str) -> str:
    """Add the fragment's imports, and its values to those that `...` stands for."""
    for line in filter(None, fragment.splitlines()):
        added = _ADDED.fullmatch(line)
        if added is not None:
            source = _extend(source, added["name"], added["values"])
        else:
            first = next(one for one in ast.parse(source).body if isinstance(one, ast.ImportFrom))
            source = _insert(source, first.lineno, f"{line}\n")
    return source


def _insert(source: str, line: int, text: str) -> str:
    lines = source.splitlines(keepends=True)
    return "".join([*lines[: line - 1], text, *lines[line - 1 :]])


def _extend(source: str, name: str, added: str) -> str:
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            old = ast.get_source_segment(source, node.value) or ""
            return source.replace(old, f"{old[:-1].rstrip().removesuffix(',')}, {added}{old[-1]}", 1)
    raise AssertionError(f"there is no {name}")


def python(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the tree, or one that is installed."""
    return subprocess.run(  # noqa: S603  # words of our own
        [sys.executable, "-m", *words], cwd=tree, capture_output=True, text=True, check=False
    )
