"""One endpoint in memory per test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit_tests.local_cosmos.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def wire() -> Iterator[Wire]:
    endpoint = Wire()
    yield endpoint
    endpoint.close()
