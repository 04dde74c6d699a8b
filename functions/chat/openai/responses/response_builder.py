"""Response as it grows: the parts of a chat completion become items, and events with their numbers.

A whole answer is taken as one part, so that what is stored of an answer is the same however it came.
docs/adr/0054-responses.md has what of OpenAI's events there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from functions.chat.openai.responses.response_object import describe_request, store_request, write_usage
from shared.llm.completion_parsing import as_object, replace_half_characters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from functions.chat.openai.responses.models import CreateResponseRequest
    from functions.chat.openai.responses.response_ids import ResponseId
    from shared.contracts import Usage
    from shared.errors import JsonValue

type JsonObject = dict[str, JsonValue]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""What OpenAI calls the reason for which an answer is not whole, by a chat completion's reason to end."""


@dataclass(frozen=True, slots=True)
class ResponseEvent:
    """One event of a stream.

    Attributes:
        type: Its kind, which is also the name that it is sent under.
        sequence_number: Its place in the stream, from 0.
        fields: All else that it tells.
    """

    type: str
    sequence_number: int
    fields: Mapping[str, JsonValue]

    def as_json(self) -> JsonObject:
        """Return it as it is sent."""
        return {"type": self.type, "sequence_number": self.sequence_number, **self.fields}


@dataclass(slots=True)
class _GrowingText:
    """A text that comes in parts, of which a provider may end one within a character.

    Attributes:
        parts: The parts, of whole characters.
        logprobs: The likely tokens.
        half: The half of a character that waits for its other half.
    """

    parts: list[str] = field(default_factory=list)
    logprobs: list[JsonValue] = field(default_factory=list)
    half: str = ""

    def add(self, text: str) -> str:
        """Add a part; return it as it can be sent and stored."""
        text = self.half + text
        self.half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        part = replace_half_characters(text.removesuffix(self.half))
        self.parts.append(part)
        return part

    def end(self) -> str:
        """End it; return the part that this adds: one for half a character whose other half never came."""
        part, self.half = replace_half_characters(self.half), ""
        self.parts.append(part)
        return part

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(slots=True)
class _GrowingItem:
    """An item of the output before it is whole.

    Attributes:
        kind: Its type.
        index: Its place in the output.
        item_id: Its id.
        contents: Its contents by their kind, in the order in which they began.
        call_id: The id of the call, where it is one.
        name: The name of the function that is called.
    """

    kind: Literal["message", "function_call", "reasoning"]
    index: int
    item_id: str
    contents: dict[str, _GrowingText] = field(default_factory=dict)
    call_id: str = ""
    name: str = ""

    def as_json(self, status: str) -> JsonObject:
        """Return it as far as it has come."""
        item: JsonObject = {"id": self.item_id, "type": self.kind, "status": status}
        match self.kind:
            case "message":
                parts: list[JsonValue] = [_write_part(kind, text) for kind, text in self.contents.items()]
                return item | {"role": "assistant", "content": parts}
            case "reasoning":
                texts: list[JsonValue] = [_write_part(kind, text) for kind, text in self.contents.items()]
                return item | {"summary": [], "content": texts}
            case "function_call":
                arguments = "".join(text.text for text in self.contents.values())
                return item | {"call_id": self.call_id, "name": self.name, "arguments": arguments}


@dataclass(slots=True)
class ResponseBuilder:
    """Builds one response, and its events.

    Attributes:
        response_id: Its id.
        request: What was asked for.
        created_at: When, in seconds of Unix time.
        first_number: The number of its first event.
        response: It as it was when it ended; empty before.
        completed_at: When it was whole, in seconds of Unix time; None where it is not.
    """

    response_id: ResponseId
    request: CreateResponseRequest
    created_at: int
    first_number: int = 0
    response: JsonObject = field(default_factory=dict, init=False)
    completed_at: int | None = field(default=None, init=False)
    _next: int = field(default=0, init=False)
    _described: JsonObject = field(init=False)
    _items: list[_GrowingItem] = field(default_factory=list, init=False)
    _output: list[JsonValue] = field(default_factory=list, init=False)
    _calls: dict[int, _GrowingItem] = field(default_factory=dict, init=False)
    _open: dict[int, _GrowingItem] = field(default_factory=dict, init=False)
    _finish_reason: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._next = self.first_number
        self._described = describe_request(store_request(self.request))

    @property
    def output(self) -> Sequence[JsonValue]:
        """Return the items as far as they have come."""
        return self._output

    @property
    def incomplete_reason(self) -> str | None:
        """Return the reason for which it is not whole, in OpenAI's words; None where it is."""
        return _INCOMPLETE.get(self._finish_reason or "")

    def begin(self) -> list[ResponseEvent]:
        """Return the events with which a stream begins."""
        response = self._describe("in_progress")
        return [
            self._event("response.created", {"response": response}),
            self._event("response.in_progress", {"response": response}),
        ]

    def queue(self) -> list[ResponseEvent]:
        """Return the events with which the stream of a response begins that is made in the background."""
        response = self._describe("queued")
        return [
            self._event("response.created", {"response": response}),
            self._event("response.queued", {"response": response}),
        ]

    def start(self) -> list[ResponseEvent]:
        """Return the event that tells that it is no longer queued."""
        return [self._event("response.in_progress", {"response": self._describe("in_progress")})]

    def take_completion(self, completion: Mapping[str, object]) -> list[ResponseEvent]:
        """Take a whole chat completion."""
        choices = completion.get("choices")
        choice = as_object(choices[0]) if isinstance(choices, list) and choices else {}
        message = as_object(choice.get("message"))
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            message = message | {"tool_calls": [as_object(c) | {"index": i} for i, c in enumerate(calls)]}
        return self.take_chunk(dict(completion) | {"choices": [choice | {"delta": message}]})

    def take_chunk(self, chunk: Mapping[str, object]) -> list[ResponseEvent]:
        """Take a part of a chat completion's stream, and return the events that it makes."""
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return []
        choice = as_object(choices[0])
        reason = choice.get("finish_reason")
        self._finish_reason = reason if isinstance(reason, str) else self._finish_reason
        return self._take_delta(as_object(choice.get("delta")), as_object(choice.get("logprobs")))

    def complete(self, usage: Usage, completed_at: int) -> list[ResponseEvent]:
        """End it as the last part told, and return the last events."""
        reason = self.incomplete_reason
        status = "completed" if reason is None else "incomplete"
        events = self._close_items(status)
        self.response = self._describe(status, usage)
        if reason is None:
            self.completed_at = self.response["completed_at"] = completed_at
        else:
            self.response["incomplete_details"] = {"reason": reason}
        return [*events, self._event(f"response.{status}", {"response": self.response})]

    def fail(self, code: str, message: str, usage: Usage | None = None) -> list[ResponseEvent]:
        """End it as one that failed, and return the last event."""
        number = self._next
        self._close_items("incomplete")  # they are told in the response alone
        self._next = number
        self.response = self._describe("failed", usage) | {"error": {"code": code, "message": message}}
        return [self._event("response.failed", {"response": self.response})]

    def _describe(self, status: str, usage: Usage | None = None) -> JsonObject:
        """Return the response as far as it has come."""
        return {
            "id": str(self.response_id),
            "object": "response",
            "created_at": self.created_at,
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            **self._described,
            "output": list(self._output),
            "usage": None if usage is None else write_usage(usage),
        }

    def _take_delta(self, delta: Mapping[str, object], logprobs: Mapping[str, object]) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str):
            events += self._add("reasoning", "reasoning_text", reasoning)
        content = delta.get("content")
        if isinstance(content, str) and content:
            found = logprobs.get("content")
            events += self._add("message", "output_text", content, found if isinstance(found, list) else ())
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            events += self._add("message", "refusal", refusal)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            events += self._take_call(as_object(call))
        return events

    def _add(
        self,
        kind: Literal["message", "reasoning"],
        content: str,
        text: str,
        logprobs: Sequence[object] = (),
    ) -> list[ResponseEvent]:
        """Add a text to the item of its kind that is open, or to a new one."""
        events: list[ResponseEvent] = []
        item = self._items[-1] if self._items else None
        if item is None or item.kind != kind or item.index not in self._open:
            events += self._close_items("completed", but="function_call")
            item, begun = self._begin_item(kind)
            events += begun
        growing = item.contents.get(content)
        place: JsonObject = {"item_id": item.item_id, "output_index": item.index}
        if growing is None:
            growing = item.contents[content] = _GrowingText()
            at = place | {"content_index": len(item.contents) - 1, "part": _write_part(content, growing)}
            events.append(self._event("response.content_part.added", at))
        text = growing.add(text)
        told = [_write_logprob(as_object(one)) for one in logprobs]
        growing.logprobs += told
        if text or told:
            events.append(self._tell_part(item, content, text, told))
        return events

    def _tell_part(
        self, item: _GrowingItem, content: str, text: str, logprobs: Sequence[JsonValue] = ()
    ) -> ResponseEvent:
        """Return the event that tells a part of a text, or of the arguments of a call."""
        fields: JsonObject = {"item_id": item.item_id, "output_index": item.index, "delta": text}
        if item.kind == "function_call":
            return self._event("response.function_call_arguments.delta", fields)
        fields["content_index"] = list(item.contents).index(content)
        if content == "output_text":
            fields["logprobs"] = list(logprobs)
        return self._event(f"response.{content}.delta", fields)

    def _take_call(self, call: Mapping[str, object]) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        index = call.get("index")
        number = index if isinstance(index, int) else len(self._calls) - 1 if self._calls else 0
        function = as_object(call.get("function"))
        item = self._calls.get(number)
        if item is None:
            events += self._close_items("completed", but="function_call")
            item, begun = self._begin_item(
                "function_call", _text(call.get("id")), _text(function.get("name"))
            )
            self._calls[number] = item
            events += begun
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            part = item.contents.setdefault("arguments", _GrowingText()).add(arguments)
            if part:
                events.append(self._tell_part(item, "arguments", part))
        return events

    def _begin_item(
        self, kind: Literal["message", "function_call", "reasoning"], call_id: str = "", name: str = ""
    ) -> tuple[_GrowingItem, list[ResponseEvent]]:
        index = len(self._items)
        prefix = {"message": "msg", "function_call": "fc", "reasoning": "rs"}[kind]
        item_id = self.response_id.output_item(prefix, index)
        item = _GrowingItem(kind, index, item_id, call_id=call_id or item_id, name=name)
        self._items.append(item)
        self._open[index] = item
        self._output.append(item.as_json("in_progress"))
        fields: JsonObject = {"output_index": index, "item": item.as_json("in_progress")}
        return item, [self._event("response.output_item.added", fields)]

    def _close_items(self, status: str, but: str | None = None) -> list[ResponseEvent]:
        """End the items that are open, but those of a kind."""
        events: list[ResponseEvent] = []
        for item in [one for one in self._open.values() if one.kind != but]:
            del self._open[item.index]
            events += self._end_contents(item)
            written = item.as_json(status)
            self._output[item.index] = written
            fields: JsonObject = {"output_index": item.index, "item": written}
            events.append(self._event("response.output_item.done", fields))
        return events

    def _end_contents(self, item: _GrowingItem) -> list[ResponseEvent]:
        place: JsonObject = {"item_id": item.item_id, "output_index": item.index}
        events = [
            self._tell_part(item, kind, part) for kind, text in item.contents.items() if (part := text.end())
        ]
        if item.kind == "function_call":
            arguments = "".join(text.text for text in item.contents.values())
            fields = place | {"name": item.name, "arguments": arguments}
            return [*events, self._event("response.function_call_arguments.done", fields)]
        for index, (kind, text) in enumerate(item.contents.items()):
            at = place | {"content_index": index}
            told: JsonObject = {"refusal" if kind == "refusal" else "text": text.text}
            if kind == "output_text":
                told["logprobs"] = list(text.logprobs)
            events.append(self._event(f"response.{kind}.done", at | told))
            events.append(self._event("response.content_part.done", at | {"part": _write_part(kind, text)}))
        return events

    def _event(self, kind: str, fields: Mapping[str, JsonValue]) -> ResponseEvent:
        event = ResponseEvent(kind, self._next, fields)
        self._next += 1
        return event


def _write_part(kind: str, text: _GrowingText) -> JsonObject:
    """Return a content as far as it has come."""
    if kind == "refusal":
        return {"type": kind, "refusal": text.text}
    if kind == "output_text":
        return {"type": kind, "text": text.text, "annotations": [], "logprobs": list(text.logprobs)}
    return {"type": kind, "text": text.text}


def _write_logprob(told: Mapping[str, object]) -> JsonObject:
    likely = told.get("top_logprobs")
    others = [_read_logprob(as_object(one)) for one in likely] if isinstance(likely, list) else []
    return _read_logprob(told) | {"top_logprobs": others}


def _read_logprob(told: Mapping[str, object]) -> JsonObject:
    logprob, raw = told.get("logprob"), told.get("bytes")
    return {
        "token": _text(told.get("token")),
        "logprob": float(logprob) if isinstance(logprob, int | float) else 0.0,
        "bytes": [byte for byte in raw if isinstance(byte, int)] if isinstance(raw, list) else [],
    }


def _text(value: object) -> str:
    return replace_half_characters(value) if isinstance(value, str) else ""


def name_last_event(status: JsonValue) -> str:
    """Return the kind of the event that ends the stream of a response by its status."""
    return f"response.{status}" if status in {"completed", "incomplete"} else "response.failed"


def repeat_events(response: Mapping[str, JsonValue]) -> list[ResponseEvent]:
    """Return the events of a stream that repeats a response that is over, as short as one can be."""
    whole = dict(response)
    begun = whole | {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
    return [
        ResponseEvent("response.created", 0, {"response": begun}),
        ResponseEvent(name_last_event(whole["status"]), 1, {"response": whole}),
    ]
