"""Work of the children: which lines a test runs, and whether a test notices a fault."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from importlib.abc import Loader, MetaPathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.mutants.areas import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
"""The plugins that the unit tests need; finding and loading all others takes as long as most tests do."""

_TEST_LIMIT = ("-o", "timeout=30")
"""Less than the suite's own: a test of a mutant that takes so long has noticed it."""

_ARGUMENTS = (
    "-q",
    "-x",
    "--no-header",
    "--tb=line",
    "--hypothesis-seed=0",
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *("-p", "no:cacheprovider"),
    *(argument for plugin in PLUGINS for argument in ("-p", plugin)),
)
_APP = tuple(f"{ROOT}{os.sep}{name}{os.sep}" for name in ("functions", "shared"))


def list_libraries(target: Path) -> int:
    """Import the app, and write down the modules that are not the repository's own."""
    importlib.import_module("function_app")
    for file in sorted((ROOT / "tests" / "support").glob("[a-z]*.py")):
        importlib.import_module(f"tests.support.{file.stem}")
    own = {"function_app", "functions", "shared", "tests", "local", "compat", "tenantry_client", "__main__"}
    target.write_text(json.dumps([name for name in sys.modules if name.split(".")[0] not in own]))
    return 0


def _prepare() -> None:
    sys.dont_write_bytecode = False
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # a failure is enough; nobody reads it
    hypothesis.settings.register_profile("mutants", phases=phases, database=None, derandomize=True)
    hypothesis.settings.load_profile("mutants")


class LineRecorder:
    """Plugin that records which lines of the app each test runs, and how long it computes."""

    def __init__(self) -> None:
        self.tests: list[dict[str, object]] = []
        self._lines: set[tuple[str, int]] = set()
        monitoring = sys.monitoring
        self._tool = monitoring.COVERAGE_ID
        monitoring.use_tool_id(self._tool, "mutants")
        monitoring.register_callback(self._tool, monitoring.events.LINE, self._record)
        monitoring.set_events(self._tool, monitoring.events.LINE)

    def _record(self, code: CodeType, line: int) -> object:
        if code.co_filename.startswith(_APP):
            self._lines.add((code.co_filename, line))
        return sys.monitoring.DISABLE

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Begin anew with each test."""
        self._lines.clear()
        sys.monitoring.restart_events()
        since = time.process_time()
        result = yield
        seconds = time.process_time() - since
        lines: dict[str, list[int]] = {}
        for file, line in sorted(self._lines):
            lines.setdefault(Path(file).relative_to(ROOT).as_posix(), []).append(line)
        self.tests.append({"id": item.nodeid, "seconds": round(seconds, 4), "lines": lines})
        return result


def record_lines(test_file: str, target: Path) -> int:
    """Run the tests of a file; write down what each runs, unless one fails."""
    _prepare()
    recorder = LineRecorder()
    status = pytest.main([test_file, *_ARGUMENTS], plugins=[recorder])
    if status in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        target.write_text(json.dumps(recorder.tests))
        return 0
    return int(status)


class ChosenTests:
    """Plugin that keeps the chosen tests, in their order, and writes down the first that fails."""

    def __init__(self, chosen: Sequence[str], failure: Path) -> None:
        self._order = {name: at for at, name in enumerate(chosen)}
        self._failure = failure

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out every other test."""
        kept = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(kept, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what failed."""
        if report.failed and not self._failure.exists():
            self._failure.write_text(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what cannot even be imported."""
        if report.failed and not self._failure.exists():
            self._failure.write_text(report.nodeid)


def run_tests(chosen: Sequence[str], failure: Path, fault: tuple[str, str] | None) -> int:
    """Run tests until one fails, with one module of the app as a mutant's; return pytest's exit status.

    Args:
        chosen: The ids of tests, in the order in which they are asked.
        failure: The file that gets the id of the test that fails.
        fault: The path of the module and its text; None for the app as it is.
    """
    _prepare()
    if fault is not None:
        sys.meta_path.insert(0, FaultyModule(*fault))
    files = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
    try:
        return int(pytest.main([*files, *_ARGUMENTS, *_TEST_LIMIT], plugins=[ChosenTests(chosen, failure)]))
    except (pytest.PytestWarning, ExceptionGroup):  # what was left behind shows when pytest ends: it fails
        traceback.print_exc()
        return int(pytest.ExitCode.TESTS_FAILED)


class FaultyModule(MetaPathFinder, Loader):
    """Importer of one module from another text than its file's, which stays as it is."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._name = path.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Claim the one module."""
        if fullname != self._name:
            return None
        spec = spec_from_loader(fullname, self, origin=str(ROOT / self._path))
        if spec is not None:
            spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the faulty text as the module."""
        exec(compile(self._text, str(ROOT / self._path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # the repository's own code, with one fault
