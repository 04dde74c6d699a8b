"""The console's first page on a slow telephone, and a list of 10,000 rows: bytes, seconds, frames.

Slow 4G is what Chrome's DevTools and Lighthouse call so: 1.6 Mbit/s down, 750 kbit/s up, 150 ms both ways.
Since they delay requests instead of packets, they set 90 % of both rates and 3.75 times the latency
(devtools-frontend, `NetworkManager.ts`; Lighthouse, `docs/throttling.md`). Both are measured.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.integration_tests.console.browser import (
    HOW_TO_GET_IT,
    PHONE,
    Session,
    Window,
    find_chromium,
    open_browser,
    open_window,
)
from tests.integration_tests.console.estate import Estate, new_estate
from tests.integration_tests.platform import running_platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from playwright.sync_api import Browser

pytestmark = pytest.mark.timeout(600)

ROUNDS = 5
ROWS = 10_000
CPU_SLOWER = 4
DOWN_BYTES, UP_BYTES = 1_600_000 / 8, 750_000 / 8
WANTED_KILOBYTES, WANTED_SECONDS = 60, 2.5

_NOW = "performance.now() / 1000"
_SPANS = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .map((one) => [one.requestStart, one.responseEnd])
"""
_DRAW = """
async (rows) => {
  const entry = document.querySelector("script[type=module][src]").src;
  const { html } = await import(new URL("lib/html.js", entry).href);
  const { Table } = await import(new URL("lib/ui.js", entry).href);
  const { render } = await import("preact");
  const columns = ["a", "b", "c", "d"].map((label) => ({ label, value: (row) => `${label} of ${row}` }));
  const root = document.querySelector("main");
  root.replaceChildren();
  const begun = performance.now();
  const numbers = [...Array(rows).keys()];
  const rowKey = (row) => row;
  render(html`<${Table} caption="Many" columns=${columns} rows=${numbers} rowKey=${rowKey} />`, root);
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  return performance.now() - begun;
}
"""
_SCROLL = """
async (steps) => {
  const height = document.documentElement.scrollHeight - innerHeight;
  const frames = [];
  for (let step = 1; step <= steps; step += 1) {
    const begun = performance.now();
    scrollTo(0, (height * step) / steps);
    await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
    frames.push(performance.now() - begun);
  }
  const last = [...document.querySelectorAll("tbody tr:not([aria-hidden])")].at(-1);
  return { frames, rows: document.querySelectorAll("tbody tr").length, last: last.textContent };
}
"""


@dataclass(frozen=True, slots=True)
class Network:
    """A network: the milliseconds that each request waits at least, and its share of the rates."""

    name: str
    latency_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class Visited:
    """What is opened, with whose key.

    Attributes:
        usable: What is seen once it can be used.
        filled: What is seen once it has what it shows.
    """

    name: str
    key: str | None
    address: str
    usable: str
    filled: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One visit.

    Attributes:
        usable_s: Seconds until its title, or the field to sign in, is seen.
        filled_s: Seconds until the first numbers or rows are seen.
        whole_s: Seconds until nothing is on its way any more.
        size: Bytes that came, headers included.
        rounds: Requests that went one after the other: what a network's latency is multiplied by.
    """

    usable_s: float
    filled_s: float
    whole_s: float
    size: int
    requests: int
    rounds: int


NETWORKS = (
    Network("slow 4G as DevTools and Lighthouse set it", 562.5, 0.9),
    Network("slow 4G with its latency as it is", 150, 1.0),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.skip(HOW_TO_GET_IT)
    with open_browser(executable) as opened:
        yield opened


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with running_platform(tmp_path_factory.mktemp("console") / "data") as platform:
        yield new_estate(platform)


def visit(browser: Browser, origin: str, visited: Visited, network: Network) -> Measured:
    """Open the console with an empty cache, and wait until it has all that it shows."""
    context, window = open_window(browser, origin, Session(visited.key, size=PHONE))
    cdp = context.new_cdp_session(window.page)
    cdp.send("Network.enable")
    received: list[float] = []
    cdp.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    rates = {"downloadThroughput": DOWN_BYTES * network.share, "uploadThroughput": UP_BYTES * network.share}
    conditions = {"offline": False, "latency": network.latency_ms, **rates}
    cdp.send("Network.emulateNetworkConditions", conditions)
    cdp.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWER})
    window.page.goto(f"{origin}/api/console#{visited.address}", wait_until="commit")
    expect(window.page.locator(visited.usable).first).to_be_visible()
    usable_s: float = window.page.evaluate(_NOW)
    expect(window.page.locator(visited.filled).first).to_be_visible()
    filled_s: float = window.page.evaluate(_NOW)
    window.settle()
    whole_s: float = window.page.evaluate(_NOW)
    spans: list[tuple[float, float]] = window.page.evaluate(_SPANS)
    context.close()
    return Measured(usable_s, filled_s, whole_s, round(sum(received)), len(received), count_rounds(spans))


def count_rounds(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many requests went one after the other at most, each sent when the one before had ended."""
    rounds, free = 0, 0.0
    for begun, ended in sorted(spans, key=itemgetter(1)):
        if begun >= free:
            rounds, free = rounds + 1, ended
    return rounds


def list_visits(key: str) -> list[Visited]:
    """Return what is opened, and what tells that it can be used and that it has what it shows."""
    return [
        Visited("sign-in", None, "/", "input[type=password]", "input[type=password]"),
        Visited("first page", key, "/", "h1", ".stat-value"),
        Visited("prompts, by a link", key, "/prompts", "h1", "tbody tr"),
    ]


@pytest.mark.parametrize("network", NETWORKS, ids=["devtools", "plain"])
def test_the_first_page(browser: Browser, estate: Estate, network: Network) -> None:
    print(
        f"\n{network.name}, CPU {CPU_SLOWER} times slower, empty cache, {ROUNDS} times;"
        f" wanted: usable in {WANTED_SECONDS} s, {WANTED_KILOBYTES} kB"
    )
    for visited in list_visits(estate.keys["tenant_admin"]):
        times = [visit(browser, estate.origin, visited, network) for _ in range(ROUNDS)]
        usable, filled, whole = (
            statistics.median(read(one) for one in times)
            for read in (attrgetter("usable_s"), attrgetter("filled_s"), attrgetter("whole_s"))
        )
        last = times[-1]
        print(
            f"{visited.name:20} {usable:5.2f} s until usable, {filled:5.2f} s until filled, "
            f"{whole:5.2f} s until whole; {last.size / 1_000:5.1f} kB in {last.requests} requests, "
            f"{last.rounds} one after the other"
        )


def test_a_list_of_10_000_rows_scrolls(browser: Browser, estate: Estate) -> None:
    context, window = open_window(browser, estate.origin, Session(estate.keys["tenant_admin"]))
    window.visit("/prompts")
    drawn, scrolled = draw(window), window.page.evaluate(_SCROLL, 200)
    frames = sorted(scrolled["frames"])
    print(
        f"\n{ROWS:,} rows: drawn in {drawn:.0f} ms, {scrolled['rows']} rows in the document, 200 steps: "
        f"{statistics.median(frames):.1f} ms a frame, {frames[-10]:.1f} ms the slowest of twenty, "
        f"{frames[-1]:.1f} ms the slowest"
    )
    context.close()
    assert f"a of {ROWS - 1}" in scrolled["last"]


def draw(window: Window) -> float:
    milliseconds: float = window.page.evaluate(_DRAW, ROWS)
    return milliseconds
