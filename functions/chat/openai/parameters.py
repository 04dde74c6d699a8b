"""Parameters in refusals, by the names that their caller has sent: what refuses may know others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shared.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.errors import JsonValue

type Steps = tuple[str, ...]
"""A parameter's place in a body, such as `("messages", "0", "role")`; empty where the caller sent none."""

type Renaming = Callable[[Steps], Steps]

MESSAGES = "messages"
LIMITS = frozenset({"max_tokens", "max_completion_tokens"})

_BODY = "body"
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_INVALID = "Invalid request: "


@contextmanager
def naming_parameters(rename: Renaming) -> Iterator[None]:
    """Let the refusals of a block name what the caller has sent."""
    try:
        yield
    except APIError as error:
        _rename_all(error, rename)
        raise


def number_messages(own: int, limit_name: str, steps: Steps) -> Steps:
    """Return what the caller of a chat completion calls a parameter that its model was sent.

    Args:
        own: How many messages the model was sent before the caller's.
        limit_name: What the caller calls the limit of the answer.
        steps: The parameter.
    """
    match steps:
        case (name,) if name in LIMITS:
            return (limit_name,)
        case (name, index, *within) if name == MESSAGES and index.isdigit():
            number = int(index) - own
            return () if number < 0 else (name, str(number), *within)
    return steps


def read_steps(parameter: str) -> Steps:
    """Read what a provider names a parameter by: `messages[0].role`."""
    return tuple(_BRACKETS.sub(r".\1", parameter).split("."))


def _rename_all(error: APIError, rename: Renaming) -> None:
    detail = dict(error.detail)
    fields, parameter = detail.get("fields"), detail.pop("param", None)
    if isinstance(fields, Mapping):
        renamed: dict[str, JsonValue] = {_rename(str(name), rename): told for name, told in fields.items()}
        detail["fields"] = renamed
        if error.message.startswith(_INVALID) and renamed.keys() != fields.keys():
            error.message = _INVALID + "; ".join(f"{name}: {told}" for name, told in renamed.items())
    if isinstance(parameter, str) and (steps := rename(read_steps(parameter))):
        detail["param"] = ".".join(steps)
    error.detail = detail


def _rename(name: str, rename: Renaming) -> str:
    """Rename a field of the body; those of paths, queries and headers are the caller's own."""
    first, *steps = name.split(".")
    return ".".join((first, *rename(tuple(steps)))) if first == _BODY and steps else name
