"""Translation of a response's request into one for a chat completion, which all upstreams take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.chat.openai.responses.input_items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    InputImage,
    InputText,
    MessageItem,
    OutputText,
    ReasoningItem,
)
from functions.chat.openai.responses.models import AllowedTools, NamedFunction, SchemaFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from functions.chat.openai.responses.input_items import ContentPart, StoredInputItem
    from functions.chat.openai.responses.models import CreateResponseRequest, FunctionTool
    from shared.errors import JsonValue

type ChatField = dict[str, JsonValue]


def build_chat_request(request: CreateResponseRequest, items: Sequence[StoredInputItem]) -> ChatField:
    """Return the body of the request for a chat completion.

    Args:
        request: The request; of its input and of what was before it only `items` counts.
        items: The conversation, the oldest first, references resolved.
    """
    messages = write_messages(items)
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    body: ChatField = {"model": request.model, "messages": messages}
    known: ChatField = {
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
        "prompt_cache_key": request.prompt_cache_key,
        "safety_identifier": request.safety_identifier,
        "service_tier": request.service_tier,
        "user": request.user,
        "reasoning_effort": None if request.reasoning is None else request.reasoning.effort,
        "logprobs": True if request.wants_logprobs else None,
        "top_logprobs": request.top_logprobs if request.wants_logprobs else None,
    }
    body |= {name: value for name, value in known.items() if value is not None}
    return body | _write_tools(request) | _write_text_options(request)


def write_messages(items: Iterable[StoredInputItem]) -> list[JsonValue]:
    """Return the messages of a chat that items make.

    Calls that follow one another, or the assistant's text, are one message of the assistant's with it, as
    chat completions have it. Reasoning is left out: no chat completion takes any.
    """
    messages: list[JsonValue] = []
    answer: ChatField | None = None  # the assistant's last message, while calls still belong to it
    for item in items:
        match item:
            case ReasoningItem():
                continue
            case FunctionCallItem():
                if answer is None:
                    answer = {"role": "assistant", "content": None}
                    messages.append(answer)
                calls = answer.setdefault("tool_calls", [])
                assert isinstance(calls, list)  # noqa: S101  # nothing else is put there
                calls.append(_write_call(item))
            case FunctionCallOutputItem():
                answer = None
                messages.append(
                    {"role": "tool", "tool_call_id": item.call_id, "content": _write_output(item.output)}
                )
            case MessageItem(role="assistant"):
                answer = _write_answer(item)
                messages.append(answer)
            case MessageItem():
                answer = None
                messages.append({"role": item.role, "content": _write_content(item.content)})
    return messages


def drop_unasked_outputs(items: Sequence[StoredInputItem]) -> list[StoredInputItem]:
    """Leave out outputs of calls that are not there any more: their response was deleted, or has expired."""
    called: set[str] = set()
    kept: list[StoredInputItem] = []
    for item in items:
        if isinstance(item, FunctionCallItem):
            called.add(item.call_id)
        if not isinstance(item, FunctionCallOutputItem) or item.call_id in called:
            kept.append(item)
    return kept


def _write_call(item: FunctionCallItem) -> JsonValue:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _write_output(output: Sequence[InputText]) -> str:
    return "".join(part.text for part in output)


def _write_answer(item: MessageItem) -> ChatField:
    """Return the assistant's message: its texts as one, and what it declined beside them."""
    texts = [part.text for part in item.content if isinstance(part, InputText | OutputText)]
    refusals = [part.refusal for part in item.content if part.type == "refusal"]
    message: ChatField = {"role": "assistant", "content": "".join(texts) if texts else None}
    if refusals:
        message["refusal"] = "".join(refusals)
    return message


def _write_content(content: Sequence[ContentPart]) -> JsonValue:
    """Return a message's content: one text as it is, since not every upstream takes parts."""
    match content:
        case [InputText(text=text)]:
            return text
    return [_write_part(part) for part in content]


def _write_part(part: ContentPart) -> JsonValue:
    if isinstance(part, InputImage):
        return {"type": "image_url", "image_url": {"url": part.image_url, "detail": part.detail}}
    return {"type": "text", "text": part.refusal if part.type == "refusal" else part.text}


def _write_tools(request: CreateResponseRequest) -> ChatField:
    if not request.tools:
        return {}
    body: ChatField = {"tools": [_write_tool(tool) for tool in request.tools]}
    match request.tool_choice:
        case None:
            pass
        case NamedFunction(name=name):
            body["tool_choice"] = {"type": "function", "function": {"name": name}}
        case AllowedTools(mode=mode, tools=tools):
            named: list[JsonValue] = [{"type": "function", "function": {"name": one.name}} for one in tools]
            allowed: JsonValue = {"mode": mode, "tools": named}
            body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": allowed}
        case str(choice):
            body["tool_choice"] = choice
    return body


def _write_tool(tool: FunctionTool) -> JsonValue:
    function = tool.model_dump(mode="json", exclude={"type"}, exclude_none=True)
    return {"type": "function", "function": function}


def _write_text_options(request: CreateResponseRequest) -> ChatField:
    body: ChatField = {}
    text = request.text
    if text is None:
        return body
    if text.verbosity is not None:
        body["verbosity"] = text.verbosity
    if isinstance(text.format, SchemaFormat):
        wrapped = text.format.model_dump(mode="json", exclude={"type"}, exclude_none=True, by_alias=True)
        body["response_format"] = {"type": "json_schema", "json_schema": wrapped}
    elif text.format is not None and text.format.type != "text":
        body["response_format"] = {"type": text.format.type}
    return body
