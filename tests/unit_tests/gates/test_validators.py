"""Validators raise what pydantic-core does not hold: a `ValueError` keeps the request in memory for ever."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.unit_tests.gates.test_house_rules import APP, ROOT, functions, place, sources, tree

if TYPE_CHECKING:
    from pathlib import Path

DECORATORS = {"field_validator", "model_validator"}
ANNOTATIONS = {"AfterValidator", "BeforeValidator", "PlainValidator", "WrapValidator"}
STARTS_ONCE = {ROOT / "shared" / "settings.py"}
"""What is validated once, as the process starts, from no request."""


@cache
def _named_in_annotations(file: Path) -> frozenset[str]:
    return frozenset(
        ast.unparse(argument)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ANNOTATIONS
        for argument in node.args
    )


def _is_validator(node: ast.FunctionDef | ast.AsyncFunctionDef, named: frozenset[str]) -> bool:
    decorators = {ast.unparse(one).partition("(")[0].rpartition(".")[2] for one in node.decorator_list}
    return bool(decorators & DECORATORS) or node.name in named


@pytest.mark.slow
def test_no_validator_raises_an_error_that_pydantic_holds() -> None:
    """Raise `refuse_value(...)` of `shared.validation`."""
    raising = [
        place(file, node)
        for file in sources(*APP)
        if file not in STARTS_ONCE
        for function in functions(file)
        if _is_validator(function, _named_in_annotations(file))
        for node in ast.walk(function)
        if isinstance(node, ast.Assert)
        or (
            isinstance(node, ast.Raise)
            and node.exc is not None
            and not ast.unparse(node.exc).startswith(("refuse_value(", "PydanticCustomError("))
        )
    ]

    assert raising == []
