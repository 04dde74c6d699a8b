"""A request for a chat completion, read and checked as OpenAI checks it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from local.llm import expected
from local.llm.errors import RefusedError, unsupported_here
from local.llm.messages import Message, read_messages
from local.llm.strict import check_strict
from local.llm.tools import NO_CHOICE, NO_TOOLS, ToolChoice, ToolSet, read_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.llm.families import Family

_UNSUPPORTED = (
    "audio",
    "function_call",
    "functions",
    "logprobs",
    "modalities",
    "prediction",
    "top_logprobs",
    "web_search_options",
)
_IGNORED = (
    "frequency_penalty",
    "logit_bias",
    "metadata",
    "presence_penalty",
    "prompt_cache_retention",
    "seed",
    "service_tier",
    "store",
    "temperature",
    "top_p",
    "verbosity",
)
_READ = (
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "stop",
    "stream",
    "stream_options",
    "tool_choice",
    "tools",
    "user",
)
_KNOWN = frozenset((*_UNSUPPORTED, *_IGNORED, *_READ))
_DEFAULT_ONLY = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
_REFUSED_BY_REASONING = ("top_p", "presence_penalty", "frequency_penalty", "logit_bias", "stop")
_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_MOST_STOPS = 4


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """Format of the answer: `schema` is the JSON schema where there is one."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    schema: Mapping[str, Any] = field(default_factory=dict)


PLAIN = AnswerFormat()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request for a completion.

    Attributes:
        model: The model, or what a deployment's name stands for.
        family: What that model can do.
        messages: The conversation, oldest first.
        limit: The most tokens that the answer may have.
        stream: Whether it is to be told piece by piece.
        with_usage: Whether a stream ends with its usage.
        tools: What the model may call.
        choice: Which of the tools it has to.
        format: What the answer has to look like.
        stops: Texts before which the answer ends.
        user: Whom the call is made for, by `safety_identifier` or `user`: what scripts, faults and counts can
            go by.
        effort: How much it is to be thought about, where the model thinks.
        cache_key: What prompts that begin alike are told to belong together by.
    """

    model: str
    family: Family
    messages: tuple[Message, ...]
    limit: int | None = None
    stream: bool = False
    with_usage: bool = False
    tools: ToolSet = NO_TOOLS
    choice: ToolChoice = NO_CHOICE
    format: AnswerFormat = PLAIN
    stops: tuple[str, ...] = ()
    user: str | None = None
    effort: str | None = None
    cache_key: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is said in it."""
        return tuple(message.content for message in self.messages)


def read_body(content: bytes) -> dict[str, Any]:
    """Read a request's body.

    Raises:
        RefusedError: It is no JSON object.
    """
    try:
        body = json.loads(content, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload, but "
            "what "
            f"was sent was not valid JSON: {error}"
        ) from error
    if not isinstance(body, dict):
        raise expected.type_error("", body, "an object")
    return body


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def read_request(body: Mapping[str, Any], model: str, family: Family) -> ChatRequest:
    """Read what is asked of a model.

    Raises:
        RefusedError: OpenAI would not take it, or this endpoint does not.
    """
    _check_names(body)
    if family.reasoning:
        _check_reasoning(body)
    elif body.get("reasoning_effort") is not None:
        raise _unsupported("reasoning_effort")
    _check_ranges(body)
    stream = expected.boolean(body, "stream")
    options = _stream_options(body, stream=stream)
    messages = read_messages(body)
    tools, choice = read_tools(body)
    return ChatRequest(
        model=model,
        family=family,
        messages=messages,
        limit=_limit(body, family),
        stream=stream,
        with_usage=expected.boolean(options, "include_usage", "stream_options."),
        tools=tools,
        choice=choice,
        format=_format(body, messages, family),
        stops=_stops(body),
        user=expected.text(body, "safety_identifier") or expected.text(body, "user"),
        effort=expected.text(body, "reasoning_effort"),
        cache_key=expected.text(body, "prompt_cache_key"),
    )


def _check_names(body: Mapping[str, Any]) -> None:
    for name in body:
        if name not in _KNOWN:
            raise RefusedError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name in _UNSUPPORTED:
        # False and "text only" are what a model without these does anyway.
        if body.get(name) not in (None, False, ["text"]):
            raise unsupported_here(f"'{name}'", name)
    if body.get("n") not in (None, 1):
        raise unsupported_here("more than one choice", "n")


def _check_reasoning(body: Mapping[str, Any]) -> None:
    """Refuse what reasoning models refuse; the defaults of sampling parameters are taken."""
    if body.get("max_tokens") is not None:
        raise _unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
    temperature = body.get("temperature")
    if temperature not in (None, _DEFAULT_ONLY["temperature"]):
        raise RefusedError(
            f"Unsupported value: 'temperature' does not support {temperature} with this model. Only the "
            "default "
            "(1) value is supported.",
            "temperature",
            "unsupported_value",
        )
    for name in _REFUSED_BY_REASONING:
        if body.get(name) not in (None, _DEFAULT_ONLY.get(name)):
            raise _unsupported(name)
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        raise expected.value_error("reasoning_effort", effort, _EFFORTS)


def _unsupported(name: str, advice: str = "") -> RefusedError:
    message = f"Unsupported parameter: '{name}' is not supported with this model.{advice}"
    return RefusedError(message, name, "unsupported_parameter")


def _check_ranges(body: Mapping[str, Any]) -> None:
    for name, (least, most) in _RANGES.items():
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise expected.type_error(name, value, "a decimal")
        if not least <= value <= most:
            side, sign, bound = ("below", ">=", least) if value < least else ("above", "<=", most)
            word = "minimum" if value < least else "maximum"
            raise RefusedError(
                f"Invalid '{name}': decimal {side} {word} value. Expected a value {sign} {bound}, but got "
                f"{value} "
                "instead.",
                name,
                f"decimal_{side}_{word[:3]}_value",
            )


def _limit(body: Mapping[str, Any], family: Family) -> int | None:
    limits = {
        name: expected.whole_number(body, name, least=1) for name in ("max_completion_tokens", "max_tokens")
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if len(given) > 1:
        raise RefusedError(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    for name, limit in given.items():
        if limit > family.output:
            raise RefusedError(
                f"{name} is too large: {limit}. This model supports at most {family.output} completion "
                "tokens, "
                f"whereas you provided {limit}.",
                name,
                "invalid_value",
            )
        return limit
    return None


def _stream_options(body: Mapping[str, Any], *, stream: bool) -> Mapping[str, Any]:
    options = body.get("stream_options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise expected.type_error("stream_options", options, "an object")
    if not stream:
        raise RefusedError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    for name in options.keys() - {"include_usage", "include_obfuscation"}:
        raise RefusedError(
            f"Unknown parameter: 'stream_options.{name}'.", f"stream_options.{name}", "unknown_parameter"
        )
    return options


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(text, str) for text in stops):
        raise expected.type_error("stop", stop, "one of a string or array of strings")
    if len(stops) > _MOST_STOPS:
        raise RefusedError(
            f"Invalid 'stop': array too long. Expected an array with maximum length {_MOST_STOPS}, but got "
            "an "
            f"array with length {len(stops)} instead.",
            "stop",
            "array_above_max_length",
        )
    return tuple(text for text in stops if text)


def _format(body: Mapping[str, Any], messages: tuple[Message, ...], family: Family) -> AnswerFormat:
    given = body.get("response_format")
    if given is None:
        return PLAIN
    if not isinstance(given, dict):
        raise expected.type_error("response_format", given, "an object")
    match given.get("type"):
        case "text":
            return PLAIN
        case "json_object":
            if not any("json" in message.content.lower() for message in messages):
                raise RefusedError(
                    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                    "'json_object'.",
                    "messages",
                )
            return AnswerFormat("json_object")
        case "json_schema":
            return AnswerFormat("json_schema", _schema(given, family))
        case other:
            raise expected.value_error("response_format.type", other, ("json_object", "json_schema", "text"))


def _schema(given: Mapping[str, Any], family: Family) -> Mapping[str, Any]:
    if not family.schemas:
        raise RefusedError(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model. "
            "Learn "
            "more about supported models at the Structured Outputs guide: "
            "https://platform.openai.com/docs/guides/structured-outputs",
            "response_format",
        )
    wrapped = given.get("json_schema")
    place = "response_format.json_schema"
    if wrapped is None:
        raise expected.missing(place)
    if not isinstance(wrapped, dict):
        raise expected.type_error(place, wrapped, "an object")
    name = expected.name(wrapped, "name", f"{place}.")
    schema = wrapped.get("schema")
    if schema is None:
        raise expected.missing(f"{place}.schema")
    if not isinstance(schema, dict):
        raise expected.type_error(f"{place}.schema", schema, "an object")
    if expected.boolean(wrapped, "strict", f"{place}."):
        check_strict(schema, f"response_format '{name}'", "response_format")
    return schema
