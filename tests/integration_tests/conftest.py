"""One platform with the app for tests that do not break it: the local one, or the official emulators."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.platform import Platform, emulator_addresses, running_platform

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


PERIODS = {
    "LOG_SHIP_SCHEDULE": "*/3 * * * * *",
    "OUTBOX_SWEEP_SCHEDULE": "*/5 * * * * *",
    "WEBHOOK_SCHEDULE": "*/5 * * * * *",
    "TENANT_PURGE_SCHEDULE": "*/3 * * * * *",
    "AUTH_CACHE_SECONDS": "5",
    "TENANT_PURGE_SETTLE_SECONDS": "8",
}
"""The local platform's, some three times as short, so that nobody waits; a purge settles later than a key is
forgotten and a log line is shipped, as there."""


MODEL_KEYS = {"MODEL_KEY_OF_TESTS": "the-key-of-the-catalogues-tests"}
"""The one key that entries of the catalogue can name here."""

FOLDER = Path(__file__).parent

EMULATORS = os.environ.get("TENANTRY_EMULATORS") == "1"
"""Whether the services of infra/compose.yaml are asked, or whatever the environment names in their place."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark integration tests, and those that start, stop or break endpoints: only the local ones let them."""
    for item in items:
        if FOLDER not in item.path.parents:
            continue
        item.add_marker("integration")
        if "platform" not in getattr(item, "fixturenames", ()):
            item.add_marker("local_endpoints")


RUNNING = pytest.StashKey[Platform]()
"""The platform, from when a test has first asked for it."""


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Keep the tenants of what several tests share."""
    made = yield
    if fixturedef.scope != "function" and (platform := request.config.stash.get(RUNNING, None)):
        platform.share_new_tenants()
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Suspend the tenants of a test, or a file, that is done: the sweeps would go through more and more."""
    ended = yield
    if nextitem is not None and (platform := item.config.stash.get(RUNNING, None)):
        platform.suspend_tenants(shared=nextitem.path != item.path)
    return ended


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Platform]:
    data = tmp_path_factory.mktemp("platform") / "data"
    flags = ("--only", "host,llm") if EMULATORS else ()
    with running_platform(data, *flags, settings=PERIODS | MODEL_KEYS) as running:
        if EMULATORS:
            running.addresses.update(emulator_addresses(os.environ))
        pytestconfig.stash[RUNNING] = running
        yield running
        del pytestconfig.stash[RUNNING]
