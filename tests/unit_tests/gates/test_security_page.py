"""Each promise of the page on security names a test, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_test_that_the_page_names_is_there() -> None:
    missing = [
        f"{file}::{test}"
        for file, test in NAMED
        if not re.search(rf"def {test}\(", (ROOT / file).read_text() if (ROOT / file).is_file() else "")
    ]

    assert len(NAMED) > 30
    assert missing == []


def test_every_promise_names_one() -> None:
    promises = re.findall(r"^- (?:.|\n(?!\n|- |#))+", PAGE, re.MULTILINE)

    assert len(promises) > 20
    assert [promise for promise in promises if "::test_" not in promise] == []
