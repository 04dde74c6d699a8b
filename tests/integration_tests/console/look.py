"""`python -m tests.integration_tests.console.look --out DIR`: a picture of each page, for people to look at.

Each page is taken with the demo's data, as the platform's administrator, at the size of a desktop and of a
phone, in light and in dark colours. Without `--url` a platform is started and filled first.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.integration_tests.console.browser import (
    DESKTOP,
    HOW_TO_GET_IT,
    PHONE,
    Session,
    find_chromium,
    open_browser,
    open_window,
)
from tests.integration_tests.console.places import find_places
from tests.integration_tests.demo.filling import fill
from tests.integration_tests.platform import ADMIN_KEY, running_platform
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser

_SIZES = {"desktop": DESKTOP, "phone": PHONE}
_THEMES = ("light", "dark")
_WISHES = ("few-colours", "more-contrast")
_TENANT = "fernhallow-outdoor"


@dataclass(frozen=True, slots=True)
class Owner:
    """Administrator of the demo's first tenant."""

    client: httpx.Client
    key: str

    def get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Return what a resource answers."""
        answer = self.client.get(f"/api/v1{path}", headers={"authorization": f"Bearer {self.key}"})
        return answer.raise_for_status().json()


def main(arguments: Sequence[str]) -> int:
    """Take the pictures; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.integration_tests.console.look", description=__doc__
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--url", help="of a platform that python -m local.demo has filled")
    parser.add_argument("--data-dir", type=Path, default=Path(".local"), help="of that platform")
    parser.add_argument("--only", default="", help="pages whose address begins so")
    parser.add_argument("--wish", choices=_WISHES, help="as a system that wishes it shows the pages")
    parser.add_argument("--whole", action="store_true", help="the whole page instead of what a window shows")
    given = parser.parse_args(arguments)
    executable = find_chromium()
    if executable is None:
        print(HOW_TO_GET_IT, file=sys.stderr)  # noqa: T201  # a command line program
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    with _platform(given.url, given.data_dir) as (origin, data_dir), open_browser(executable) as browser:
        key = json.loads((data_dir / "demo.json").read_text(encoding="utf-8"))["admins"][_TENANT]
        with httpx.Client(base_url=origin, timeout=60, trust_env=False, verify=NO_TLS) as client:
            for picture in _take(browser, origin, Owner(client, key), given):
                print(picture)  # noqa: T201  # a command line program
    return 0


@contextmanager
def _platform(url: str | None, data_dir: Path) -> Iterator[tuple[str, Path]]:
    """Give the address and the folder of a platform with the demo's data."""
    if url is not None:
        yield url, data_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with running_platform(data) as platform:
            fill(platform, data, tenants=40)
            yield platform.addresses["app"], data
            platform.kill_everything()


def _take(browser: Browser, origin: str, owner: Owner, given: argparse.Namespace) -> Iterator[Path]:
    for size_name, size in _SIZES.items():
        for theme in _THEMES:
            wishes = {"forced": given.wish == "few-colours", "contrast": given.wish == "more-contrast"}
            session = Session(ADMIN_KEY, _TENANT, size=size, theme=theme, **wishes)
            context, window = open_window(browser, origin, session)
            window.visit("/")
            for place in find_places(window, owner, _TENANT):
                if place.address is None or not place.pattern.startswith(given.only):
                    continue
                window.visit(place.address)
                picture = given.out / f"{place.name}-{size_name}-{theme}.png"
                window.page.screenshot(path=picture, full_page=given.whole)
                yield picture
            context.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
