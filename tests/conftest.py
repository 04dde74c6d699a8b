"""Time limits of slow tests, the garbage collector while tests are collected, tracebacks in their logs."""

from __future__ import annotations

import gc
from traceback import format_exception_only, walk_tb
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


def write_places(found: tuple[object, BaseException, object]) -> str:
    """Write an exception, and those that led to it, as what each says and the places that it passed."""
    lines: list[str] = []
    told: set[int] = set()
    error: BaseException | None = found[1]
    while error is not None and id(error) not in told:
        told.add(id(error))
        lines += [
            f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_qualname}'
            for frame, line in walk_tb(error.__traceback__)
        ]
        lines += "".join(format_exception_only(error, show_group=True)).splitlines()
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(lines)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Leave lines of source out of the tracebacks in the log of a test, which is written for each of them.

    To read them, and to underline a part of each, took more time than many a test.
    """
    plugin = session.config.pluginmanager.get_plugin("logging-plugin")
    if plugin is not None:
        plugin.formatter.formatException = write_places
        plugin.log_file_handler.formatter.formatException = write_places


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
