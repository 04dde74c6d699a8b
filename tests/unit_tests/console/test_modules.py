"""The console's modules: no markup from values, no code from texts, no other origin."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from functions.console.trigger import STATIC
from shared.tenancy.audit import AuditAction

OWN = sorted(path for path in STATIC.rglob("*.js") if path.parent.name != "vendor")
FORBIDDEN = {
    "markup made of a value": re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|DOMParser|createContextualFragment"
    ),
    "code made of a text": re.compile(r"\beval\s*\(|new\s+Function\b|setTimeout\s*\(\s*[\"'`]|javascript:"),
    "another origin": re.compile(r"https?://(?!www\.w3\.org/2000/svg)|[\"'`]//"),
    "a request beside lib/api.js": re.compile(
        r"\bfetch\s*\(|XMLHttpRequest|WebSocket|sendBeacon|EventSource"
    ),
    "a key where another tab finds it": re.compile(r"document\.cookie|indexedDB"),
}
MAY_ASK = {"begin.js", "lib/api.js", "lib/provider.js"}
"""The API's client; what asks before it is there; and signing in, which asks the provider."""

_EXPORT = re.compile(
    r"^export (?:default )?(?:async )?(?:function\*?|class|const|let) ?\*? ?(\w+)", re.MULTILINE
)
_IMPORT = re.compile(r'(?:from|import\()\s*"(\.[^"]+)"')
_TESTS = Path(__file__).with_name("modules.test.mjs")


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_module_has(kind: str) -> None:
    found = [
        f"{path.relative_to(STATIC)}:{number}: {line.strip()}"
        for path in OWN
        if not (kind == "a request beside lib/api.js" and str(path.relative_to(STATIC)) in MAY_ASK)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN[kind].search(line)
    ]

    assert not found


def test_what_a_module_imports_is_there() -> None:
    missing = [
        f"{path.relative_to(STATIC)}: {imported}"
        for path in OWN
        for imported in _IMPORT.findall(path.read_text())
        if not (path.parent / imported).is_file()
    ]

    assert not missing


def test_what_a_module_exports_is_described() -> None:
    bare = [
        f"{path.relative_to(STATIC)}: {found[1]}"
        for path in OWN
        for found in _EXPORT.finditer(path.read_text())
        if not path.read_text()[: found.start()].rstrip().endswith("*/")
    ]

    assert not bare


def test_a_module_says_what_it_is() -> None:
    assert not [path.name for path in OWN if not path.read_text().startswith("/**")]


def test_the_page_of_the_trail_filters_by_each_action_that_is_kept() -> None:
    listed = re.search(r"ACTIONS = \[(.*?)\]", (STATIC / "pages" / "audit.js").read_text(), re.DOTALL)

    assert listed is not None
    assert re.findall(r'"([a-z.]+)"', listed[1]) == sorted(action.value for action in AuditAction)


def test_no_module_is_long() -> None:
    assert not [path.name for path in OWN if len(path.read_text().splitlines()) > 1_000]


def test_what_the_modules_work_out_is_right() -> None:
    """Forms of schemas, addresses, differences and events, in Node's own test runner."""
    node = shutil.which("node")
    assert node is not None, "Node 20 is part of the set-up"
    done = subprocess.run(  # noqa: S603  # Node, with a file of our own
        [node, "--test", str(_TESTS)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )

    assert done.returncode == 0, done.stdout
