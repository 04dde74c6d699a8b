"""The chat routes, ready to be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit_tests.chat.app import App

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos


@pytest.fixture
async def app(cosmos: MemoryCosmos, clock: FakeClock) -> App:
    app = App(cosmos, clock)
    assert (await app.save_bot()).status == 200
    return app
