"""The export of a tenant with 1,100 prompts and 15,000 items: no page waits for what comes after it."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from tests.integration_tests.platform import Platform

pytestmark = [
    sized(900),
    pytest.mark.skipif(not SOAK, reason="a soak; exports/test_export.py counts the requests of a page"),
]

PROMPTS: Final = 1_100
ITEMS: Final = 15_000
PAGE: Final = 100
MOST_SECONDS: Final = 10.0
"""A page takes no further step after 8 s."""


def test_no_page_of_a_large_export_takes_longer_than_the_others(platform: Platform) -> None:
    tenant_id = platform.new_tenant("premium")
    owner = platform.caller(tenant_id)
    stored = 0
    while stored < ITEMS:
        for first in range(0, PROMPTS, 275):
            prompts = [
                {"name": f"p{number:04}", "template": f"{stored} {number}"}
                for number in range(first, first + 275)
            ]
            assert owner.must("POST", "/api/v1/prompts/batch-save", {"prompts": prompts})["failed"] == 0
        stored += PROMPTS

    seen: set[tuple[str, str]] = set()
    took: list[float] = []
    query = f"limit={PAGE}"
    while query:
        begun = time.monotonic()
        page = owner.must("GET", f"/api/v1/tenants/{tenant_id}/export?{query}")
        took.append(time.monotonic() - begun)
        seen |= {(thing["container"], str(thing["item"])) for thing in page["items"]}
        query = f"limit={PAGE}&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    ordered = sorted(took)
    tenths = [median(took[len(took) * part // 10 : len(took) * (part + 1) // 10]) for part in range(10)]
    print(  # noqa: T201  # the figures are the point of it
        f"\n{len(seen)} things in {len(took)} pages: p50 {median(took) * 1000:.0f} ms,"
        f" p99 {ordered[len(ordered) * 99 // 100 - 1] * 1000:.0f} ms, max {ordered[-1] * 1000:.0f} ms,"
        f" all {sum(took):.1f} s; by tenths {', '.join(f'{one * 1000:.0f}' for one in tenths)} ms"
    )
    assert len(seen) > ITEMS
    assert max(took) < MOST_SECONDS
