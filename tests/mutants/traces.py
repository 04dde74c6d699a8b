"""Which tests run which lines: recorded once, and again where a test or the app has changed."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from tests.mutants.areas import CONTRACT, ROOT, TESTS
from tests.mutants.children import record_lines
from tests.mutants.forks import Job, run_forked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.mutants.areas import Area
    from tests.mutants.sample import Mutant

_LONGEST_FILE_SECONDS = 900.0
OWN_SECONDS = 30.0
"""Time that an area's own tests may compute for one mutant."""

OTHERS_SECONDS = 15.0
"""Time that all other tests may."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What one test runs, and how long it computes."""

    id: str
    seconds: float
    lines: dict[str, frozenset[int]]

    @property
    def file(self) -> str:
        """Return the file that holds the test."""
        return self.id.partition("::")[0]


@dataclass(frozen=True)
class Traces:
    """Choice of tests by the lines that they run."""

    tests: tuple[Trace, ...]

    @cached_property
    def _by_module(self) -> dict[str, list[Trace]]:
        found: dict[str, list[Trace]] = {}
        for test in self.tests:
            for module in test.lines:
                found.setdefault(module, []).append(test)
        return found

    def choose(self, mutant: Mutant, area: Area) -> tuple[list[str], list[str]]:
        """Return the area's own tests that can notice a mutant, the quickest first, and then the others.

        The contract's tests go before an area's own, where a mutant shows in what a module declares.
        """
        module = mutant.key.module
        if mutant.runs_at_import:
            places = uses_of(mutant)
        else:
            places = {module: frozenset(range(mutant.lines[0], mutant.lines[1] + 1))}
        chosen = self._running(places) or self._running(
            uses_of(mutant)
        )  # functions are called at import, too
        found = sorted(chosen, key=lambda test: (test.seconds, test.id))
        held = [test.id for test in self.tests if mutant.runs_at_import and test.file in CONTRACT]
        own = [test for test in found if area.owns(test.file)]
        others = [test for test in found if not area.owns(test.file)]
        return held + _cut(own, OWN_SECONDS), _cut(others, OTHERS_SECONDS)

    def _running(self, places: dict[str, frozenset[int]]) -> list[Trace]:
        chosen = {
            test.id: test
            for name, lines in places.items()
            for test in self._by_module.get(name, [])
            if not lines or test.lines[name] & lines
        }
        return list(chosen.values())

    def seconds(self, chosen: Iterable[str]) -> float:
        """Return how long tests compute."""
        names = set(chosen)
        return sum(test.seconds for test in self.tests if test.id in names)


def _cut(tests: Sequence[Trace], left: float) -> list[str]:
    kept: list[str] = []
    for test in tests:
        left -= test.seconds
        if left < 0 and kept:
            break
        kept.append(test.id)
    return kept


def uses_of(mutant: Mutant) -> dict[str, frozenset[int]]:
    """Return where it shows what a module does while it is imported: lines by module, none for all of them.

    A constant shows in the functions that name it, in its module and in those that import it. All else, and a
    constant that is used at import, shows anywhere in them.
    """
    module = mutant.key.module
    names = _assigned(mutant)
    uses = {module: _lines_that_name(mutant.source.tree, names) if names else frozenset[int]()}
    dotted = module.removesuffix(".py").replace("/", ".")
    for file, tree in _app_trees().items():
        imported = {
            alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module == dotted
            for alias in node.names
        }
        if imported and not (names and imported.isdisjoint(names)):
            uses[file] = _lines_that_name(tree, names) if names else frozenset()
    return uses


def _assigned(mutant: Mutant) -> frozenset[str]:
    """Return the constants of a module that a mutant's statement sets; none where it does something else."""
    for statement in mutant.source.tree.body:
        if statement.lineno <= mutant.at <= (statement.end_lineno or 0):
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
            return frozenset(target.id for target in targets if isinstance(target, ast.Name))
    return frozenset()


def _lines_that_name(tree: ast.Module, names: frozenset[str]) -> frozenset[int]:
    """Return the lines of functions that name a constant; none, which is all, where it is named elsewhere."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    inside: dict[int, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, functions):
            inside |= {id(part): True for statement in node.body for part in ast.walk(statement)}
    named = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load)
    ]
    if not all(id(node) in inside for node in named):
        return frozenset()
    return frozenset(node.lineno for node in named) or frozenset({0})


def _app_trees() -> dict[str, ast.Module]:
    if not _TREES:
        for folder in ("functions", "shared"):
            for file in sorted((ROOT / folder).rglob("*.py")):
                _TREES[file.relative_to(ROOT).as_posix()] = ast.parse(file.read_text())
    return _TREES


_TREES: dict[str, ast.Module] = {}


def record_traces(
    folder: Path, test_files: Sequence[str], at_once: int, say: Callable[[str], None]
) -> Traces:
    """Return what each test runs; files of tests that were recorded as they and the app are now stay.

    Raises:
        RuntimeError: A test fails without any fault.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _digest(*_app_and_support())
    targets = {file: folder / f"{_digest(ROOT / file)[:20]}-{state[:20]}.json" for file in test_files}
    for old in folder.glob("*.json"):
        if not old.stem.endswith(state[:20]):
            old.unlink()
    missing = sorted((file for file, target in targets.items() if not target.exists()), reverse=True)
    jobs = (
        Job(
            file,
            partial(record_lines, file, targets[file]),
            folder / f"{file.replace('/', '.')}.txt",
            _LONGEST_FILE_SECONDS,
            _LONGEST_FILE_SECONDS,
        )
        for file in missing
    )
    failed = []
    for number, outcome in enumerate(run_forked(jobs, at_once), 1):
        say(f"recording {number} of {len(missing)}: {outcome.job.name} {outcome.seconds:.1f} s")
        if outcome.status:
            failed.append(f"{outcome.job.name} ({outcome.job.output})")
    if failed:
        raise RuntimeError(f"fail without any fault: {', '.join(failed)}")
    tests = []
    for target in targets.values():
        for test in json.loads(target.read_text()):
            lines = {name: frozenset(numbers) for name, numbers in test["lines"].items()}
            tests.append(Trace(test["id"], test["seconds"], lines))
    return Traces(tuple(tests))


def _app_and_support() -> list[Path]:
    app = [
        file for folder in ("functions", "shared", "tests/support") for file in (ROOT / folder).rglob("*.py")
    ]
    beside = [file for file in (ROOT / TESTS).rglob("*.py") if not file.name.startswith("test_")]
    return sorted([*app, *(file for file in beside if not file.parent.name.startswith("local_"))])


def _digest(*files: Path) -> str:
    sum_of_all = hashlib.sha256()
    for file in files:
        sum_of_all.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return sum_of_all.hexdigest()
