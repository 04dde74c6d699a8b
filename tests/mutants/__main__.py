"""`make mutants`: sample small faults of the core, try each, and tell what nothing noticed."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tests.mutants.areas import AREAS, ROOT, test_files
from tests.mutants.children import PLUGINS, list_libraries
from tests.mutants.edits import Source
from tests.mutants.equivalents import FILE, demand_that_all_exist, read_equivalents
from tests.mutants.forks import Job, run_forked
from tests.mutants.report import Result, Verdict, describe, share_of, table
from tests.mutants.run import Case, MutationRun, read_killers, write_killers
from tests.mutants.sample import draw, mutants_of
from tests.mutants.traces import record_traces

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = ROOT / ".mutants"


def main() -> int:
    """Run a sample; return 0 when the wanted share was noticed."""
    options = _parse_options()
    since = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    cases, equivalent = _sample(options)
    if options.list:
        sys.stdout.writelines(f"{describe(case.mutant)}\n" for case in cases)
        return 0
    _import_libraries()
    asked = [file for file in test_files() if not options.own or any(case.area.owns(file) for case in cases)]
    traces = record_traces(FOLDER / "traces", asked, options.at_once, _say)
    children = FOLDER / "children"
    children.mkdir(exist_ok=True)
    killers = read_killers(FOLDER / "killers.json")
    run = MutationRun(traces, children, options.at_once, killers, _say)
    results = [*run.run(cases), *equivalent]
    results.sort(key=lambda result: [area.name for area in AREAS].index(result.area))
    unsure = run.confirm(results)
    write_killers(FOLDER / "killers.json", killers, results)
    _write_results(results, time.monotonic() - since)
    if unsure:
        sys.stdout.write(f"These tests fail without any fault as well: {', '.join(unsure)}\n")
        return 2
    return 0 if share_of(results) >= options.share else 1


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--faults", type=int, default=300, help="how many, over all areas")
    parser.add_argument("--area", action="append", choices=[area.name for area in AREAS], help="only these")
    parser.add_argument("--seed", default="1", help="another seed is another sample")
    parser.add_argument("--share", type=float, default=0.92, help="what has to be found")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--survivors", action="store_true", help="only those that survived the last run")
    parser.add_argument("--own", action="store_true", help="ask only the areas' own tests")
    parser.add_argument("--list", action="store_true", help="show the sample, run nothing")
    return parser.parse_args()


def _sample(options: argparse.Namespace) -> tuple[list[Case], list[Result]]:
    """Draw the sample, as evenly over the areas as it can be; what changes nothing is named, not run."""
    areas = [area for area in AREAS if not options.area or area.name in options.area]
    everything = {area.name: [m for file in area.files() for m in mutants_of(_read(file))] for area in AREAS}
    named = read_equivalents(FILE.read_text())
    demand_that_all_exist(named, (mutant.key for mutants in everything.values() for mutant in mutants))
    survived = _survivors() if options.survivors else None
    cases, equivalent = [], []
    for at, area in enumerate(areas):
        count = options.faults // len(areas) + (at < options.faults % len(areas))
        mutants = everything[area.name]
        for mutant in draw(mutants, count, options.seed) if survived is None else mutants:
            if survived is not None and mutant.key.rank("") not in survived:
                continue
            if any(entry.names(mutant.key) for entry in named):
                equivalent.append(Result(area.name, mutant, Verdict.EQUIVALENT))
            else:
                cases.append(Case(area, mutant))
    return cases, equivalent


def _read(file: str) -> Source:
    return Source(file, (ROOT / file).read_text())


def _survivors() -> frozenset[str]:
    entries = json.loads((FOLDER / "results.json").read_text())["results"]
    return frozenset(entry["id"] for entry in entries if entry["verdict"] == Verdict.SURVIVED)


def _import_libraries() -> None:
    """Import what the app and its tests need from elsewhere, once; the app itself is each child's own."""
    target = FOLDER / "libraries.json"
    target.unlink(missing_ok=True)
    job = Job("libraries", partial(list_libraries, target), FOLDER / "libraries.txt", 120, 300)
    for outcome in run_forked([job], 1):
        if outcome.status:
            raise RuntimeError(outcome.job.output.read_text())
    for name in (*json.loads(target.read_text()), *PLUGINS):
        with suppress(ImportError):  # made by hand inside of another module
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a child's collector leaves what it shares with the others alone
    if threading.active_count() > 1:
        raise RuntimeError(f"a library started threads, which no child would have: {threading.enumerate()}")


def _write_results(results: Sequence[Result], seconds: float) -> None:
    entries = [result.as_json() | {"id": result.mutant.key.rank("")} for result in results]
    report = {"seconds": round(seconds), "share": round(share_of(results), 4), "results": entries}
    (FOLDER / "results.json").write_text(json.dumps(report, indent=1))
    for result in results:
        if result.verdict is Verdict.SURVIVED:
            sys.stdout.write(f"\n{describe(result.mutant)}\n")
    sys.stdout.write(f"\n{table(results)}\n\n{len(results)} faults in {seconds:.0f} s\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
