"""Work that comes over either queue, as a tenant asks for it, on two instances where a soak asks for that."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.integration_tests.conftest import PERIODS
from tests.integration_tests.jobs.model import heal_model, tell_model
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

NO_LIMITS: Final = {"tokens_per_minute": 10**9, "requests_per_minute": 10**7, "concurrency": 10**5}
RATES: Final = {"REQUESTS_PER_MINUTE_PREMIUM": "10000000"}


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
    tell_model(platform, "faults", contains=word, delay_ms=round(seconds * 1000), count=None)
    yield word
    heal_model(platform, "faults")


def unlimited(platform: Platform) -> Caller:
    """Make a tenant whose budget admits whatever it asks for."""
    tenant_id = platform.new_tenant("premium")
    platform.admin.must("PUT", f"/api/v1/tenants/{tenant_id}/limits", NO_LIMITS)
    return platform.caller(tenant_id)
