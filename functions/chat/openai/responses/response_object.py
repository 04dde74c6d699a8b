"""Form of a response: what it says of its request, and of the tokens that it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.chat.openai.responses.models import CreateResponseRequest
    from shared.contracts import Usage
    from shared.errors import JsonValue

_OF_A_TOOL = ("type", "name", "description", "parameters", "strict")


def store_request(request: CreateResponseRequest) -> dict[str, JsonValue]:
    """Return what is stored of a request: all that it said but its input."""
    return request.model_dump(mode="json", by_alias=True, exclude={"input"}, exclude_none=True)


def describe_request(said: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return what a response says of its request, with OpenAI's defaults where that said nothing.

    Args:
        said: The request as it is stored: it was valid when it came, and is not read again.
    """
    text, reasoning = said.get("text", {}), said.get("reasoning", {})
    return {
        "model": said["model"],
        "background": said.get("background", False),
        "instructions": said.get("instructions"),
        "max_output_tokens": said.get("max_output_tokens"),
        "max_tool_calls": None,
        "metadata": said.get("metadata", {}),
        "parallel_tool_calls": said.get("parallel_tool_calls", True),
        "previous_response_id": said.get("previous_response_id"),
        "prompt_cache_key": said.get("prompt_cache_key"),
        "reasoning": {
            "effort": reasoning.get("effort"),
            "summary": reasoning.get("summary") or reasoning.get("generate_summary"),
        },
        "safety_identifier": said.get("safety_identifier"),
        "service_tier": said.get("service_tier", "auto"),
        "store": said.get("store", True),
        "temperature": said.get("temperature", 1.0),
        "text": {
            "format": text.get("format", {"type": "text"}),
            "verbosity": text.get("verbosity", "medium"),
        },
        "tool_choice": said.get("tool_choice", "auto"),
        "tools": [{name: tool.get(name) for name in _OF_A_TOOL} for tool in said.get("tools", ())],
        "top_logprobs": said.get("top_logprobs", 0),
        "top_p": said.get("top_p", 1.0),
        "truncation": "disabled",
        "user": said.get("user"),
    }


def write_usage(usage: Usage) -> dict[str, JsonValue]:
    """Return the tokens that were used, in the words of the Responses API."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
