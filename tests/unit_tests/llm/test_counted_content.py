"""Content of a request that is counted before it is passed on."""

from __future__ import annotations

from shared.llm.passed_request import CountedContent


def test_a_call_of_a_tool_counts_as_the_json_that_it_is() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"12345678": 87654321}}}

    counted = CountedContent.of({"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]})

    assert "12345678" in "".join(counted.texts)
    assert "87654321" in "".join(counted.texts)
