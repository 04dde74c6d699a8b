"""The engineering guidelines' limits and the design's rules, held by a program."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
MAX_FILE_LINES = 1000
MAX_FUNCTION_LINES = 80
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
NAMED_BY_ITS_PACKAGE = {"tenantry_client/cosmos/__init__.py", "tenantry_client/cosmos/aio/__init__.py"}
"""They export azure-cosmos's names: the import is the line that callers change."""
CODE = ("function_app.py", "functions", "shared", "compat", "tenantry_client", "local", "infra", "tests")
APP = ("function_app.py", "functions", "shared")
SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<codes>\S*)(?P<rest>.*)$")

type Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources(*roots: str) -> tuple[Path, ...]:
    """Return the Python files that belong to the repository below the given roots."""
    listed = subprocess.run(  # noqa: S603  # git, with fixed arguments
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *roots],  # noqa: S607  # whichever git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = (ROOT / name for name in listed.stdout.splitlines() if name.endswith(".py"))
    return tuple(file for file in files if file.is_file())


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def place(file: Path, node: ast.AST | None = None) -> str:
    line = getattr(node, "lineno", 1)
    return f"{file.relative_to(ROOT)}:{line}"


def functions(file: Path) -> Iterator[Function]:
    """Yield all functions of a file, going through statements alone: expressions are most of a tree."""
    found: list[ast.AST] = [ast.parse(file.read_text())]  # not kept: the tests are many
    while found:
        node = found.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            inner = getattr(node, name, None)
            found += inner if isinstance(inner, list) else ()


def test_no_model_asks_for_the_kind_of_each_value_of_json() -> None:
    # pydantic's `JsonValue` does, in Python, and again for each level above: `Any` says as much of JSON.
    # The schema of an answer may come from code, which has numbers that JSON has not; it is small.
    asking = [
        place(file, node)
        for file in sources(*APP)
        if file.name != "answer_schema.py"
        for node in tree(file).body
        if isinstance(node, ast.ImportFrom) and node.module == "pydantic"
        if any(name.name == "JsonValue" for name in node.names)
    ]

    assert asking == []


def test_there_is_code_to_check() -> None:
    assert len(sources(*CODE)) > 50


def test_no_file_has_more_than_1000_lines() -> None:
    long = [place(file) for file in sources(*CODE) if len(file.read_text().splitlines()) > MAX_FILE_LINES]

    assert long == []


@pytest.mark.slow
def test_no_function_has_more_than_80_lines() -> None:
    long = [
        place(file, node)
        for file in sources(*CODE)
        for node in functions(file)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert long == []


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert [place(file) for file in sources(*CODE) if file.stem in BANNED_NAMES] == []


def test_a_package_holds_a_docstring_and_nothing_else() -> None:
    wrong = [
        place(file)
        for file in sources(*CODE)
        if file.name == "__init__.py"
        and str(file.relative_to(ROOT)) not in NAMED_BY_ITS_PACKAGE
        and (ast.get_docstring(tree(file)) is None or len(tree(file).body) != 1)
    ]

    assert wrong == []


def test_only_tenancy_builds_a_context() -> None:
    built = [
        place(file, node)
        for file in sources(*APP)
        if "tenancy" not in file.parts
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"TenantContext", "PlatformContext"}
    ]

    assert built == []


def test_only_settings_reads_the_environment() -> None:
    readers = [
        place(file, node)
        for file in sources(*APP)
        if file.name != "settings.py"
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Attribute) and node.attr in {"getenv", "environb"})
        or (
            isinstance(node, ast.Subscript)
            and ast.unparse(node.value) == "os.environ"
            and isinstance(node.ctx, ast.Load)
        )
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get")
    ]

    assert readers == []


def test_the_app_never_asks_whether_it_runs_locally() -> None:
    asking = [
        place(file, node)
        for file in sources(*APP)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.If)
        and re.search(r"\b(is_)?local(host)?\b|emulator|azurite", ast.unparse(node.test), re.IGNORECASE)
    ]

    assert asking == []


def test_no_query_selects_everything() -> None:
    wrong = [
        place(file, node)
        for file in sources(*APP)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"\bselect\s+\*", node.value, re.IGNORECASE)
    ]

    assert wrong == []


def test_only_the_edges_catch_everything() -> None:
    edges = {
        ROOT / "shared" / "http" / "pipeline.py",
        ROOT / "shared" / "messaging" / "consumer.py",
        ROOT / "shared" / "resilience" / "dependency.py",
        ROOT / "shared" / "log_shipping" / "monitor.py",  # tasks that have to go on, whatever one file meets
        ROOT / "functions" / "chat" / "bots" / "loaders.py",  # a loader is the embedding app's own code
        ROOT / "functions" / "chat" / "conversations" / "middleware.py",  # so is middleware
        ROOT / "shared" / "llm" / "call_recorder.py",  # notes how a call ended, and raises it again
        ROOT / "shared" / "llm" / "recorded_model.py",  # the same of a stream
        ROOT / "shared" / "llm" / "call_content.py",  # tasks that nobody waits for
    }
    catching = [
        place(file, node)
        for file in sources(*APP)
        if file not in edges
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    ]

    assert catching == []


def test_tasks_are_made_where_an_exit_in_one_is_no_end_of_the_loop() -> None:
    makers = re.compile(r"\b(?:create_task|ensure_future)\(|\bgather\(\*\(|\bgather\(\*map")
    found = {file.relative_to(ROOT).as_posix() for file in sources(*APP) if makers.search(file.read_text())}
    assert found == {"shared/resilience/concurrency.py", "shared/resilience/tasks.py"}


def test_no_test_patches() -> None:
    patching = [
        place(file, node)
        for file in sources("tests")
        if "unittest" in file.read_text()
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest.mock"))
        or (
            isinstance(node, ast.Import) and any(name.name.startswith("unittest.mock") for name in node.names)
        )
    ]

    assert patching == []


def test_every_suppression_names_its_rule_and_gives_a_reason() -> None:
    bare = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in sources(*CODE)
        if file != Path(__file__)
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (match := SUPPRESSION.search(line))
        and not re.search(r"[A-Z]+[0-9]+.*\s(#|--?|—)\s*\S|\].*#\s*\S", match[0])
    ]

    assert bare == []


def test_a_capability_has_its_trigger() -> None:
    capabilities = {file.relative_to(ROOT).parts[1] for file in sources("functions")} - {"__init__.py"}

    assert [name for name in capabilities if not (ROOT / "functions" / name / "trigger.py").is_file()] == []
