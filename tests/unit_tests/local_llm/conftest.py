"""The endpoint for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit_tests.local_llm.client import Model, open_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    opened = open_model()
    async with opened.client:
        yield opened
