"""Blob patterns and binding expressions."""

from __future__ import annotations

import re

import pytest

from local.host.expressions import BlobPattern, ExpressionError, render


def test_a_pattern_takes_the_blobs_it_means_and_their_tokens() -> None:
    pattern = BlobPattern.parse("inbox/{tenant}/in-{name}.{ext}")
    assert (pattern.container, pattern.prefix) == ("inbox", "")
    assert pattern.match("acme/in-a.b.txt") == {"tenant": "acme", "name": "a.b", "ext": "txt"}
    assert pattern.match("acme/out-a.txt") is None
    assert BlobPattern.parse("inbox/logs/{x}").prefix == "logs/"
    assert BlobPattern.parse("inbox").match("anything/at all") == {}


@pytest.mark.parametrize("path", ["", "{c}/x", "c/{a}{a}", "c/{a-b}"])
def test_a_broken_path_is_refused(path: str) -> None:
    with pytest.raises(ExpressionError):
        BlobPattern.parse(path)


def test_expressions_are_filled_from_the_triggers_data() -> None:
    data = {"name": "a", "query": {"Page": 2}}
    assert render("out/{Name}-{query.page}.txt", data) == "out/a-2.txt"
    assert re.fullmatch(r"[0-9a-f-]{36}", render("{rand-guid}", {}))
    assert re.fullmatch(r"[0-9a-f]{32}", render("{rand-guid:N}", {}))
    assert re.fullmatch(r"\d{4}/\d{2}-\d{2}", render("{DateTime:yyyy}/{datetime:MM-dd}", {}))
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T.*Z", render("{datetime}", {}))
    with pytest.raises(ExpressionError, match="no value for the named parameter 'absent'"):
        render("{absent}", data)
    with pytest.raises(ExpressionError):
        render("{name.deeper}", data)
