"""One platform with the app for all tests that do not need to break it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.platform import Platform, running_platform

if TYPE_CHECKING:
    from collections.abc import Iterator


PERIODS = {
    "LOG_SHIP_SCHEDULE": "*/3 * * * * *",
    "OUTBOX_SWEEP_SCHEDULE": "*/5 * * * * *",
    "TENANT_PURGE_SCHEDULE": "*/3 * * * * *",
    "AUTH_CACHE_SECONDS": "5",
    "TENANT_PURGE_SETTLE_SECONDS": "8",
}
"""The local platform's, some three times as short, so that nobody waits; a purge settles later than a key is
forgotten and a log line is shipped, as there."""


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    data = tmp_path_factory.mktemp("platform") / "data"
    with running_platform(data, settings=PERIODS) as running:
        yield running
