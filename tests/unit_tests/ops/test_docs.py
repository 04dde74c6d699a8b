"""The API's page: it brings everything with it, runs under a strict policy, and shows every operation."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.contract.documents import API, committed
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from tests.support.fakes import Answer

PAGE_IN_NODE = """
const api = JSON.parse(require("fs").readFileSync(0, "utf8"));
class Element {
  constructor(tag) { this.tag = tag; this.childNodes = []; this.listeners = {}; this.attributes = {}; }
  setAttribute(name, value) { this.attributes[name] = value; }
  append(...children) { this.childNodes.push(...children); }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  set textContent(text) { this.childNodes = [text]; }
  get text() { return this.childNodes.map((one) => typeof one === "string" ? one : one.text).join(" "); }
  all() { return this.childNodes.flatMap((one) => typeof one === "string" ? [] : [one, ...one.all()]); }
}
const named = {};
global.document = {
  createElement: (tag) => new Element(tag),
  getElementById: (id) => named[id] ??= new Element("div"),
};
global.fetch = () => Promise.resolve({ json: () => Promise.resolve(api) });
SCRIPT
setImmediate(() => {
  const shown = named.operations.all().filter((one) => one.tag === "details");
  for (const one of shown) one.listeners.toggle();
  const texts = Object.fromEntries(shown.map((one) => [one.attributes.id, one.text]));
  named.filter.listeners.input({ target: { value: "reasoning" } });
  const left = shown.filter((one) => !one.hidden).map((one) => one.attributes.id);
  console.log(JSON.stringify({ texts, left }));
});
"""


async def page() -> Answer:
    async with whole_app() as app:
        return await app.must("docs", Call())


def inline(html: str, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    html = (await page()).body.decode()

    assert re.findall(r"https?://|//[a-z]|\bsrc=|<link|@import|url\(", html) == []
    assert re.findall(r"\bon[a-z]+=|\bstyle=|innerHTML|eval\(", html) == []


async def test_the_policy_admits_exactly_what_the_page_holds() -> None:
    answer = await page()
    html, policy = answer.body.decode(), answer.headers["content-security-policy"]

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = inline(html, tag)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    for closed in ("base-uri", "form-action", "frame-ancestors"):
        assert f"{closed} 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js runs the page's script")
async def test_the_script_shows_every_operation_with_its_statuses() -> None:
    (script,) = inline((await page()).body.decode(), "script")
    api = committed(API)

    ran = subprocess.run(  # noqa: S603, ASYNC221  # our own page, in a test
        ["node", "-e", PAGE_IN_NODE.replace("SCRIPT", script)],  # noqa: S607  # whichever node
        input=json.dumps(api),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    operations = [(path, one) for path, methods in api["paths"].items() for one in methods.values()]
    assert set(shown["texts"]) == {one["operationId"] for _, one in operations}
    for path, one in operations:
        text = shown["texts"][one["operationId"]]
        assert path in text
        assert one["summary"] in text
        assert all(status in text for status in one["responses"])
    assert "max_output_tokens" in shown["texts"]["accept_job"]
    assert set(shown["left"]) == {
        one["operationId"]
        for path, one in operations
        if "reasoning" in f"{path} {one['operationId']} {one['summary']}".lower()
    }
