"""The API's page: it brings everything with it, runs under a strict policy, and shows every operation."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from shared.http.examples import read_examples
from tests.contract.documents import API, EXAMPLES, committed
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from tests.support.fakes import Answer

type Json = dict[str, Any]

PAGE = EXAMPLES.with_name("docs.html")
PAGE_IN_NODE = """
const api = JSON.parse(require("fs").readFileSync(0, "utf8"));
class Element {
  constructor(tag) { this.tag = tag; this.childNodes = []; this.listeners = {}; this.attributes = {}; }
  setAttribute(name, value) { this.attributes[name] = value; }
  append(...children) { this.childNodes.push(...children); }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  scrollIntoView() { scrolledTo = this.attributes.id; }
  set textContent(text) { this.childNodes = [text]; }
  get text() { return this.childNodes.map((one) => typeof one === "string" ? one : one.text).join(" "); }
  find(tag) { return this.all().filter((one) => one.tag === tag); }
  all() { return this.childNodes.flatMap((one) => typeof one === "string" ? [] : [one, ...one.all()]); }
}
let scrolledTo = null;
const named = {}, windows = {}, visited = [];
global.document = {
  createElement: (tag) => new Element(tag),
  getElementById: (id) => named[id] ??= new Element("div"),
};
global.location = { hash: "#create_key" };
global.history = { replaceState: (state, title, address) => visited.push(address) };
global.addEventListener = (name, listener) => { windows[name] = listener; };
global.fetch = () => Promise.resolve({ json: () => Promise.resolve(api) });
SCRIPT
setImmediate(() => {
  const shown = named.operations.find("details");
  const opened = shown.filter((one) => one.open).map((one) => one.attributes.id);
  const anchors = [scrolledTo];
  global.location = { hash: "#purge_tenant" };
  windows.hashchange();
  anchors.push(scrolledTo);
  for (const one of shown) { one.open = true; one.listeners.toggle(); }
  const texts = Object.fromEntries(shown.map((one) => [one.attributes.id, one.text]));
  const requests = Object.fromEntries(shown.map((one) => [one.attributes.id, one.find("pre")[0].text]));
  named.filter.listeners.input({ target: { value: "reasoning" } });
  const left = shown.filter((one) => !one.hidden).map((one) => one.attributes.id);
  console.log(JSON.stringify({ texts, left, opened, anchors, requests, visited }));
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


@pytest.fixture(scope="module")
def shown() -> Json:
    """What the page's script shows of the committed document, with `#create_key` in its address."""
    if shutil.which("node") is None:
        pytest.skip("Node.js runs the page's script")
    (script,) = inline(PAGE.read_text(), "script")
    ran = subprocess.run(  # noqa: S603  # our own page, in a test
        ["node", "-e", PAGE_IN_NODE.replace("SCRIPT", script)],  # noqa: S607  # whichever node
        input=API.read_text(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    found: Json = json.loads(ran.stdout)
    return found


def operations() -> list[tuple[str, str, Json]]:
    return [
        (path, method, operation)
        for path, methods in committed(API)["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.slow
def test_the_script_shows_every_operation_with_its_statuses(shown: Json) -> None:
    assert set(shown["texts"]) == {one["operationId"] for _, _, one in operations()}
    for path, _, one in operations():
        text = shown["texts"][one["operationId"]]
        assert path in text
        assert one["summary"] in text
        assert all(status in text for status in one["responses"])
    assert "max_output_tokens" in shown["texts"]["accept_job"]
    assert set(shown["left"]) == {
        one["operationId"]
        for path, _, one in operations()
        if "reasoning" in f"{path} {one['operationId']} {one['summary']}".lower()
    }


def test_the_script_shows_descriptions_and_examples(shown: Json) -> None:
    for _, _, one in operations():
        text = shown["texts"][one["operationId"]]
        told = [
            *one["description"].split("\n\n"),
            *(parameter["description"] for parameter in one["parameters"]),
        ]
        assert [description for description in told if description not in text] == []
    assert "Answer 200" in shown["texts"]["chat"]
    assert '"conversation_id": "ticket-4711"' in shown["texts"]["chat"]
    assert "The key itself, to be sent as" in shown["texts"]["create_key"]


def test_the_page_opens_at_the_operation_that_its_address_names(shown: Json) -> None:
    assert shown["opened"] == ["create_key"]
    assert shown["anchors"] == ["create_key", "purge_tenant"]
    assert "#chat" in shown["visited"]


def test_the_curl_of_an_operation_is_its_example(shown: Json) -> None:
    examples = read_examples(EXAMPLES).by_operation()
    for path, method, one in operations():
        example = examples[one["operationId"]]
        command, *words = shlex.split(shown["requests"][example.operation].replace("\\\n", " "))
        sent = argparse.ArgumentParser()
        sent.add_argument("address")
        sent.add_argument("-X", default="GET")
        sent.add_argument("-H", action="append", default=[])
        sent.add_argument("-d")
        read = sent.parse_args(words)

        address = urlsplit(read.address)
        assert command == "curl"
        assert method.upper() == read.X
        assert unquote(address.path) == "$TENANTRY_URL" + path.format_map(example.path)
        assert dict(parse_qsl(address.query)) == example.query
        headers = dict(header.split(": ", 1) for header in read.H)
        key = {None: None, "admin": "Bearer $ADMIN_API_KEY"}.get(one.get("x-role"), "Bearer $TENANTRY_KEY")
        assert headers.pop("Authorization", None) == key
        assert headers.pop("Content-Type", None) == (None if read.d is None else "application/json")
        assert headers == example.headers
        assert (None if read.d is None else json.loads(read.d)) == example.body
