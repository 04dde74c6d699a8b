"""Templates: `{name}` is a variable, `{{` and `}}` are braces, and nothing else is special.

Rendering replaces text by text. There is no attribute access, no format specification and no code in a
template, and a value is never read as a template again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RENDERED_CHARACTERS = 1_000_000
"""More than any model takes. Without it one small request could make a text of gigabytes: a template may
name a variable thousands of times."""

_TOKEN = re.compile(r"(?P<escape>\{\{|\}\})|\{(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})\}|(?P<stray>[{}])")


def variables_of(template: str) -> list[str]:
    """Return the names of a template's variables, in the order in which they first appear.

    Raises:
        ValidationError: A brace is neither a variable's nor doubled.
    """
    names: dict[str, None] = {}
    for token in _TOKEN.finditer(template):
        if token["stray"]:
            problem = f"a single '{token['stray']}' at character {token.start()}: double it to mean a brace"
            raise ValidationError(f"The template has {problem}", {"fields": {"body.template": problem}})
        if token["name"]:
            names[token["name"]] = None
    return list(names)


def render(template: str, variables: Mapping[str, str]) -> str:
    """Fill in a template.

    Raises:
        ValidationError: Variables are missing, or are given that the template does not have, and both are
            named; or the text would be longer than `MAX_RENDERED_CHARACTERS`.
    """
    wanted = variables_of(template)
    missing = [name for name in wanted if name not in variables]
    unknown = sorted(variables.keys() - set(wanted))
    if missing or unknown:
        said = [
            f"{what}: {', '.join(names)}"
            for what, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise ValidationError(
            f"The variables do not fit the prompt ({'; '.join(said)})",
            {"missing": missing, "unknown": unknown},
        )
    _check_length(template, variables)
    return _TOKEN.sub(lambda token: variables[token["name"]] if token["name"] else token[0][0], template)


def _check_length(template: str, variables: Mapping[str, str]) -> None:
    """Add up what rendering would make before making it."""
    length = len(template) + sum(
        len(variables[token["name"]]) - len(token[0]) for token in _TOKEN.finditer(template) if token["name"]
    )
    if length > MAX_RENDERED_CHARACTERS:
        raise ValidationError(
            f"The rendered prompt would be longer than {MAX_RENDERED_CHARACTERS} characters",
            {"max_characters": MAX_RENDERED_CHARACTERS},
        )
