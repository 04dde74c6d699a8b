"""Fields of log lines are an allow-list, which has every name that the app's code writes and no other."""

from __future__ import annotations

import ast
import logging
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from shared.contracts import Usage
from shared.llm.model_call import ModelCallRecord
from shared.logging.fields import FIELDS, UNLISTED
from shared.logging.formatter import describe
from tests.unit_tests.gates.test_house_rules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = (ROOT / "functions", ROOT / "shared")


def described(logger: str, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": logger, "msg": "Hello"} | extra)
    told: dict[str, object] = describe(record, "app")["extra"]
    return told


@pytest.mark.parametrize("logger", ["functions.chat", "shared.http.pipeline"])
def test_what_is_not_on_the_list_is_not_written(logger: str) -> None:
    assert described(logger, count=2, prompt="My number is 7") == {"count": 2, "prompt": UNLISTED}


def test_a_program_of_its_own_has_its_own_fields() -> None:
    assert described("my_component", order=7) == {"order": 7}


@pytest.mark.slow
def test_every_name_that_the_code_writes_is_on_the_list() -> None:
    written = {name for root in APP for file in root.rglob("*.py") for name in _names_in(file.read_text())}
    record = {one.name for one in fields(ModelCallRecord)} - {"request_id", "tenant_id"}

    assert len(written) > 40
    assert written | record | set(Usage.model_fields) - {"total_tokens"} <= FIELDS


def test_every_name_on_the_list_is_written_somewhere() -> None:
    text = "".join(
        file.read_text() for root in APP for file in root.rglob("*.py") if file.name != "fields.py"
    )

    assert [name for name in sorted(FIELDS) if f'"{name}"' not in text and f" {name}: " not in text] == []


def _names_in(source: str) -> Iterator[str]:
    """Go through the names in the dictionaries that calls are given as `extra`, directly or by a name."""
    tree = ast.parse(source)
    named: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named.setdefault(node.targets[0].id, []).append(node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            named.setdefault(node.target.id, []).append(node.value)
    given = (
        keyword.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and "logger" in ast.unparse(node.func)
        for keyword in node.keywords
        if keyword.arg == "extra"
    )
    for value in given:
        for part in ast.walk(value):
            found = named.get(part.id, []) if isinstance(part, ast.Name) else []
            for dictionary in (part, *found):
                if isinstance(dictionary, ast.Dict):
                    yield from (str(key.value) for key in dictionary.keys if isinstance(key, ast.Constant))
