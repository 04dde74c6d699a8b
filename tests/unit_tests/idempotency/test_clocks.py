"""A claim holds between instances whose clocks differ by as much as is promised: 40 s."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.http.idempotency import LEASE_SECONDS, Idempotency, RequestInWorkError
from shared.http.routes import LONGEST_ANSWER_SECONDS
from tests.support.fakes import EPOCH, FakeClock
from tests.unit_tests.idempotency.work import ACME, ASKED, DONE, Held, Work

if TYPE_CHECKING:
    from tests.support.memory_cosmos import MemoryCosmos

SKEW_SECONDS = 40
LONGEST_REQUEST_SECONDS = 200


@pytest.mark.parametrize("ahead", [SKEW_SECONDS, 0, -SKEW_SECONDS])
async def test_two_instances_never_run_one_request_at_once_though_their_clocks_are_40_seconds_apart(
    cosmos: MemoryCosmos, ahead: int
) -> None:
    ours, theirs = FakeClock(EPOCH), FakeClock(EPOCH + timedelta(seconds=ahead))
    held, second = Held(), Work()
    first = Idempotency(cosmos.container("idempotency"), ours)
    other = Idempotency(cosmos.container("idempotency"), theirs)
    running = asyncio.create_task(first.run_once(ACME, ASKED, held))
    await held.begun.wait()

    for clock in (ours, theirs):
        clock.advance(LONGEST_REQUEST_SECONDS - 1)
    with pytest.raises(RequestInWorkError):
        await other.run_once(ACME, ASKED, second)
    held.let_go.set()

    assert await running == DONE
    assert await other.run_once(ACME, ASKED, second) == DONE
    assert (held.runs, second.runs) == (1, 0)


def test_a_lease_is_the_longest_request_and_the_skew_that_is_promised() -> None:
    assert LONGEST_ANSWER_SECONDS <= LONGEST_REQUEST_SECONDS
    assert LEASE_SECONDS == LONGEST_REQUEST_SECONDS + SKEW_SECONDS
