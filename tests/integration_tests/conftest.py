"""One platform with the app for all tests that do not need to break it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.platform import Platform, running_platform

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("platform") / "data") as running:
        yield running
