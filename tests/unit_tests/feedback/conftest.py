"""The feedback capability, ready to be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.whole_app import SharedStart
from tests.unit_tests.feedback.app import FeedbackApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp


async def _with_a_user(app: WholeApp) -> dict[str, str]:
    await app.new_tenant("acme")
    return await app.new_key("acme", Role.USER)


_START = SharedStart(_with_a_user)


@pytest.fixture
async def app() -> AsyncIterator[FeedbackApp]:
    async with _START.open() as (whole, user):
        yield FeedbackApp(whole, user)
