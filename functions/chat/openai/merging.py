"""Parts of a streamed chat completion, put together into one part that says the same."""

from __future__ import annotations

from typing import Any

type _Json = dict[str, Any]

_TEXTS_ONCE = frozenset({"role", "id", "type", "name"})
"""Texts that come once and whole, where others come in pieces."""


class MergedChunks:
    """Parts as they come, and the one part that they add up to."""

    def __init__(self) -> None:
        self._fields: _Json = {}
        self._choices: dict[int, _Json] = {}

    def add(self, chunk: _Json) -> None:
        """Add a part; what it says of the whole takes the place of what those before it said."""
        self._fields |= {name: value for name, value in chunk.items() if value or name not in self._fields}
        for choice in chunk.get("choices") or ():
            index = choice.get("index", 0)
            known = self._choices.setdefault(index, {"index": index, "delta": {}, "finish_reason": None})
            _merge_choice(known, choice)

    def merged(self) -> _Json:
        """Return the one part."""
        return {**self._fields, "choices": [self._choices[index] for index in sorted(self._choices)]}


def _merge_choice(known: _Json, choice: _Json) -> None:
    for name, value in choice.items():
        if name == "delta":
            _merge_delta(known["delta"], value or {})
        elif name == "logprobs" and value is not None:
            known["logprobs"] = known.get("logprobs") or {}
            _merge_lists(known["logprobs"], value)
        elif value is not None or name not in known:
            known[name] = value


def _merge_delta(known: _Json, delta: _Json) -> None:
    for name, value in delta.items():
        before = known.get(name)
        if name == "tool_calls":
            known[name] = _merge_calls(before or [], value or [])
        elif isinstance(value, str) and isinstance(before, str):
            known[name] = value or before if name in _TEXTS_ONCE else before + value
        elif isinstance(value, dict) and isinstance(before, dict):
            _merge_delta(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            known[name] = [*before, *value]
        elif value is not None or name not in known:
            known[name] = dict(value) if isinstance(value, dict) else value


def _merge_calls(known: list[_Json], calls: list[_Json]) -> list[_Json]:
    by_index = {call["index"]: call for call in known}
    for call in calls:
        _merge_delta(by_index.setdefault(call.get("index", 0), {"index": call.get("index", 0)}), call)
    return [by_index[index] for index in sorted(by_index)]


def _merge_lists(known: _Json, more: _Json) -> None:
    for name, value in more.items():
        known[name] = [*(known.get(name) or []), *value] if isinstance(value, list) else value
