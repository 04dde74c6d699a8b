"""How large the random runs are: small by default, the size that the claims name with TENANTRY_SOAK=1."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

SOAK: Final = os.environ.get("TENANTRY_SOAK") == "1"
REPEATABLE: Final = settings(derandomize=not SOAK, deadline=None)
"""The same examples in every default run, new ones in a soak."""

ENDPOINT: Final = settings(
    REPEATABLE, max_examples=500 if SOAK else 30, stateful_step_count=100 if SOAK else 40
)
QUERIES: Final = settings(REPEATABLE, max_examples=5_000 if SOAK else 200)
