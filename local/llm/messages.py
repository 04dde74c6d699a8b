"""The conversation of a request: roles, text, and tool calls with their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.llm import expected
from local.llm.errors import RefusedError, unsupported_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROLES = ("system", "assistant", "user", "tool", "developer")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function: its id, its name, and its arguments as JSON."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the prompt.

    Attributes:
        role: Who said it.
        content: What was said.
        calls: What the assistant called.
        answers: The id of the call that a tool answers.
    """

    role: str
    content: str
    calls: tuple[Call, ...] = ()
    answers: str | None = None


def read_messages(body: Mapping[str, Any]) -> tuple[Message, ...]:
    """Read a request's messages.

    Raises:
        RefusedError: A message is malformed, or tool calls and their answers do not match.
    """
    sent = body.get("messages")
    if sent is None:
        raise expected.missing("messages")
    if not isinstance(sent, list):
        raise expected.type_error("messages", sent, "an array of objects")
    if not sent:
        raise RefusedError(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty "
            "array "
            "instead.",
            "messages",
            "empty_array",
        )
    messages = tuple(_message(message, f"messages[{index}]") for index, message in enumerate(sent))
    _check_calls(messages)
    return messages


def _message(message: object, place: str) -> Message:
    if not isinstance(message, dict):
        raise expected.type_error(place, message, "an object")
    role = message.get("role")
    if role not in _ROLES:
        raise expected.value_error(f"{place}.role", role, _ROLES)
    calls = _calls(message, place) if role == "assistant" else ()
    content = message.get("content")
    refusal = expected.text(message, "refusal", f"{place}.")
    if content is None and role == "assistant" and (calls or refusal):
        content = refusal or ""
    answers = expected.text(message, "tool_call_id", f"{place}.")
    if role == "tool" and answers is None:
        raise expected.missing(f"{place}.tool_call_id")
    return Message(role, _content(content, f"{place}.content"), calls, answers)


def _content(content: object, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise expected.type_error(place, content, "one of a string or array of objects")
    return "".join(_text_part(part, f"{place}[{index}]") for index, part in enumerate(content))


def _text_part(part: object, place: str) -> str:
    if not isinstance(part, dict):
        raise expected.type_error(place, part, "an object")
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = expected.text(part, str(kind), f"{place}.")
        if text is None:
            raise expected.missing(f"{place}.{kind}")
        return text
    if kind in ("image_url", "input_audio", "file"):
        raise unsupported_here(f"content of type '{kind}', only text", f"{place}.type")
    raise expected.value_error(f"{place}.type", kind, ("text", "image_url", "input_audio", "refusal", "file"))


def _calls(message: Mapping[str, Any], place: str) -> tuple[Call, ...]:
    sent = message.get("tool_calls")
    if sent is None:
        return ()
    if not isinstance(sent, list):
        raise expected.type_error(f"{place}.tool_calls", sent, "an array of objects")
    return tuple(_call(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(sent))


def _call(call: object, place: str) -> Call:
    if not isinstance(call, dict):
        raise expected.type_error(place, call, "an object")
    if call.get("type", "function") != "function":
        raise expected.value_error(f"{place}.type", call["type"], ("function",))
    function = call.get("function")
    if not isinstance(function, dict):
        raise expected.missing(f"{place}.function")
    call_id = expected.text(call, "id", f"{place}.")
    if call_id is None:
        raise expected.missing(f"{place}.id")
    arguments = expected.text(function, "arguments", f"{place}.function.")
    if arguments is None:
        raise expected.missing(f"{place}.function.arguments")
    return Call(call_id, expected.name(function, "name", f"{place}.function."), arguments)


def _check_calls(messages: Iterable[Message]) -> None:
    """Demand that the answers to an assistant's calls follow it, each once, and nothing else before them."""
    waiting: list[str] = []
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.answers not in waiting:
                raise RefusedError(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with "
                    "'tool_calls'.",
                    f"messages.[{index}].role",
                )
            waiting.remove(message.answers)
        elif waiting:
            raise _unanswered(waiting, index)
        else:
            waiting = [call.call_id for call in message.calls]
    if waiting:
        raise _unanswered(waiting, None)


def _unanswered(waiting: Iterable[str], index: int | None) -> RefusedError:
    return RefusedError(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(waiting),
        "messages" if index is None else f"messages.[{index}].role",
    )
