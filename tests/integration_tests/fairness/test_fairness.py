"""A tenant's job starts in time whatever other tenants have on the queue."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration_tests.fairness.test_floods import start_one
from tests.integration_tests.fairness.work import MOST_SECONDS, NAMES, slow_steps, two_instances
from tests.integration_tests.jobs.work import BOTH, REASONING, Work
from tests.integration_tests.platform import wait_for
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.integration_tests.platform import Caller, Platform

pytestmark = [
    sized(900),
    pytest.mark.local_endpoints,
    pytest.mark.skipif(
        not SOAK, reason="a soak; reasoning/test_working.py has that a job gives its place back"
    ),
]

OTHERS: Final = 4
EVERY_SECONDS: Final = 6.0
MANY: Final = 120
QUIET_JOBS: Final = 10
LONG_STEP_SECONDS: Final = 10.0
"""How long a job of many is in its first step, in which it is looked at."""


@pytest.fixture(scope="module")
def instances(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with two_instances(platform, tmp_path_factory.mktemp("fairness")) as running:
        yield running


def jobs_of_another(platform: Platform, work: Work) -> list[float]:
    """Let another tenant have one job after the other; return how long each took to start."""
    other = platform.caller(platform.new_tenant())
    return [start_one(work, other, f"mine-{number}") for number in range(QUIET_JOBS)]


def tell(what: str, took: Sequence[float]) -> None:
    print(  # noqa: T201  # the figures are the point of it
        f"\n{what}: started after p50 {median(took):.2f} s, max {max(took):.2f} s of {len(took)}"
    )


@contextmanager
def small_jobs(callers: Sequence[Caller]) -> Iterator[None]:
    """Let each of some tenants post a job into each of its sessions every six seconds."""
    over = threading.Event()
    turns: list[int] = []

    def run() -> None:
        while not over.is_set():
            for caller in callers:
                for number in range(8):  # ids that fall into all four sessions
                    REASONING.post(caller, f"small-{len(turns)}-{number}")
            turns.append(len(turns))
            over.wait(EVERY_SECONDS)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(lambda: len(turns), lambda count: count > 2)
        yield
    finally:
        over.set()
        thread.join()


def test_sessions_that_never_rest_keep_no_other_tenant_waiting(instances: Platform) -> None:
    callers = [instances.caller(instances.new_tenant("free")) for _ in range(OTHERS)]
    with small_jobs(callers):
        took = jobs_of_another(instances, REASONING)
    tell(f"{OTHERS} tenants post into all of their sessions every {EVERY_SECONDS:.0f} s", took)
    assert max(took) < MOST_SECONDS


@pytest.mark.parametrize("work", BOTH, ids=NAMES)
def test_jobs_that_wait_for_a_budget_keep_no_other_tenant_waiting(instances: Platform, work: Work) -> None:
    for _ in range(OTHERS):
        caller = without_budget(instances)
        for number in range(8):
            work.post(caller, f"waiting-{number}")
        wait_for(partial(work.show, caller, "waiting-0"), lambda job: job["waiting_until"] is not None)
    took = jobs_of_another(instances, work)
    tell(f"{OTHERS} tenants without budget have eight jobs each at {work.path}", took)
    assert max(took) < MOST_SECONDS


def without_budget(platform: Platform) -> Caller:
    """Make a tenant that has used the tokens of its day."""
    tenant_id = platform.new_tenant("free")
    platform.admin.must("PUT", f"/api/v1/tenants/{tenant_id}/limits", {"tokens_per_day": 5_000})
    caller = platform.caller(tenant_id)
    lock = {"app_id": "all", "token_count": 5_000}
    request_id = caller.must("POST", "/api/v1/tokens/lock", lock)["request_id"]
    used = {"app_id": "all", "request_id": request_id, "prompt_tokens": 5_000, "completion_tokens": 0}
    caller.must("POST", "/api/v1/tokens/report", used)
    return caller


@pytest.mark.parametrize("work", BOTH, ids=NAMES)
def test_one_job_each_of_many_tenants_starts_soon(instances: Platform, work: Work) -> None:
    callers = [instances.caller(instances.new_tenant()) for _ in range(MANY)]
    with slow_steps(instances, LONG_STEP_SECONDS) as word, ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda caller: work.post(caller, "one", f"How late is it? {word}"), callers))
        took = list(pool.map(partial(find_start, work), callers))
    tell(f"one job each of {MANY} tenants at once at {work.path}", took)
    assert max(took) < MOST_SECONDS


def find_start(work: Work, caller: Caller) -> float:
    """Return how long after it was accepted a tenant's job was begun, by the app's own times.

    A job in its first step was last changed when it was begun.
    """
    job = wait_for(partial(work.show, caller, "one"), lambda job: job["status"] != "queued", 120)
    late = 0.0 if job["status"] == "running" else LONG_STEP_SECONDS
    return max(0.0, seconds_between(job, "created_at", "updated_at") - late)


def seconds_between(job: Mapping[str, str], first: str, last: str) -> float:
    """Return the seconds between two of a job's times."""
    begun, ended = (datetime.fromisoformat(job[name]) for name in (first, last))
    return (ended - begun).total_seconds()
