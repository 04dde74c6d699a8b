"""Locks that expire without a report are logged by whoever finds them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from shared.logging.context import log_context
from tests.support.ledger_bench import Bench, used
from tests.support.ledger_simulation import APP, MODEL, TENANT, run_async

if TYPE_CHECKING:
    from collections.abc import Iterator


class Log(logging.Handler):
    """Keeps the warnings with the tenant that they are attributed to."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[tuple[str | None, int, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = record.__dict__
        self.lines.append((log_context().tenant_id, fields["locks"], fields["tokens"]))


@pytest.fixture
def log() -> Iterator[Log]:
    logger, handler = logging.getLogger("shared.tokens.unreported_locks"), Log()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_the_call_that_a_stopped_instance_never_reported_is_found_by_another(log: Log) -> None:
    async def scenario() -> None:
        bench = Bench()
        container, other = bench.instance()
        await bench.ledger.lock(TENANT, APP, 500, MODEL)
        reported = await bench.ledger.lock(TENANT, APP, 300, MODEL)
        released = await bench.ledger.lock(TENANT, APP, 200, MODEL)
        await bench.ledger.report(TENANT, APP, reported.lock_id, used(20))
        await bench.ledger.release(TENANT, APP, released.lock_id)
        bench.container.dead = True
        assert not container.dead
        for _ in range(8):
            await asyncio.sleep(64)
            lock = await other.lock(TENANT, APP, 20_000, MODEL)
            await other.report(TENANT, APP, lock.lock_id, used(1))

    run_async(scenario())
    assert log.lines == [("acme", 1, 500)]


@pytest.mark.slow
def test_a_flood_of_them_is_one_line_a_minute(log: Log) -> None:
    async def scenario() -> None:
        bench = Bench()
        for _ in range(300):
            await bench.ledger.lock(TENANT, APP, 10, MODEL)
            await asyncio.sleep(3)

    run_async(scenario())
    seconds, most = 900, 300
    assert seconds / 60 / 2 <= len(log.lines) <= seconds / 60
    assert 250 <= sum(locks for _, locks, _ in log.lines) <= most
