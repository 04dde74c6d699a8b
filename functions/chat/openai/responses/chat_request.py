"""Translation of a response's request into one for a chat completion, which all upstreams take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.chat.openai.parameters import MESSAGES
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
    from collections.abc import Iterable, Mapping, Sequence

    from functions.chat.openai.parameters import Steps
    from functions.chat.openai.responses.input_items import ContentPart, StoredInputItem
    from functions.chat.openai.responses.models import CreateResponseRequest, FunctionTool
    from shared.errors import JsonValue

type ChatField = dict[str, JsonValue]

_INPUT = "input"
_NAMES: Mapping[Steps, Steps] = {
    ("max_completion_tokens",): ("max_output_tokens",),
    ("max_tokens",): ("max_output_tokens",),
    ("reasoning_effort",): ("reasoning", "effort"),
    ("response_format", "json_schema"): ("text", "format"),
    ("response_format",): ("text", "format"),
    ("verbosity",): ("text", "verbosity"),
    ("logprobs",): ("include",),
}
"""What the Responses API calls the parameters of chat completions, where it calls them otherwise."""


@dataclass(frozen=True, slots=True)
class TranslatedRequest:
    """Request for a chat completion that answers a response.

    Attributes:
        body: The request.
        sources: The parameter of the response's request that each message came of.
    """

    body: ChatField
    sources: Sequence[Steps]

    def rename(self, steps: Steps) -> Steps:
        """Return what the caller of the response calls a parameter of the chat completion."""
        match steps:
            case (name, index, *_) if name == MESSAGES and index.isdigit():
                number = int(index)
                return self.sources[number] if number < len(self.sources) else (_INPUT,)
            case (name,) if name == MESSAGES:
                return (_INPUT,)
            case ("tools" | "tool_choice" as name, *within):
                return (name, *(step for step in within if step != "function"))
        for known, told in _NAMES.items():
            if steps[: len(known)] == known:
                return (*told, *steps[len(known) :])
        return steps


def build_chat_request(
    request: CreateResponseRequest, items: Sequence[StoredInputItem], before: int = 0
) -> TranslatedRequest:
    """Return the request for a chat completion.

    Args:
        request: The request; of its input and of what was before it only `items` counts.
        items: The conversation, the oldest first, references resolved.
        before: How many of them are of the responses before.
    """
    messages, firsts = write_messages(items)
    sources = [_find_source(first - before, len(items) - before) for first in firsts]
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
        sources.insert(0, ("instructions",))
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
    return TranslatedRequest(body | _write_tools(request) | _write_text_options(request), sources)


def _find_source(index: int, count: int) -> Steps:
    """Return the parameter that an item came of: its place in the input, which may be one text."""
    if index < 0:
        return ("previous_response_id",)
    return (_INPUT,) if count == 1 else (_INPUT, str(index))


def write_messages(items: Iterable[StoredInputItem]) -> tuple[list[JsonValue], list[int]]:
    """Return the messages of a chat that items make, and for each the index of its first item.

    Calls that follow one another, or the assistant's text, are one message of the assistant's with it, as
    chat completions have it. Reasoning is left out: no chat completion takes any.
    """
    messages: list[JsonValue] = []
    firsts: list[int] = []
    answer: ChatField | None = None  # the assistant's last message, while calls still belong to it
    for index, item in enumerate(items):
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
        firsts += [index] * (len(messages) - len(firsts))
    return messages, firsts


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
