"""How large the endpoint's random runs are."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

from tests.support.soak import REPEATABLE, SOAK

ENDPOINT: Final = settings(
    REPEATABLE, max_examples=500 if SOAK else 30, stateful_step_count=100 if SOAK else 40
)
QUERIES: Final = settings(REPEATABLE, max_examples=5_000 if SOAK else 200)
