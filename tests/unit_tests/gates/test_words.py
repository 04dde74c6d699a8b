"""The words of the app: one meaning for each class name, docstrings that say what a thing is and raises."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.unit_tests.gates.test_house_rules import place, sources, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit_tests.gates.test_house_rules import Function

APP = ("function_app.py", "functions", "shared", "compat", "tenantry_client")
WITH_ASYNCIO_AND_WITHOUT = {"CosmosClient", "DatabaseProxy", "ContainerProxy"}
"""azure-cosmos's names, which it gives to its client and to its client of asyncio alike."""
OPENS_AS_A_QUESTION = re.compile(r"(What|Who|Whose|How)\b")
ERROR = re.compile(r"[A-Z]\w*Error")


def test_no_class_name_has_two_meanings() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for file in sources(*APP):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(place(file, node))

    doubled = {
        name: where
        for name, where in places.items()
        if len(where) > 1 and name not in WITH_ASYNCIO_AND_WITHOUT
    }
    assert doubled == {}, "rename all but one of each: a stranger who searches for the name finds one thing"


def test_no_docstring_of_a_module_or_class_opens_as_a_question() -> None:
    asking = [
        place(file, node)
        for file in sources(*APP)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Module | ast.ClassDef)
        and OPENS_AS_A_QUESTION.match(ast.get_docstring(node) or "")
    ]

    assert asking == [], "say what the thing is: 'Token bucket per tenant', not 'What bounds the requests'"


@pytest.mark.slow
def test_a_public_functions_docstring_names_the_errors_that_it_raises() -> None:
    silent = [
        f"{place(file, function)} {function.name}: {name}"
        for file in sources(*APP)
        for function in public_functions(tree(file))
        for name in sorted(errors_raised_by(function))
        if name not in (ast.get_docstring(function) or "")
    ]

    assert silent == [], "add a `Raises:` section that names each of them, and says when"


def public_functions(module: ast.Module) -> Iterator[Function]:
    """Find functions and methods that others may call: no private ones, and none within a function."""
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    bodies = [module.body, *(one.body for one in classes if not one.name.startswith("_"))]
    for body in bodies:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                yield node


def errors_raised_by(function: Function) -> set[str]:
    """Name the errors that a function raises itself, by a `raise` that names their class."""
    return {
        name
        for node in own_nodes(function)
        if isinstance(node, ast.Raise) and node.exc is not None
        for name in [ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)]
        if ERROR.fullmatch(name) and name not in {"AssertionError", "NotImplementedError"}
    }


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """Walk a function without what is defined within it."""
    waiting: list[ast.AST] = [function]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
        ]
