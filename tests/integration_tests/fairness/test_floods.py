"""A quiet tenant's job starts while others flood the queues: theirs wait in the store for places."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration_tests.fairness.work import MOST_SECONDS, NAMES, slow_steps, two_instances, unlimited
from tests.integration_tests.jobs.work import BOTH, Work
from tests.integration_tests.platform import wait_for
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.integration_tests.platform import Caller, Platform

pytestmark = [
    sized(60),
    pytest.mark.local_endpoints,
    *([pytest.mark.timeout(7200)] if SOAK else []),  # 160,000 posts, at 100 a second or less
]

FLOODING: Final = (1, 8, 32) if SOAK else (4,)
"""Numbers of tenants that flood a queue."""

JOBS: Final = 5_000 if SOAK else 12
"""How many jobs each of them has."""

AT_ONCE: Final = 50
"""How many of them a thread posts for one tenant, before it is another's turn."""

BEGIN_SECONDS: Final = 900 if SOAK else 60
"""How long a flood may take to begin: nine files are imported at a time, those of 32 tenants in turns."""

QUIET_JOBS: Final = 20 if SOAK else 1
"""The fewest jobs of the quiet tenant: it has one after the other for as long as the others post."""


@pytest.fixture
def instances(platform: Platform, tmp_path: Path) -> Iterator[Platform]:
    with two_instances(platform, tmp_path) as running:
        yield running


class Flood:
    """Tenants that post many jobs each, in the background.

    Args:
        work: The jobs.
        callers: The tenants.
        text: The text of each job.
    """

    def __init__(self, work: Work, callers: Sequence[Caller], text: str) -> None:
        self._work = work
        self._callers = callers
        self._text = text
        self._is_stopped = threading.Event()
        self.posted = 0
        self.is_over = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Post within the block, and until all is posted or the block ends by an error."""
        with ThreadPoolExecutor(9) as pool:
            posting = pool.submit(self._post_all, pool)
            try:
                yield
            except BaseException:
                self._is_stopped.set()
                raise
            posting.result()

    def _post_all(self, pool: ThreadPoolExecutor) -> None:
        at_once = JOBS if self._work.imports else AT_ONCE
        for first in range(0, JOBS, at_once):
            count = min(at_once, JOBS - first)
            list(pool.map(lambda caller: self._post(caller, first, count), self._callers))  # noqa: B023  # called at once
        self.is_over = True

    def _post(self, caller: Caller, first: int, count: int) -> None:
        if not self._is_stopped.is_set():
            self._work.post_many(caller, first, count, self._text)
            self.posted += count


@pytest.mark.parametrize("work", BOTH, ids=NAMES)
@pytest.mark.parametrize("flooding", FLOODING)
def test_a_quiet_tenants_job_starts_while_others_have_thousands(
    instances: Platform, flooding: int, work: Work
) -> None:
    others = [unlimited(instances) for _ in range(flooding)]
    quiet = instances.caller(instances.new_tenant())
    took: list[float] = []
    with slow_steps(instances) as word:
        flood = Flood(work, others, f"How late is it? {word}")
        with flood.running():
            for caller in others:
                wait_for(partial(work.count, caller, "running"), bool)
            while len(took) < QUIET_JOBS or not flood.is_over:
                took.append(start_one(work, quiet, f"mine-{len(took)}"))
        left = [work.count(caller, "queued") for caller in others]
    print(  # noqa: T201  # the figures are the point of it
        f"\n{flooding} post {flood.posted} to {work.path}: each of {len(took)} quiet jobs starts within"
        f" {max(took):.2f} s ({MOST_SECONDS} allowed); of the others' wait (50 counted): {left}"
    )
    assert sum(left) > 0  # in the order in which they were posted all of these would have been begun before
    if SOAK:
        assert max(took) < MOST_SECONDS
        return
    for caller in others:
        wait_for(partial(work.count, caller, "succeeded"), lambda count: count == JOBS)


def start_one(work: Work, caller: Caller, job_id: str) -> float:
    """Post a job, wait for its end; return how long it took to start."""
    begun = time.monotonic()
    work.post(caller, job_id)
    show = partial(work.show, caller, job_id)
    wait_for(show, lambda job: job["status"] != "queued", 120)
    took = time.monotonic() - begun
    job = wait_for(show, lambda job: job["status"] in {"succeeded", "failed"}, 120)
    assert job["status"] == "succeeded", job
    return took
