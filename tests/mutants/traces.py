"""Which tests run which lines: recorded once, and again where a test or the app has changed."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from tests.mutants.areas import ROOT, TESTS
from tests.mutants.children import record_lines
from tests.mutants.forks import Job, run_forked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.mutants.areas import Area
    from tests.mutants.sample import Mutant

_LONGEST_FILE_SECONDS = 900.0
OWN_SECONDS = 40.0
"""Time that an area's own tests may compute for one mutant."""

OTHERS_SECONDS = 20.0
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
        """Return the area's own tests that can notice a mutant, the quickest first, and then the others."""
        module = mutant.key.module
        lines = frozenset(range(mutant.lines[0], mutant.lines[1] + 1))
        found = [test for test in self._by_module.get(module, []) if test.lines[module] & lines]
        if mutant.runs_at_import or not found:
            modules = {module, *importers(module)} if mutant.runs_at_import else {module}
            found = [test for name in sorted(modules) for test in self._by_module.get(name, [])]
        found = sorted({test.id: test for test in found}.values(), key=lambda test: (test.seconds, test.id))
        own = [test for test in found if area.owns(test.file)]
        others = [test for test in found if not area.owns(test.file)]
        return _cut(own, OWN_SECONDS), _cut(others, OTHERS_SECONDS)

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


def importers(module: str) -> list[str]:
    """Return the modules of the app that import one."""
    name = module.removesuffix(".py").replace("/", ".")
    return [file for file, imported in _imports().items() if name in imported]


def _imports() -> dict[str, frozenset[str]]:
    if not _IMPORTS:
        for folder in ("functions", "shared"):
            for file in sorted((ROOT / folder).rglob("*.py")):
                named = {
                    node.module
                    for node in ast.walk(ast.parse(file.read_text()))
                    if isinstance(node, ast.ImportFrom) and node.module is not None
                }
                _IMPORTS[file.relative_to(ROOT).as_posix()] = frozenset(named)
    return _IMPORTS


_IMPORTS: dict[str, frozenset[str]] = {}


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
