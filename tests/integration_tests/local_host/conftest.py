"""Hosts that the tests of one module share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.local_host.running import RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host of the app of FastAPI types."""
    with running_host("streaming", tmp_path_factory.mktemp("streaming")) as host:
        yield host


@pytest.fixture(scope="session")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A host of the app of classic types."""
    settings = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "100000"}
    with running_host("classic", tmp_path_factory.mktemp("classic"), settings=settings) as host:
        yield host
