"""Runs mutants: asks the tests that can notice each, its area's own first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.mutants.children import run_tests
from tests.mutants.forks import TIMED_OUT, Job, run_forked
from tests.mutants.report import Result, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.mutants.areas import Area
    from tests.mutants.forks import Outcome
    from tests.mutants.sample import Mutant
    from tests.mutants.traces import Traces

_OK, _NONE_COLLECTED, _CRASHED = 0, 5, 70
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Case:
    """A mutant to be tried, and its area."""

    area: Area
    mutant: Mutant


@dataclass(slots=True)
class MutationRun:
    """One run over a sample.

    Attributes:
        traces: Which tests run which lines.
        folder: Where children write.
        at_once: How many run side by side.
        killers: The tests that noticed mutants before, by the mutants' ranks; they are asked first.
        say: Tells how far it is.
    """

    traces: Traces
    folder: Path
    at_once: int
    killers: dict[str, str]
    say: Callable[[str], None]

    def run(self, cases: Sequence[Case]) -> list[Result]:
        """Try every case; return the results in the cases' order."""
        found: dict[int, Result] = {}
        rounds = (self._known_killers, self._own_tests, self._other_tests)
        for name, choose in zip(("known", "own", "other"), rounds, strict=True):
            left = [
                (at, case, tests)
                for at, case in enumerate(cases)
                if at not in found and (tests := choose(case))
            ]
            found.update(self._round(name, left))
        return [
            found.get(at, Result(case.area.name, case.mutant, Verdict.SURVIVED))
            for at, case in enumerate(cases)
        ]

    def confirm(self, results: Sequence[Result]) -> list[str]:
        """Run what noticed faults on the app as it is; return the files that fail even so."""
        by_file: dict[str, set[str]] = {}
        for result in results:
            if "::" in result.by:
                by_file.setdefault(result.by.partition("::")[0], set()).add(result.by)
        jobs = [
            self._job(f"confirm-{at}", file, sorted(tests), None)
            for at, (file, tests) in enumerate(sorted(by_file.items()))
        ]
        return [outcome.job.name for outcome in run_forked(jobs, self.at_once) if outcome.status != _OK]

    def _known_killers(self, case: Case) -> list[str]:
        killer = self.killers.get(case.mutant.key.rank(""), "")
        return [killer] if any(test.id == killer for test in self.traces.tests) else []

    def _own_tests(self, case: Case) -> list[str]:
        return self.traces.choose(case.mutant, case.area)[0]

    def _other_tests(self, case: Case) -> list[str]:
        return self.traces.choose(case.mutant, case.area)[1]

    def _round(self, name: str, left: Sequence[tuple[int, Case, list[str]]]) -> Iterator[tuple[int, Result]]:
        chosen = {str(at): (at, case) for at, case, _ in left}
        jobs = (
            self._job(f"{name}-{at}", str(at), tests, (case.mutant.key.module, case.mutant.text))
            for at, case, tests in left
        )
        for number, outcome in enumerate(run_forked(jobs, self.at_once), 1):
            at, case = chosen[outcome.job.name]
            verdict, by = self._judge(outcome)
            self.say(
                f"{name} tests, {number} of {len(left)}: {verdict} {case.mutant.key.module}:{case.mutant.at}"
                f" {case.mutant.key.change} ({outcome.seconds:.1f} s){f' by {by}' if by else ''}"
            )
            if verdict is Verdict.FOUND:
                yield at, Result(case.area.name, case.mutant, verdict, by, outcome.seconds)

    def _job(self, label: str, name: str, tests: list[str], fault: tuple[str, str] | None) -> Job:
        failure = self.folder / f"{label}.failure"
        failure.unlink(missing_ok=True)
        seconds = self.traces.seconds(tests)
        return Job(
            name,
            partial(run_tests, tests, failure, fault),
            self.folder / f"{label}.txt",
            cpu_seconds=_START_SECONDS + 4 * seconds,
            wall_seconds=2 * _START_SECONDS + 10 * seconds,
        )

    def _judge(self, outcome: Outcome) -> tuple[Verdict, str]:
        if outcome.status in {_OK, _NONE_COLLECTED}:
            return Verdict.SURVIVED, ""
        if outcome.status == _CRASHED:
            raise RuntimeError(f"a child broke: {outcome.job.output.read_text()[-2000:]}")
        failure = outcome.job.output.with_suffix(".failure")
        if outcome.status == TIMED_OUT:
            return Verdict.FOUND, "time"
        return Verdict.FOUND, failure.read_text() if failure.exists() else f"status {outcome.status}"


def read_killers(file: Path) -> dict[str, str]:
    """Return which test noticed which mutant in earlier runs."""
    return dict(json.loads(file.read_text())) if file.exists() else {}


def write_killers(file: Path, killers: dict[str, str], results: Sequence[Result]) -> None:
    """Keep which test noticed which mutant, for the next run."""
    new = {result.mutant.key.rank(""): result.by for result in results if "::" in result.by}
    file.write_text(json.dumps(killers | new, indent=1, sort_keys=True))
