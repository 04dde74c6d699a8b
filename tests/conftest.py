"""Time limits of slow tests, the order in which the workers of a run take tests, and what they collect."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

UNIT_TESTS: Final = Path(__file__).parent / "unit_tests"


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each slow test the time limit that its mark names; order the tests for several workers."""
    for item in items:
        mark = item.get_closest_marker("slow")
        if mark is not None and mark.args:
            item.add_marker(pytest.mark.timeout(*mark.args))
    if not config.getoption("loadgroup", default=False):  # xdist's, in a worker
        return
    for item in items:
        if (group := _group(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_turn)


def _group(item: pytest.Item) -> str | None:
    """Name those that one worker runs in a row; None for a test that any worker may take."""
    if "platform" in getattr(item, "fixturenames", ()):
        return "platform"  # which one worker starts, once
    if item.get_closest_marker("alone") or (_is_unit(item) and item.get_closest_marker("slow")):
        return None
    return str(item.path.relative_to(UNIT_TESTS.parent))


def _turn(item: pytest.Item) -> int:
    """Rank a test: what waits for processes begins first, and small tests fill the time that is left."""
    if not _is_unit(item):
        return 0 if "platform" in getattr(item, "fixturenames", ()) else 1
    return 2 if item.get_closest_marker("slow") else 3


def _is_unit(item: pytest.Item) -> bool:
    return item.path.is_relative_to(UNIT_TESTS)
