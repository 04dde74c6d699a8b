"""Form of a response: what it says of its request, and of the tokens that it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from functions.chat.openai.responses.models import CreateResponseRequest
    from shared.contracts import Usage
    from shared.errors import JsonValue


def describe_request(request: CreateResponseRequest) -> dict[str, JsonValue]:
    """Return what a response says of its request, with OpenAI's defaults where that said nothing."""
    text, reasoning = request.text, request.reasoning
    answer_format: JsonValue = {"type": "text"}
    if text is not None and text.format is not None:
        answer_format = text.format.model_dump(mode="json", by_alias=True, exclude_none=True)
    choice = request.tool_choice
    return {
        "model": request.model,
        "background": bool(request.background),
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": None,
        "metadata": dict(request.metadata or {}),
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {
            "effort": None if reasoning is None else reasoning.effort,
            "summary": None if reasoning is None else reasoning.summary or reasoning.generate_summary,
        },
        "safety_identifier": request.safety_identifier,
        "service_tier": request.service_tier or "auto",
        "store": request.is_stored,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {
            "format": answer_format,
            "verbosity": (text.verbosity if text is not None else None) or "medium",
        },
        "tool_choice": (choice if isinstance(choice, str) else choice.model_dump(mode="json"))
        if choice
        else "auto",
        "tools": [tool.model_dump(mode="json") for tool in request.tools or ()],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": "disabled",
        "user": request.user,
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
