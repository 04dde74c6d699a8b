"""The reasoning capability, ready to be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit_tests.reasoning.app import App

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos


@pytest.fixture
def app(cosmos: MemoryCosmos, clock: FakeClock) -> App:
    return App(cosmos, clock)
