"""What a system wishes: few colours, more contrast, less movement. What a colour says is still seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.integration_tests.console.browser import Session, Window, open_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from tests.integration_tests.console.estate import Estate

_STYLES = """
(elements, names) => elements.filter((one) => one.checkVisibility()).map((one) => {
  const style = getComputedStyle(one);
  return Object.fromEntries(names.map((name) => [name, style[name]]));
})
"""
_GROUND = "getComputedStyle(document.documentElement).backgroundColor"
_ANIMATED = "document.getAnimations().filter((one) => one.playState === 'running').length"
BORDER = ("borderTopStyle", "borderTopWidth", "borderTopColor")
BUTTONS = "main .button:not(.button-primary):not(.button-link), .find, .icon-button, .tenant-button"
CHOSEN = {"/overview": ".menu a", "/keys": "[role=tab]"}
"""Things of which one is chosen, by a page that has them."""


@pytest.fixture
def open_as_wished(browser: Browser, estate: Estate) -> Iterator[Callable[[Session], Window]]:
    """Windows of the tenant's administrator with what the system wishes."""
    contexts, watches = [], []

    def open_one(wished: Session) -> Window:
        context, window = open_window(
            browser, estate.origin, replace(wished, key=estate.keys["tenant_admin"])
        )
        contexts.append(context)
        watches.append(window.watch)
        return window

    yield open_one
    for context in contexts:
        context.close()
    assert not any(watch.foreign or watch.failures for watch in watches), watches


def styles(window: Window, selector: str, *names: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = window.page.locator(selector).evaluate_all(_STYLES, list(names))
    assert found, f"nothing is {selector}"
    return found


def colours(window: Window, selector: str, name: str) -> list[str]:
    return [one[name] for one in styles(window, selector, name)]


FEW = [Session(theme=theme, forced=True) for theme in ("light", "dark")]
MORE = [Session(theme=theme, contrast=True) for theme in ("light", "dark")]


def name_of(value: Any) -> str:  # noqa: ANN401  # a parameter of any test
    return (
        f"{value.theme}{'-few-colours' if value.forced else ''}{'-more-contrast' if value.contrast else ''}"
    )


@pytest.mark.parametrize("wished", [*FEW, *MORE], ids=name_of)
def test_what_has_the_focus_has_a_ring(open_as_wished: Callable[[Session], Window], wished: Session) -> None:
    window = open_as_wished(wished)
    window.visit("/prompts")
    ground = window.page.evaluate(_GROUND)

    for _ in range(12):
        window.page.keyboard.press("Tab")
        [ring] = styles(window, ":focus", "outlineStyle", "outlineWidth", "outlineColor")
        assert (ring["outlineStyle"], ring["outlineWidth"]) == ("solid", "3px" if wished.contrast else "2px")
        assert ring["outlineColor"] != ground


@pytest.mark.parametrize("wished", [*FEW, *MORE], ids=name_of)
def test_buttons_fields_and_chips_have_borders(
    open_as_wished: Callable[[Session], Window], wished: Session
) -> None:
    window = open_as_wished(wished)
    window.visit("/keys")
    ground = window.page.evaluate(_GROUND)

    for selector in (BUTTONS, ".badge", ".card"):
        for border in styles(window, selector, *BORDER):
            assert border["borderTopStyle"] == "solid", selector
            assert border["borderTopColor"] not in {ground, "rgba(0, 0, 0, 0)"}, selector
    window.visit("/prompts")
    assert ground not in colours(window, "main input, main select", "borderTopColor")


@pytest.mark.parametrize("wished", FEW, ids=name_of)
def test_what_is_chosen_differs_with_few_colours(
    open_as_wished: Callable[[Session], Window], wished: Session
) -> None:
    window = open_as_wished(wished)
    for address, selector in CHOSEN.items():
        window.visit(address)
        is_chosen = f"{selector}:is([aria-current=page], [aria-selected=true])"
        [chosen] = colours(window, is_chosen, "backgroundColor")
        others = colours(window, f"{selector}:not({is_chosen})", "backgroundColor")

        assert chosen not in others


@pytest.mark.parametrize("wished", [*FEW, *MORE], ids=name_of)
def test_a_chart_is_drawn_in_the_colours_of_its_legend(
    open_as_wished: Callable[[Session], Window], wished: Session
) -> None:
    window = open_as_wished(replace(wished, size={"width": 1440, "height": 3000}))
    window.visit("/overview")
    expect(window.page.locator(".swatch").first).to_be_visible()
    ground = window.page.evaluate(_GROUND)
    swatches = set(colours(window, ".swatch", "backgroundColor"))
    drawn = set(colours(window, ".plot rect:not(.chart-day)", "fill"))

    assert ground not in swatches | drawn
    assert swatches <= drawn | swatches
    assert ground not in colours(window, ".chart-axes text", "fill")
    assert ground not in colours(window, ".chart-axes line", "stroke")


def test_nothing_moves_where_less_movement_is_wished(open_as_wished: Callable[[Session], Window]) -> None:
    window = open_as_wished(Session())
    window.page.route("**/api/v1/usage*", lambda _route: None)  # never answered: the page goes on loading
    window.page.goto(f"{window.watch.origin}/api/console#/overview")

    expect(window.page.locator("main progress:not([value])").first).to_be_visible()

    assert window.page.evaluate(_ANIMATED) == 0
    assert styles(window, "*", "animationName", "transitionDuration") != []
    assert {one["animationName"] for one in styles(window, "*", "animationName")} == {"none"}
