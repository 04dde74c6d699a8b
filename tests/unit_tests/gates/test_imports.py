"""No circle of imports anywhere: what is imported can be understood without what imports it."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp

PACKAGES = ("functions", "shared", "compat", "tenantry_client", "local", "tests")


def test_no_module_needs_one_that_needs_it() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)

    assert len(graph.modules) > 500
    TopologicalSorter({one: graph.find_modules_directly_imported_by(one) for one in graph.modules}).prepare()
