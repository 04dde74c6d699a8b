"""A browser for each file, a tenant with something of everything, and windows that are watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.integration_tests.console.browser import (
    DESKTOP,
    HOW_TO_GET_IT,
    Session,
    Window,
    find_chromium,
    must_have_chromium,
    open_browser,
    open_window,
)
from tests.integration_tests.console.estate import Estate, new_estate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Browser, BrowserContext

    from tests.integration_tests.platform import Platform


class OpensWindows(Protocol):
    """Opens a window as somebody with a role, at a size and in colours."""

    def __call__(
        self, role: str | None, *, size: Mapping[str, int] | None = None, theme: str = "light", key: str = ""
    ) -> Window:
        """Open one; an administrator has picked the estate's tenant. Without a role nobody is signed in."""
        ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        if must_have_chromium():
            pytest.fail(HOW_TO_GET_IT)
        pytest.skip(HOW_TO_GET_IT)
    with open_browser(executable) as opened:
        yield opened


@pytest.fixture(scope="module")
def estate(browser: Browser, platform: Platform) -> Estate:
    return new_estate(platform)


@pytest.fixture
def page_as(browser: Browser, estate: Estate) -> Iterator[OpensWindows]:
    """Windows that are closed at the end, when none may have asked elsewhere, broken the policy or failed."""
    opened: list[tuple[BrowserContext, Window]] = []

    def open_as(
        role: str | None, *, size: Mapping[str, int] | None = None, theme: str = "light", key: str = ""
    ) -> Window:
        key = key or ("" if role is None else estate.keys[role])
        tenant = estate.tenant_id if role == "admin" else None
        session = Session(key or None, tenant, size=size or DESKTOP, theme=theme)
        opened.append(open_window(browser, estate.origin, session))
        return opened[-1][1]

    yield open_as
    broken = {window.page.url: window.violations() for _, window in opened}
    watches = [window.watch for _, window in opened]
    for context, _ in opened:
        context.close()
    assert not any(broken.values()), broken
    assert not any(watch.foreign or watch.failures for watch in watches), watches
