"""The functions that a model may call, and which of them it has to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from local.llm import expected
from local.llm.errors import RefusedError, unsupported_here
from local.llm.strict import check_strict

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TOOLS = 128
_CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its name, the JSON schema of its arguments, and the JSON that defines it."""

    name: str
    parameters: Mapping[str, Any]
    definition: str


@dataclass(frozen=True, slots=True)
class ToolSet:
    """All functions that a request offers, and whether several may be called at once."""

    functions: tuple[Function, ...] = ()
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model has to call, and which functions it may; None is all of them."""

    mode: Literal["none", "auto", "required", "named"] = "auto"
    allowed: frozenset[str] | None = None


NO_TOOLS = ToolSet()
NO_CHOICE = ToolChoice("none")


def read_tools(body: Mapping[str, Any]) -> tuple[ToolSet, ToolChoice]:
    """Read `tools`, `tool_choice` and `parallel_tool_calls`.

    Raises:
        RefusedError: One of them is malformed, or there is no tool to choose.
    """
    sent = body.get("tools")
    if sent is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None and not (name == "tool_choice" and body[name] == "none"):
                raise RefusedError(
                    f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name
                )
        return NO_TOOLS, NO_CHOICE
    if not isinstance(sent, list):
        raise expected.type_error("tools", sent, "an array of objects")
    if not 1 <= len(sent) <= _MOST_TOOLS:
        wanted, code = (
            ("minimum length 1", "empty_array")
            if not sent
            else (
                f"maximum length {_MOST_TOOLS}",
                "array_above_max_length",
            )
        )
        raise RefusedError(
            f"Invalid 'tools': expected an array with {wanted}, but got {len(sent)} tools instead.",
            "tools",
            code,
        )
    functions = tuple(_function(tool, f"tools[{index}]") for index, tool in enumerate(sent))
    parallel = body.get("parallel_tool_calls") is None or expected.boolean(body, "parallel_tool_calls")
    return ToolSet(functions, parallel), _choice(body.get("tool_choice"), {known.name for known in functions})


def _function(tool: object, place: str) -> Function:
    if not isinstance(tool, dict):
        raise expected.type_error(place, tool, "an object")
    kind = tool.get("type")
    if kind == "custom":
        raise unsupported_here("tools of type 'custom'", f"{place}.type")
    if kind != "function":
        raise expected.value_error(f"{place}.type", kind, ("function", "custom"))
    function = tool.get("function")
    if not isinstance(function, dict):
        raise expected.missing(f"{place}.function")
    name = expected.name(function, "name", f"{place}.function.")
    parameters = function.get(
        "parameters", {"type": "object", "properties": {}, "additionalProperties": False}
    )
    at = f"{place}.function.parameters"
    if not isinstance(parameters, dict):
        raise expected.type_error(at, parameters, "an object")
    if parameters and parameters.get("type") != "object":
        raise RefusedError(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got "
            f"'type: {json.dumps(parameters.get('type'))}'.",
            at,
            "invalid_function_parameters",
        )
    if expected.boolean(function, "strict", f"{place}.function."):
        check_strict(parameters, f"function '{name}'", at, "invalid_function_parameters")
    return Function(name, parameters, json.dumps(function, ensure_ascii=False))


def _choice(choice: object, names: set[str]) -> ToolChoice:
    match choice:
        case None | "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "required":
            return ToolChoice("required")
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolChoice("named", frozenset({_known(name, names)}))
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(tools)},
        }:
            return ToolChoice(mode, frozenset(_known(_named(tool), names) for tool in tools))
        case str(other):
            raise expected.value_error("tool_choice", other, _CHOICES)
        case {"type": "custom"}:
            raise unsupported_here("tools of type 'custom'", "tool_choice.type")
        case dict():
            raise expected.missing("tool_choice.function")
        case _:
            raise expected.type_error("tool_choice", choice, "one of a string or object")


def _named(tool: object) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case _:
            raise expected.missing("tool_choice.allowed_tools.tools[0].function.name")


def _known(name: str, names: set[str]) -> str:
    if name not in names:
        raise RefusedError(
            f"Invalid value for 'tool_choice': no function named '{name}' was specified in the 'tools' "
            "parameter.",
            "tool_choice",
        )
    return name
