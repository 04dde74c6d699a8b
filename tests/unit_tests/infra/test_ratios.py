"""What the benchmark of ratios calls worse."""

from __future__ import annotations

import json

from tests.benchmarks.ratios import TABLE, name_worse

BEFORE = {"chat": 10.0, "lock": 2.0, "list": 4.0}


def test_a_fifth_more_is_not_worse_yet_and_what_is_above_is_named_with_both_figures() -> None:
    assert name_worse(BEFORE, {"chat": 12.0, "lock": 1.0, "list": 4.0}) == []
    assert name_worse(BEFORE, {"chat": 12.1, "lock": 2.0, "list": 4.0}) == ["chat: 12.10, was 10.00: +21%"]


def test_a_path_without_a_figure_and_a_figure_without_a_path_are_named() -> None:
    lines = name_worse(BEFORE, {"chat": 10.0, "lock": 2.0, "purge": 1.0})

    assert lines == ["purge: has no figure in ratios.json", "list: is not measured any more"]


def test_the_committed_table_has_figures() -> None:
    assert all(cost > 0 for cost in json.loads(TABLE.read_text()).values())
