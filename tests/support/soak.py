"""How large the runs are: small by default, in `make soak` (TENANTRY_SOAK=1) of the size that claims name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from _pytest.mark.structures import MarkDecorator

SOAK: Final = os.environ.get("TENANTRY_SOAK") == "1"
REPEATABLE: Final = settings(derandomize=not SOAK, deadline=None)
"""The same examples in every default run, new ones in a soak."""


def sized(seconds: float) -> MarkDecorator:
    """Mark what is larger in a soak, for `make soak`; by default it is slow, with a time limit."""
    return pytest.mark.soak if SOAK else pytest.mark.slow(seconds)
