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
