"""One look: pages that are whole in themselves say the console's tokens again, and say them right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STYLESHEET = ROOT / "functions" / "console" / "static" / "app.css"
PAGES = ("functions/ops/docs.html", "local/host/view.html")
TOKEN = re.compile(r"(--[a-z0-9-]+): ([^;]+);")


def read_tokens(text: str, dark: str) -> tuple[dict[str, str], dict[str, str]]:
    """Read the tokens of both colours; the dark ones begin with a text."""
    light, _, rest = text.partition(dark)
    return dict(TOKEN.findall(light)), dict(
        TOKEN.findall(rest.partition("color-scheme")[0].partition("}")[0])
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_consoles_tokens(page: str) -> None:
    light, dark = read_tokens(STYLESHEET.read_text(), ':root[data-theme="dark"] {')
    own_light, own_dark = read_tokens(
        (ROOT / page).read_text(), "@media (prefers-color-scheme: dark) {\n    :root {"
    )

    assert own_light
    assert own_dark
    assert own_light.items() <= light.items()
    assert own_dark.items() <= dark.items()


def contrast(one: str, other: str) -> float:
    """Return the ratio of two colours' luminances, as WCAG 2 has it."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) > len("#fff") else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_drawings_are_seen_whatever_colours_the_system_forces() -> None:
    forced = STYLESHEET.read_text().partition("@media (forced-colors: active)")[2].partition("}")[0]
    drawn = {name: colour for name, colour in TOKEN.findall(forced) if colour.startswith("#")}

    assert {f"--chart-{series}" for series in range(8)} <= drawn.keys()
    for name, colour in drawn.items():
        assert min(contrast(colour, "#000000"), contrast(colour, "#ffffff")) >= 3, name


@pytest.mark.parametrize("dark", [False, True])
def test_more_contrast_is_more_in_both_colours(dark: bool) -> None:  # noqa: FBT001  # a parameter
    text = STYLESHEET.read_text()
    own = read_tokens(text, ':root[data-theme="dark"] {')[dark]
    more = dict(TOKEN.findall(text.partition("@media (prefers-contrast: more)")[2].partition("}")[0]))
    shown = own | more

    assert {shown["--muted"], shown["--line"], shown["--strong-line"]} == {"var(--text)"}
    assert contrast(own["--text"], own["--ground"]) >= 7
    assert contrast(shown["--accent"], "#ffffff") >= 7
    for tone in ("good", "bad", "warn", "info"):
        assert contrast(shown[f"--{tone}"], own["--raised"]) > contrast(
            own[f"--{tone}"], own[f"--{tone}-soft"]
        )
