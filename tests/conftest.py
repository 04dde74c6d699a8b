"""Time limits of slow tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each slow test the time limit that its mark names."""
    for item in items:
        mark = item.get_closest_marker("slow")
        if mark is not None and mark.args:
            item.add_marker(pytest.mark.timeout(*mark.args))
