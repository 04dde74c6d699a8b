"""The simulated store means by a condition what the local endpoint means."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from local.cosmos.sql.query import compile_query
from tests.support.simulated_cosmos import holds

if TYPE_CHECKING:
    from local.cosmos.values import JsonObject
    from shared.cosmos.container import Json

ITEM: Json = {
    "limits_version": 2,
    "settled": "1f",
    "tokens": 100,
    "requests": 3,
    "used": 40,
    "done": 1,
    "spent": {"d20260131": 70},
    "b": {"s1800000000": {"t": 100, "r": 3, "u": 40, "q": 1}},
}


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("c.limits_version = 2 AND c.tokens <= 100 AND c.requests <= 3", True),
        ("c.limits_version = 2 AND c.tokens <= 99", False),
        ("c.requests - c.done <= 2", True),
        ("c.requests - c.done <= 1", False),
        ("c.tokens <= -1", False),
        ("(c.spent.d20260131 ?? 0) + c.tokens - c.used <= 130", True),
        ("(c.spent.d20260131 ?? 0) + c.tokens - c.used <= 129", False),
        ("(c.spent.m202601 ?? 0) + c.tokens - c.used <= 60", True),
        ("c.b.s1800000000.t = 100 AND c.b.s1800000000.q = 1", True),
        ("c.b.s1800000000.t = 99", False),
        ("c.b.s1800000001.t = 0", False),
        ("IS_DEFINED(c.b.s1800000000) AND NOT IS_DEFINED(c.b.s1800000001)", True),
        ("NOT IS_DEFINED(c.b.s1800000000)", False),
        ('c.settled = "1f"', True),
        ('c.settled = "1e"', False),
        ("c.absent <= 5", False),
    ],
)
def test_a_condition_is_met_where_the_endpoint_says_so(condition: str, *, met: bool) -> None:
    query = compile_query(f"SELECT VALUE 1 FROM c WHERE {condition}")  # noqa: S608  # this table's
    assert query.matches(cast("JsonObject", ITEM), {}, 0) is met
    assert holds(ITEM, condition) is met
