"""A race between regions in tasks of asyncio; whoever lost is cancelled before the answer is returned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenantry_client.cosmos.hedging import is_final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenantry_client.cosmos.answers import Answer
    from tenantry_client.cosmos.hedging import Arm, HedgingRules


async def race(arms: Sequence[Arm], rules: HedgingRules) -> Answer:
    """Return the first answer that is final, or whatever becomes of the first arm where that is sooner."""
    first = asyncio.ensure_future(arms[0]())
    running = {first}
    waiting = list(arms[1:])
    patience = rules.threshold
    try:
        while True:
            may_start = bool(waiting) and (rules.at_once is None or len(running) < rules.at_once)
            done, _ = await asyncio.wait(
                running,
                timeout=patience if may_start else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for arm in done - {first}:
                if arm.exception() is None and is_final(arm.result()):
                    return arm.result()
            if first in done:
                return first.result()
            running -= done
            if not done:
                running.add(asyncio.ensure_future(waiting.pop(0)()))
                patience = rules.step
    finally:
        for arm in running:
            arm.cancel()
        await asyncio.gather(*running, return_exceptions=True)
