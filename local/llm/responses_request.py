"""A request of the Responses interface, read as the request for a chat completion that it amounts to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.llm import expected
from local.llm.errors import RefusedError, unsupported_here
from local.llm.request import ChatRequest, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.llm.families import Family

_UNSUPPORTED = (
    "background",
    "conversation",
    "include",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "top_logprobs",
)
"""What needs something stored, or tools of the provider's own."""

_SAME = (
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "temperature",
    "top_p",
    "user",
)
"""What means the same in both interfaces."""

_READ = (
    "input",
    "instructions",
    "max_output_tokens",
    "model",
    "reasoning",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
    "truncation",
)
_KNOWN = frozenset((*_UNSUPPORTED, *_SAME, *_READ))
_CALLED_OTHERWISE = {
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
}
_FIRST_NAME = re.compile(r"\w+")
_ROLES = ("user", "assistant", "system", "developer")
_ITEMS = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
_TEXTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """One request for a response.

    Attributes:
        chat: The request for a chat completion that it amounts to.
        echoed: What its answer repeats of it.
    """

    chat: ChatRequest
    echoed: Mapping[str, Any]


def read_response_request(body: Mapping[str, Any], model: str, family: Family) -> ResponseRequest:
    """Read what is asked of a model.

    Raises:
        RefusedError: OpenAI would not take it, or this endpoint does not.
    """
    for name in body:
        if name not in _KNOWN:
            raise RefusedError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name in _UNSUPPORTED:
        if body.get(name) not in (None, False, []):
            raise unsupported_here(f"'{name}': it stores no responses and has no tools of its own", name)
    try:
        chat = read_request(_as_chat(body), model, family)
    except RefusedError as error:
        if error.param is not None:
            error.param = _FIRST_NAME.sub(_call_otherwise, error.param, count=1)
        raise
    return ResponseRequest(chat, _echo(body))


def _call_otherwise(found: re.Match[str]) -> str:
    return _CALLED_OTHERWISE.get(found[0], found[0])


def _as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    chat = {name: body[name] for name in _SAME if name in body}
    chat["messages"] = [*_instructions(body), *_messages(body.get("input"))]
    chat["max_completion_tokens"] = body.get("max_output_tokens")
    chat["reasoning_effort"] = _object(body, "reasoning").get("effort")
    chat["response_format"] = _format(_object(body, "text"))
    if body.get("tools"):
        chat["tools"] = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(_array(body, "tools"))]
        chat["tool_choice"] = _choice(body.get("tool_choice"))
    else:
        chat.pop("parallel_tool_calls", None)  # clients send it with no tools as well
    return {name: value for name, value in chat.items() if value is not None}


def _instructions(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    instructions = expected.text(body, "instructions")
    if instructions:
        yield {"role": "developer", "content": instructions}


def _messages(sent: object) -> list[dict[str, Any]]:
    """Read items as messages: calls that follow each other are one message of the assistant's."""
    if isinstance(sent, str):
        return [{"role": "user", "content": sent}]
    if sent is None:
        raise expected.missing("input")
    if not isinstance(sent, list):
        raise expected.type_error("input", sent, "one of a string or array of objects")
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(sent):
        message = _message(item, f"input[{index}]")
        if message is None:
            continue
        last = messages[-1] if messages else {}
        if "tool_calls" in message and last.get("role") == "assistant":
            last["tool_calls"] = [*last.get("tool_calls", ()), *message["tool_calls"]]
        else:
            messages.append(message)
    return messages


def _message(item: object, place: str) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        raise expected.type_error(place, item, "an object")
    match item.get("type", "message"):
        case "message":
            role = item.get("role")
            if role not in _ROLES:
                raise expected.value_error(f"{place}.role", role, _ROLES)
            return {"role": role, "content": _content(item.get("content"), f"{place}.content")}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            output = _content(item.get("output"), f"{place}.output")
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": output}
        case "reasoning":
            return None  # what was thought before is nothing that this model goes by
        case other:
            raise expected.value_error(f"{place}.type", other, _ITEMS)


def _content(content: object, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise expected.type_error(place, content, "one of a string or array of objects")
    return "".join(_text(part, f"{place}[{index}]") for index, part in enumerate(content))


def _text(part: object, place: str) -> str:
    if not isinstance(part, dict):
        raise expected.type_error(place, part, "an object")
    kind = part.get("type")
    if kind in _TEXTS:
        text = expected.text(part, _TEXTS[kind], f"{place}.")
        if text is None:
            raise expected.missing(f"{place}.{_TEXTS[kind]}")
        return text
    if kind in {"input_image", "input_file", "input_audio"}:
        raise unsupported_here(f"content of type '{kind}', only text", f"{place}.type")
    raise expected.value_error(f"{place}.type", kind, (*_TEXTS, "input_image", "input_file"))


def _format(text: Mapping[str, Any]) -> dict[str, Any] | None:
    given = text.get("format")
    if not isinstance(given, dict) or given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {name: given[name] for name in given if name != "type"}}


def _tool(tool: object, place: str) -> object:
    if not isinstance(tool, dict) or tool.get("type") == "custom":
        return tool
    if tool.get("type") != "function":
        raise unsupported_here(f"tools of type '{tool.get('type')}'", f"{place}.type")
    function = {name: tool[name] for name in tool if name != "type" and tool[name] is not None}
    return {"type": "function", "function": function}


def _choice(choice: object) -> object:
    match choice:
        case {"type": "function", "name": name}:
            return {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "mode": mode, "tools": list(tools)}:
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*map(_choice, tools)]}}
        case _:
            return choice


def _echo(body: Mapping[str, Any]) -> dict[str, Any]:
    reasoning, text = _object(body, "reasoning"), _object(body, "text")
    return {
        "background": False,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "user": body.get("user"),
    }


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise expected.type_error(name, value, "an object")
    return value


def _array(body: Mapping[str, Any], name: str) -> list[object]:
    value = body.get(name)
    if not isinstance(value, list):
        raise expected.type_error(name, value, "an array of objects")
    return value
