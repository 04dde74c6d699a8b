"""Memory does not grow with requests: refused ones of 150 kB, and a mix of all there is."""

from __future__ import annotations

import gc
import os
import random
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from shared.http.pipeline import serve
from tests.support.cpu_time import collector_at_rest
from tests.support.fakes import Call, request_of
from tests.support.isolation import operation
from tests.support.soak import SOAK, sized
from tests.support.whole_app import whole_app
from tests.unit_tests.whole_app.refusals import refusals, set_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.whole_app import WholeApp
    from tests.unit_tests.whole_app.refusals import Callers, Refusal

pytestmark = sized(600)

REFUSED: Final = 600
REFUSED_BYTES: Final = 150_000
MIXED: Final = 100_000 if SOAK else 800
BLOCKS: Final = 20
MOST_GROWTH: Final = 10_000_000
MOST_SLOPE: Final = 48 if SOAK else 1_500
"""Bytes per request. In the soak less than the smallest text that a request could leave behind.

What saves prompts takes some 10 of them, since here the store is in the same memory. When it is run small,
it is the noise of a page here and there.
"""


def resident() -> int:
    """Return the process's memory in bytes, after what can be freed is."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def padded(refusal: Refusal) -> Refusal:
    """Let a call that has a body have one of 150 kB, of the same meaning."""
    body = refusal.call.body
    if not body or len(body) > REFUSED_BYTES:
        return refusal
    return replace(refusal, call=replace(refusal.call, body=body.ljust(REFUSED_BYTES)))


async def send(app: WholeApp, route: str, call: Call) -> int:
    declared = app.client.route(route)
    response = await serve(declared, app.runtime, request_of(declared, call))
    app.clock.advance(0.001)
    return response.status_code


async def test_refused_requests_of_150_kb_leave_less_than_10_mb() -> None:
    async with whole_app() as app:
        cases = [padded(one) for one in refusals(app, await set_up(app)) if one.call.body]
        for one in cases:
            await send(app, one.route, one.call)
        runs = [[one] * REFUSED for one in cases] if SOAK else [list(islice(cycle(cases), REFUSED))]
        with collector_at_rest():
            for run in runs:
                before = resident()
                for one in run:
                    await send(app, one.route, one.call)
                assert resident() - before < MOST_GROWTH, str(run[0])


def reads(app: WholeApp, callers: Callers) -> list[tuple[str, Call]]:
    """Make a successful call of every route that reads."""
    calls = []
    for route in app.runtime.routes:
        if route.documented and route.min_role is not None and route.method == "GET":
            known = operation(route.name)
            query = known.needed_query(callers.names)
            calls.append((route.name, Call(known.address(callers.names), query, callers.of(route))))
    return calls


async def test_memory_does_not_grow_with_mixed_requests() -> None:
    chance = random.Random(7)  # noqa: S311  # the same mix each time
    async with whole_app() as app:
        callers = await set_up(app)
        mix = [(one.route, one.call) for one in refusals(app, callers)] + reads(app, callers) * 5
        for route, call in mix:
            await send(app, route, call)
        levels: list[tuple[int, int]] = []
        with collector_at_rest():
            for block in range(BLOCKS):
                app.cosmos.clear("audit")  # of the exports: here the store is in the same memory
                levels.append((block * MIXED // BLOCKS, resident()))
                for route, call in chance.choices(mix, k=MIXED // BLOCKS):
                    await send(app, route, call)
        assert slope(levels[BLOCKS // 4 :]) < MOST_SLOPE, " ".join(f"{level // 1_000}" for _, level in levels)


def slope(points: Sequence[tuple[int, int]]) -> float:
    """Return the median of all slopes between two points (Theil and Sen): one step moves it little."""
    return median((y2 - y1) / (x2 - x1) for x1, y1 in points for x2, y2 in points if x2 > x1)
