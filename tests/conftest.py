"""Time limits of slow tests, and the garbage collector while tests are collected."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, which from then on passes over the modules and the tests.

    They live as long as the process does, and going through them again and again took a second in ten.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each slow test the time limit that its mark names."""
    for item in items:
        mark = item.get_closest_marker("slow")
        if mark is not None and mark.args:
            item.add_marker(pytest.mark.timeout(*mark.args))
