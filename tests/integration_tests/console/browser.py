"""Chromium as people have it: found on this machine, driven by Playwright, watched for what it may not do."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOW_TO_GET_IT = (
    "no Chromium on the PATH: Debian, Ubuntu: apt install chromium; macOS: brew install --cask chromium"
)
DESKTOP: Mapping[str, int] = {"width": 1440, "height": 900}
PHONE: Mapping[str, int] = {"width": 390, "height": 844}

KEY, TENANT, THEME = "tenantry.key", "tenantry.tenant", "tenantry.theme"
"""Names under which the console keeps things (`functions/console/static/lib/session.js`, `shell.js`)."""

_PATIENCE_MS = 20_000
_AXE = Path(__file__).with_name("axe") / "node_modules" / "axe-core" / "axe.min.js"
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_TOLD_OF_VIOLATIONS = """
window.policyViolations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.policyViolations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}`);
});
window.planted = 0;
"""
_RUN_AXE = """
async (runOnly) => {
  const shown = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
  const { violations } = await axe.run(shown, { runOnly, resultTypes: ["violations"] });
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`));
}
"""
_WIDER_THAN_THE_WINDOW = """
() => document.documentElement.scrollWidth - document.documentElement.clientWidth
"""


def find_chromium() -> str | None:
    """Return where a Chromium is; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def must_have_chromium() -> bool:
    """Tell whether tests without a browser fail: where CI runs, which installs one."""
    return os.environ.get("CI") == "true"


@contextmanager
def open_browser(executable: str) -> Iterator[Browser]:
    """Run a headless Chromium until the block ends."""
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        # Root in a container has no sandbox, and its /dev/shm is small.
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What a window did that it may not: asked elsewhere, broke the policy, failed.

    Attributes:
        origin: The only one that may be asked, but for `beside`.
        beside: The origin of a provider that people sign in with.
        is_expected: What the console may log: a refused request is logged by Chromium itself.
    """

    origin: str
    beside: str = ""
    foreign: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_expected: tuple[str, ...] = ("Failed to load resource",)

    def note_request(self, request: Request) -> None:
        """Note a request that leaves the origin."""
        parts = urlsplit(request.url)
        asked = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme not in {"data", "blob"} and asked not in {self.origin, self.beside}:
            self.foreign.append(request.url)

    def note_message(self, message: ConsoleMessage) -> None:
        """Note an error that the browser logs."""
        if message.type == "error" and not message.text.startswith(self.is_expected):
            self.failures.append(message.text)

    def note_failure(self, error: object) -> None:
        """Note an exception that nobody caught."""
        self.failures.append(f"uncaught: {error}")


@dataclass
class Window:
    """A tab in a session of its own, in front of the console."""

    page: Page
    watch: Watch

    def visit(self, address: str = "/") -> None:
        """Go to an address of the console, such as `/prompts?prefix=a`, and wait until the page is there."""
        url = f"{self.watch.origin}/api/console#{address}"
        if self.page.url.partition("#")[0] == url.partition("#")[0]:
            self.page.evaluate("(hash) => { location.hash = hash; }", f"#{address}")
        else:
            self.page.goto(url)
        self.settle()

    def settle(self) -> None:
        """Wait until the page has what it shows."""
        expect(self.page.locator("h1").first).to_be_visible()
        for waiting in ("main progress:not([value])", "main [aria-busy=true]", ".booting"):
            expect(self.page.locator(waiting)).to_have_count(0)

    def tabs(self) -> Iterator[str]:
        """Open each tab of the page that is not open yet, and give its name."""
        tabs = self.page.get_by_role("tab", selected=False)
        for name in [name.strip() for name in tabs.all_text_contents()]:
            self.page.get_by_role("tab", name=name, exact=True).click()
            self.settle()
            yield name

    def violations(self) -> list[str]:
        """Return what the policy forbade."""
        found: list[str] = self.page.evaluate("window.policyViolations")
        return found

    def check_access(self) -> list[str]:
        """Return what axe-core finds against WCAG 2.2 AA on what is shown, or on the dialog over it.

        In the dark colours it looks at the contrast alone: all else is the same in them.
        """
        if not self.page.evaluate("typeof window.axe === 'object'"):
            self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        found: list[str] = self.page.evaluate(_RUN_AXE, {"type": "tag", "values": _WCAG})
        self.page.emulate_media(color_scheme="dark")
        dark: list[str] = self.page.evaluate(_RUN_AXE, {"type": "rule", "values": ["color-contrast"]})
        self.page.emulate_media(color_scheme="light")
        return found + [f"in the dark: {problem}" for problem in dark]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        wider: int = self.page.evaluate(_WIDER_THAN_THE_WINDOW)
        return wider

    def module(self, name: str, read: str) -> Any:  # noqa: ANN401  # JSON
        """Return what an expression about a module of the console's, as `m`, is."""
        script = """async ([name, read]) => {
            const entry = document.querySelector('script[type=module][src]').src;
            const m = await import(new URL(name, entry).href);
            return READ;
        }""".replace("READ", read)
        return self.page.evaluate(script, [name, read])


@dataclass(frozen=True, slots=True)
class Session:
    """How a window begins: with whose key, for which tenant, how large, in which colours.

    Attributes:
        forced: Whether the system's few colours take the place of the page's.
        contrast: Whether its user has asked the system for more contrast.
    """

    key: str | None = None
    tenant: str | None = None
    size: Mapping[str, int] = field(default_factory=lambda: DESKTOP)
    theme: str = "light"
    forced: bool = False
    contrast: bool = False


def open_window(browser: Browser, origin: str, session: Session) -> tuple[BrowserContext, Window]:
    """Open a tab in a session of its own, signed in where a key is given; close its context at the end."""
    context = browser.new_context(
        viewport={"width": session.size["width"], "height": session.size["height"]},
        color_scheme="dark" if session.theme == "dark" else "light",
        reduced_motion="reduce",
        forced_colors="active" if session.forced else "none",
        contrast="more" if session.contrast else "no-preference",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(_PATIENCE_MS)
    context.add_init_script(_TOLD_OF_VIOLATIONS)
    page = context.new_page()
    watch = Watch(origin)
    page.on("request", watch.note_request)
    page.on("console", watch.note_message)
    page.on("pageerror", watch.note_failure)
    if session.key is not None:
        # Once, and not at each load: what the console forgets is to stay forgotten.
        page.goto(f"{origin}/api/health/live")
        kept = {KEY: session.key} | ({TENANT: session.tenant} if session.tenant else {})
        page.evaluate(
            "(kept) => Object.entries(kept).forEach(([k, v]) => sessionStorage.setItem(k, v))", kept
        )
    return context, Window(page, watch)
