"""Jobs while instances of the app are killed: each has one result, one out message and one bill."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import pytest
from azure.cosmos import CosmosClient

from local.supervisor.addresses import COSMOS_KEY
from shared.clock import SystemClock
from shared.jobs.claims import LEFT_BY_WORKER
from tests.integration_tests.jobs.bench import POISON, bench_on, tell
from tests.integration_tests.jobs.conftest import HOLD_SECONDS
from tests.integration_tests.jobs.model import heal_model, tell_model
from tests.integration_tests.jobs.work import (
    BOTH,
    FEEDBACK,
    REASONING,
    Senders,
    Work,
    collected_results,
    patiently,
    post_through_kills,
    senders_of,
)
from tests.integration_tests.platform import wait_for
from tests.support.plain_http import plain_http
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.cosmos import ContainerProxy

    from tests.integration_tests.jobs.bench import Bench
    from tests.integration_tests.jobs.instances import Instances
    from tests.integration_tests.jobs.work import Results
    from tests.integration_tests.platform import Caller, Platform

pytestmark = [sized(1800 if SOAK else 180), pytest.mark.local_endpoints]

TENANTS, JOBS_EACH = (20, 100) if SOAK else (2, 12)
KILL_EVERY_SECONDS: Final = 5.0 if SOAK else 0.5
MOST_KILLS: Final = 10_000 if SOAK else 1
STRATEGIES: Final = ("direct", "plan_and_solve", "self_consistency", "research")
ANSWER_MS: Final = 100
"""How long the model thinks, so that something is in flight when an instance dies."""

STUBBORN: Final = "a call of this one fails four times"
"""More often than a call is tried: the job fails, and is put off."""

LOCK_SECONDS: Final = 60.0
"""How long a lock counts against a budget that nobody reported or gave back."""

DEATHS: Final = 5 if SOAK else 1
BEAT_SECONDS: Final = HOLD_SECONDS / 3
"""How often a worker says that it lives: a third of its lease (conftest.py)."""


@pytest.fixture
def bench(instances: Instances) -> Iterator[Bench]:
    instances.await_all()
    with bench_on(instances.platform) as opened:
        yield opened


@dataclass(frozen=True)
class Tenant:
    """One tenant with its jobs."""

    tenant_id: str
    caller: Caller
    jobs: tuple[tuple[Work, dict[str, object]], ...]


@dataclass
class Sums:
    """What became of all jobs.

    Attributes:
        paid: Calls that the tenants paid.
        steps: Steps that the jobs have.
        tokens_paid: Tokens that the tenants paid.
        tokens_used: Tokens that the jobs tell.
    """

    jobs: int = 0
    paid: int = 0
    steps: int = 0
    tokens_paid: int = 0
    tokens_used: int = 0

    @property
    def twice(self) -> int:
        """Return how many steps were paid once more than they had to."""
        return self.paid - self.steps


def write_text(tenant_id: str, work: Work, number: int) -> str:
    """Write what a job asks; that of a stubborn one is no other's."""
    stubborn = f" {STUBBORN}: {tenant_id} {work.name}-{number:03}." if number % 20 == 3 else ""
    return f"Why is number {number} late?{stubborn}"


def new_jobs(tenant_id: str) -> tuple[tuple[Work, dict[str, object]], ...]:
    """Make the requests of one tenant: half of them for each queue, of all strategies in turn."""
    jobs = []
    for number in range(JOBS_EACH // 2):
        more = {"strategy": STRATEGIES[number % len(STRATEGIES)]}
        for work in BOTH:
            text = write_text(tenant_id, work, number)
            request = work.request(f"{work.name}-{number:03}", text, **(more if work is REASONING else {}))
            jobs.append((work, request))
    return tuple(jobs)


def fail_some_calls(instances: Instances, tenants: list[str]) -> None:
    """Let one call of ten fail, some jobs' first four, and the others take a moment."""
    for tenant_id, work, number in product(tenants, BOTH, range(3, JOBS_EACH // 2, 20)):
        text = write_text(tenant_id, work, number)
        tell_model(instances.platform, "faults", contains=text, status=503, count=4)
    tell_model(instances.platform, "faults", status=503, every=10, count=None)
    tell_model(instances.platform, "faults", delay_ms=ANSWER_MS, count=None)


def send_twice(senders: Senders, tenant: Tenant) -> None:
    """Send each job twice: every other one over HTTP and to its queue, the rest to the queue alone."""
    for number, (work, request) in enumerate(tenant.jobs):
        if number // 2 % 2:
            post_through_kills(tenant.caller, work, request)
        else:
            senders.send_request(work, tenant.tenant_id, request)
        senders.send_request(work, tenant.tenant_id, request)


@contextmanager
def kills(instances: Instances) -> Iterator[None]:
    """Kill an instance each few seconds, as soon as the one that was killed before serves again."""
    over = threading.Event()

    def keep_killing() -> None:
        left = MOST_KILLS
        while left and not over.wait(KILL_EVERY_SECONDS):
            instances.kill_oldest()
            left -= 1

    thread = threading.Thread(target=keep_killing)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def list_jobs(tenant: Tenant) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all jobs of a tenant by application and id."""
    listed = {}
    for work in BOTH:
        for job in patiently(partial(work.list, tenant.caller)):
            listed[work.app_id, str(job.get("job_id") or job["feedback_id"])] = job
    return listed


def read_bill(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Return what a tenant paid, by application."""
    shown = tenant.caller.must("GET", "/api/v1/usage?group_by=app_id")
    return {row["app_id"]: row for row in shown["items"]}


def await_results(results: Results, tenants: list[Tenant]) -> None:
    """Wait until each job has told its end: it was stored before."""
    jobs = {(tenant.tenant_id, str(job["id"])) for tenant in tenants for _, job in tenant.jobs}
    wait_for(
        lambda: jobs - results.ids.keys(), lambda left: not left, 1200 if SOAK else 90, "without a result"
    )


def await_silence(platform: Platform) -> None:
    """Wait until no queue of jobs has a message, not for later either."""
    status = platform.addresses["servicebus"].replace("sb://", "http://") + "/status"
    queues = {queue for work in BOTH for queue in (work.in_queue, work.out_queue)}

    def count() -> int:
        listed = plain_http.get(status).json()["queues"]
        return sum(one["active"] + one["scheduled"] for one in listed if one["name"] in queues)

    wait_for(count, lambda left: left == 0, 120)


def count_take_overs(instances: Instances, tenants: set[str]) -> Counter[tuple[str, str]]:
    """Count how often each job of some tenants was taken out of a dead worker's hands."""
    return Counter(
        (line["tenant_id"], line["extra"]["job_id"])
        for line in instances.lines()
        if line.get("message") == LEFT_BY_WORKER and line["tenant_id"] in tenants
    )


def count_paid_steps(instances: Instances, tenants: set[str]) -> Counter[tuple[str, str, str]]:
    """Count how often each step of each job was answered and reported, as far as the log knows."""
    return Counter(
        (line["tenant_id"], line["extra"]["job_id"], line["extra"]["step"])
        for line in instances.lines()
        if (extra := line.get("extra", {})).get("event") == "model_call"
        and extra["status"] == "succeeded"
        and line["tenant_id"] in tenants
    )


def count_unclear_calls(instances: Instances, tenants: set[str]) -> int:
    """Count the calls that failed, and may have used tokens: their locks stay until they lapse."""
    return sum(
        line.get("extra", {}).get("event") == "model_call" and line["extra"]["status"] == "failed"
        for line in instances.lines()
        if line.get("tenant_id") in tenants
    )


def sum_up(tenants: list[Tenant], ended: list[dict[tuple[str, str], dict[str, Any]]]) -> Sums:
    """Compare the jobs of all tenants with what each of them paid."""
    sums = Sums()
    for tenant, jobs in zip(tenants, ended, strict=True):
        assert {name: job["error"] for name, job in jobs.items() if job["status"] != "succeeded"} == {}
        bill = read_bill(tenant)
        for work in BOTH:
            of_work = [job for (app_id, _), job in jobs.items() if app_id == work.app_id]
            sums.jobs += len(of_work)
            sums.steps += sum(len(job.get("steps") or [job]) for job in of_work)
            sums.paid += bill[work.app_id]["requests"]
            sums.tokens_used += sum(job["usage"]["total_tokens"] for job in of_work)
            sums.tokens_paid += bill[work.app_id]["total_tokens"]
    return sums


def count_locked(tenants: list[Tenant]) -> int:
    """Count the locks of all tenants that nobody has reported or given back."""
    return sum(
        tenant.caller.must("GET", "/api/v1/tokens/status?app_id=reasoner")["locked_requests"]
        for tenant in tenants
    )


def test_jobs_that_come_twice_while_instances_are_killed_have_one_result_and_one_bill(
    instances: Instances,
) -> None:
    instances.await_all()
    made = [instances.platform.new_tenant("premium") for _ in range(TENANTS)]
    tenants = [Tenant(name, instances.platform.caller(name), new_jobs(name)) for name in made]
    fail_some_calls(instances, made)
    began, before = time.monotonic(), len(instances.killed)
    with collected_results(instances.platform) as results, senders_of(instances.platform) as senders:
        with kills(instances), ThreadPoolExecutor(4) as pool:
            list(pool.map(partial(send_twice, senders), tenants))
            await_results(results, tenants)
        if SOAK:
            await_silence(instances.platform)
    seconds = time.monotonic() - began
    ended = [list_jobs(tenant) for tenant in tenants]
    sums, left = sum_up(tenants, ended), count_take_overs(instances, set(made))
    again = {step: count - 1 for step, count in count_paid_steps(instances, set(made)).items() if count > 1}
    locked, unclear = count_locked(tenants), count_unclear_calls(instances, set(made))
    kills_made = len(instances.killed) - before

    print(  # noqa: T201  # the sums are the point of it
        f"\n{sums.jobs} jobs of {TENANTS} tenants in {seconds:.0f} s, {kills_made} kills: "
        f"{sum(left.values())} jobs left by dead workers, {sums.twice} steps of {sums.steps} paid twice "
        f"({sums.tokens_paid - sums.tokens_used} of {sums.tokens_paid} tokens), {results.repeats} results "
        f"sent again, {locked} locks still held, {unclear} calls failed"
    )
    assert kills_made > 0
    assert {job: len(ids) for job, ids in results.ids.items() if len(ids) > 1} == {}
    assert {job: len(bodies) for job, bodies in results.bodies.items() if len(bodies) > 1} == {}
    # A step is paid once more only where its worker died with it.
    assert Counter({step[:2]: count for step, count in again.items()}) <= left
    assert 0 <= sums.twice <= sum(left.values())
    assert (sums.tokens_paid > sums.tokens_used) == (sums.twice > 0)
    assert locked <= sum(left.values()) + unclear
    if SOAK:
        wait_for(partial(count_locked, tenants), lambda count: count == 0, LOCK_SECONDS + 30)
    heal_model(instances.platform)


class Worker:
    """The worker that has a job, found by its silence.

    Args:
        bench: Where it works.
        instances: The instances of the app, of which one has it.
        job_id: The job's id.
        container: Where it is stored.
    """

    def __init__(self, bench: Bench, instances: Instances, job_id: str, container: ContainerProxy) -> None:
        self._bench, self._instances, self._job_id = bench, instances, job_id
        self._container = container
        self._last_lease = 0.0

    def kill(self) -> None:
        """Kill -9 the instance that has the job, once one has: without it the lease stays as it is."""
        suspect, other = self._instances.await_all()
        lease = wait_for(self._read_lease, lambda lease: lease > self._last_lease)
        wait_for(self._read_lease, lambda now: now > lease)  # it has just said that it lives
        os.kill(suspect, signal.SIGSTOP)
        lease, clock = self._read_lease(), SystemClock()
        until = clock.monotonic() + BEAT_SECONDS * 1.5
        wait_for(lambda: clock.monotonic() > until or self._read_lease() > lease, bool)
        self._last_lease = self._read_lease()
        is_free = self._last_lease > lease
        if is_free:
            os.kill(suspect, signal.SIGCONT)
        self._instances.kill(other if is_free else suspect)

    def _read_lease(self) -> float:
        found: list[Any] = list(
            self._container.query_items(
                "SELECT VALUE c.lease_until FROM c WHERE c.id = @id AND c.tenant_id = @tenant",
                parameters=[
                    {"name": "@id", "value": self._job_id},
                    {"name": "@tenant", "value": self._bench.tenant_id},
                ],
                enable_cross_partition_query=True,
            )
        )
        return float(found[0]) if found else 0.0


@pytest.mark.parametrize(
    ("work", "container"),
    [(REASONING, "jobs"), (FEEDBACK, "feedback")][: 2 if SOAK else 1],
    ids=lambda one: getattr(one, "in_queue", ""),
)
def test_a_job_whose_workers_die_gives_its_session_back_and_ends_with_the_reason(
    bench: Bench, instances: Instances, work: Work, container: str
) -> None:
    word = uuid.uuid4().hex
    tell_model(bench.platform, "faults", contains=word, delay_ms=600_000, count=None)
    with CosmosClient(bench.platform.addresses["cosmos"], COSMOS_KEY) as cosmos:
        stored = cosmos.get_database_client("tenantry").get_container_client(container)
        worker, alone, beside = Worker(bench, instances, POISON, stored), bench.probe_often(work), []
        bench.send(work, bench.request(work, POISON, f"Why {word}?"))
        for _ in range(DEATHS):
            worker.kill()
            beside.append(bench.probe(work))
    each = ", ".join(f"{seconds:.2f} s" for seconds in beside)
    tell(f"a worker that died {DEATHS} times ({each})", work, alone, max(beside))
    if not SOAK:
        heal_model(bench.platform)
        assert work.wait_until_over(bench.caller, POISON)["status"] == "succeeded"
        return
    job = work.wait_until_over(bench.caller, POISON)
    assert (job["status"], job["error"]) == ("failed", "No delivery is left. At the last: Its worker died")
    letters = bench.caller.must("GET", "/api/v1/dead-letters?reason=DeliveriesExhaustedError")["items"]
    assert [letter["job_id"] for letter in letters] == [POISON]
