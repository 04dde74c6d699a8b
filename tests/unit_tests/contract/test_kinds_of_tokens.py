"""Kinds of tokens in the contract: who knew usage without them goes on as before."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from shared.contracts import ReasonerOut
from tests.contract.compatibility import breaking_api_changes, breaking_message_changes

CONTRACT = Path(__file__).parents[3] / "docs" / "contract"
KINDS = ("cached_tokens", "reasoning_tokens")


def read(name: str) -> Any:  # noqa: ANN401  # JSON
    return json.loads((CONTRACT / name).read_text())


def without_kinds(document: Any) -> Any:  # noqa: ANN401  # JSON
    """Give a document as it was before there were kinds."""
    old = copy.deepcopy(document)
    waiting = [old]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for holder in (one, one.get("properties", {})):
                for kind in KINDS:
                    holder.pop(kind, None)
            if "required" in one and isinstance(one["required"], list):
                one["required"] = [name for name in one["required"] if name not in KINDS]
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return old


def test_kinds_of_tokens_break_no_caller_and_could_not_be_taken_back() -> None:
    new = read("openapi.json")
    old = without_kinds(new)

    assert old != new
    assert breaking_api_changes(old, new) == []
    assert any("cached_tokens" in change for change in breaking_api_changes(new, old))


def test_kinds_of_tokens_break_no_reader_of_a_queue() -> None:
    new = read("messages.json")

    assert breaking_message_changes(without_kinds(new), new) == []


def test_a_message_from_before_there_were_kinds_has_none() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    message = {"tenant_id": "acme", "id": "1", "message": "SUCCESS", "usage": usage}

    told = ReasonerOut.model_validate(message).usage

    assert (told.prompt_tokens, told.cached_tokens, told.reasoning_tokens) == (7, 0, 0)
