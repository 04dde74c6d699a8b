"""Clients that leave in the midst of a stream: what becomes of the model's work, how soon, and who pays.

`make soak` shows the times; the model's own endpoint tells when its connection was closed.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from tests.integration_tests.platform import Platform

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120)]

_PIECE_MS = 500
"""Between two parts of an answer of some fifty: its end is far when its client leaves."""

_NOTICED_BY_NOW_SECONDS = 10.0
_WORDS = re.compile(r'"(content|delta|text)": ?"[^"]')
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "completions": ("/api/v1/chat/completions", {"model": "gpt-4o"}),
    "a bot through completions": ("/api/v1/chat/completions", {"model": "bot/b"}),
    "a bot's chat": ("/api/v1/bots/b/chat", {"conversation_id": "c"}),
    "responses": ("/api/v1/responses", {"model": "gpt-4o"}),
    "responses that are not stored": ("/api/v1/responses", {"model": "gpt-4o", "store": False}),
}


def ask(path: str, text: str) -> dict[str, object]:
    """Return how a route is told a text."""
    if path.endswith("/completions"):
        return {"messages": [{"role": "user", "content": text}]}
    return {"input" if path.endswith("/responses") else "message": text}


@pytest.mark.parametrize("way", WAYS)
def test_who_leaves_a_stream_closes_the_models_connection_and_pays_what_came(
    platform: Platform, way: str
) -> None:
    path, fields = WAYS[way]
    caller = platform.caller(platform.new_tenant())
    caller.must("PUT", "/api/v1/bots/b", {"system_prompt": "Be brief."})
    text = f"A question that only {uuid.uuid4().hex} asks"
    with httpx.Client(base_url=platform.addresses["llm"], trust_env=False, verify=NO_TLS) as model:

        def served() -> dict[str, Any]:
            told: dict[str, Any] = model.get("/_local/served").json()
            return told

        fault = {"contains": text, "piece_delay_ms": _PIECE_MS}
        assert model.post("/_local/faults", json=fault).status_code == 201
        before = served()["abandoned"]
        body, headers = fields | ask(path, text) | {"stream": True}, {"authorization": f"Bearer {caller.key}"}
        with caller.client.stream("POST", path, json=body, headers=headers) as answer:
            assert answer.status_code == 200
            next(line for line in answer.iter_lines() if _WORDS.search(line))
            left_at = time.time()
        closed = wait_for(served, lambda told: told["abandoned"] > before, _NOTICED_BY_NOW_SECONDS)

    took_ms = 1_000 * (closed["abandoned_at"] - left_at)
    print(f"\n{way}: the model's connection was closed {took_ms:.0f} ms after its client left")  # noqa: T201  # the figure
    used = wait_for(
        lambda: caller.must("GET", "/api/v1/usage")["total"],
        lambda total: total["requests"] == 1,
        _NOTICED_BY_NOW_SECONDS,
    )
    assert used["prompt_tokens"] > 0
    assert 0 < used["completion_tokens"] < 20
