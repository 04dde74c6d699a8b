"""Work that comes over either queue, as a tenant asks for it, on two instances where a soak asks for that."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.integration_tests.conftest import PERIODS
from tests.integration_tests.platform import running_platform
from tests.support.soak import SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration_tests.platform import Caller, Platform

STEP_SECONDS: Final = 3.0 if SOAK else 0.5
"""How long a model's answer takes to what is said to be slow."""

MOST_SECONDS: Final = STEP_SECONDS + 2
"""The longest that a job may wait for its start: the longest step in flight, and two seconds."""

ROWS: Final = 1_000
NO_LIMITS: Final = {"tokens_per_minute": 10**9, "requests_per_minute": 10**7, "concurrency": 10**5}
RATES: Final = {"REQUESTS_PER_MINUTE_PREMIUM": "10000000"}


@dataclass(frozen=True)
class Work:
    """One capability that a queue feeds.

    Attributes:
        path: The path under which its jobs are posted and shown.
        fields: The fields of each job, beside its id and text.
        imports: Whether many jobs are posted as one file.
    """

    path: str
    fields: tuple[tuple[str, str], ...] = ()
    imports: bool = False

    def post(self, caller: Caller, job_id: str, text: str = "How late is it?") -> None:
        """Post a job; wait where the tenant's rate says so."""
        body = {"id": job_id, "text": text, **dict(self.fields)}
        while (answer := caller.send("POST", self.path, body)).status_code == httpx.codes.TOO_MANY_REQUESTS:
            time.sleep(float(answer.headers["retry-after"]))
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    def post_many(self, caller: Caller, first: int, count: int, text: str) -> None:
        """Post many jobs: one after the other, or as files of rows."""
        if not self.imports:
            for number in range(first, first + count):
                self.post(caller, f"flood-{number}", text)
            return
        for begin in range(0, count, ROWS):
            rows = min(ROWS, count - begin)
            caller.must("POST", f"{self.path}/import", {"csv": "language,text\n" + f"en,{text}\n" * rows})

    def show(self, caller: Caller, job_id: str) -> dict[str, Any]:
        """Return a job as it stands."""
        job: dict[str, Any] = caller.must("GET", f"{self.path}/{job_id}")
        return job

    def count(self, caller: Caller, status: str) -> int:
        """Count the jobs of a status, up to a page of them."""
        return len(caller.must("GET", f"{self.path}?status={status}&limit=50")["items"])


REASONING: Final = Work("/api/v1/reasoning/jobs")
FEEDBACK: Final = Work("/api/v1/feedback", (("language", "en"),), imports=True)
BOTH: Final = (REASONING, FEEDBACK)
NAMES: Final = ("reasoning", "feedback")


@contextmanager
def two_instances(platform: Platform, folder: Path) -> Iterator[Platform]:
    """Run two instances of the app in a soak; else give the platform that all tests share."""
    if not SOAK:
        yield platform
        return
    with running_platform(folder / "data", "--instances", "2", settings=PERIODS | RATES) as running:
        yield running


@contextmanager
def slow_steps(platform: Platform, seconds: float = STEP_SECONDS) -> Iterator[str]:
    """Make each answer to what has a word in it take some time; give the word."""
    word = f"flood{uuid.uuid4().hex[:8]}"
    with httpx.Client(base_url=platform.addresses["llm"], trust_env=False) as model:
        fault = {"contains": word, "delay_ms": round(seconds * 1000), "count": None}
        model.post("/_local/faults", json=fault).raise_for_status()
        yield word
        model.delete("/_local/faults").raise_for_status()


def unlimited(platform: Platform) -> Caller:
    """Make a tenant whose budget admits whatever it asks for."""
    tenant_id = platform.new_tenant("premium")
    platform.admin.must("PUT", f"/api/v1/tenants/{tenant_id}/limits", NO_LIMITS)
    return platform.caller(tenant_id)
