"""No circle of imports anywhere: what is imported can be understood without what imports it."""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

PACKAGES = ("functions", "shared", "compat", "tenantry_client", "infra", "local", "tests")


@pytest.mark.slow
def test_no_module_needs_one_that_needs_it() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)

    assert len(graph.modules) > 500
    TopologicalSorter({one: graph.find_modules_directly_imported_by(one) for one in graph.modules}).prepare()


@pytest.mark.slow
def test_what_is_left_out_of_the_deployment_is_imported_by_nothing_in_it() -> None:
    left_out = set((Path(__file__).parents[3] / ".funcignore").read_text().split()) & set(PACKAGES)
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)

    deployed = {one for one in graph.modules if one.partition(".")[0] not in left_out}
    needed = {other for one in deployed for other in graph.find_modules_directly_imported_by(one)}

    assert {"functions", "shared", "tenantry_client"}.isdisjoint(left_out)
    assert {one for one in needed if one.partition(".")[0] in left_out} == set()
