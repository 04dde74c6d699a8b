"""Template syntax: `{name}` is a variable, `{{` and `}}` are braces, and nothing else is special."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import ValidationError
from shared.prompts.models import EXAMPLES, MAX_PLACEHOLDERS, MAX_VARIABLES, Placeholder
from shared.prompts.stored_models import StoredPlaceholder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.prompts.models import PromptDraft, Template
    from shared.prompts.stored_models import PromptContent, StoredTemplate

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
TOKEN = re.compile(rf"\{{(?:(?P<name>{_NAME})\}}|\{{)|\}}\}}")
"""A variable or a doubled brace, in a text without a stray one."""

_STRAY = re.compile(rf"(?:[^{{}}]++|\{{{_NAME}\}}|\{{\{{|\}}\}})*+[{{}}]")
"""Everything up to the first brace that is neither a variable's nor doubled."""

_DOUBLED = re.compile(r"(?<!\{)\{\{\s{0,20}([A-Za-z_][A-Za-z0-9_.-]{0,63})\s{0,20}\}\}(?!\})")
"""A name in double braces, as Mustache and Jinja write variables."""

_IN_BRACES = re.compile(r"\{[^{}\n]{0,80}\}")
MAX_WARNINGS = 10


_PLACEHOLDERS = (Placeholder, StoredPlaceholder)


class Places(NamedTuple):
    """Places that a template has, each name once, in the order of the template."""

    variables: tuple[str, ...]
    messages: tuple[str, ...] = ()


def variables_of(template: str, field: str = "template") -> list[str]:
    """Return the names of a text's variables, in the order in which they first appear.

    Raises:
        ValidationError: A brace is neither a variable's nor doubled; `detail` names the field.
    """
    stray = _STRAY.match(template)
    if stray is not None:
        place = stray.end() - 1
        problem = f"a single '{template[place]}' at character {place}: {_hint(template, place)}"
        raise ValidationError(f"The template has {problem}", {"fields": {f"body.{field}": problem}})
    return [name for name in dict.fromkeys(TOKEN.findall(template)) if name]


def _hint(template: str, place: int) -> str:
    named = _IN_BRACES.match(template, place)
    if named is None:
        return "double it to mean a brace"
    return (
        f"'{named[0]}' is no variable: a name has letters, digits and underscores, 64 at most, and begins"
        " with no digit; double both braces to mean text"
    )


def warnings_of(template: Template | StoredTemplate) -> tuple[str, ...]:
    """Return what is probably not meant in a template that can be rendered, the first ten at most."""
    if isinstance(template, str):
        return tuple(islice(_warnings(template), MAX_WARNINGS))
    texts = ((n, part.content) for n, part in enumerate(template) if not isinstance(part, _PLACEHOLDERS))
    found = (f"message {number}: {warning}" for number, text in texts for warning in _warnings(text))
    return tuple(islice(found, MAX_WARNINGS))


def _warnings(text: str) -> Iterator[str]:
    if "{{" not in text:
        return
    names: set[str] = set()
    for found in _DOUBLED.finditer(text):
        if found[1] not in names:
            names.add(found[1])
            place = found.start()
            yield f"'{found[0]}' at character {place} is text, no variable: that is a name in single braces"


def places_of(template: Template | StoredTemplate) -> Places:
    """Return what a template wants filled in; its examples are among them.

    Raises:
        ValidationError: A brace is neither a variable's nor doubled.
    """
    if isinstance(template, str):
        return Places(tuple(variables_of(template)))
    variables: dict[str, None] = {}
    placeholders: dict[str, None] = {}
    for number, part in enumerate(template):
        if isinstance(part, _PLACEHOLDERS):
            placeholders[part.placeholder] = None
        else:
            variables.update(dict.fromkeys(variables_of(part.content, f"template.{number}.content")))
    return Places(tuple(variables), tuple(placeholders))


def places_to_fill(content: PromptContent) -> Places:
    """Return what a prompt's caller may fill in: its own examples are not among them.

    Raises:
        ValidationError: A brace is neither a variable's nor doubled.
    """
    variables = places_of(content.template).variables
    if content.examples and isinstance(content.template, str):
        variables = tuple(name for name in variables if name != EXAMPLES)
    return Places(variables, content.placeholders)


def check_draft(draft: PromptDraft) -> None:
    """Refuse what could never be rendered.

    Raises:
        ValidationError: A stray brace; a name that is both a variable and a placeholder; more of either than
            a request can fill in; declarations that are not those of the template; examples without a place.
    """
    places = places_of(draft.template)
    problems = dict(_problems(draft, places))
    if problems:
        said = "; ".join(problems.values())
        raise ValidationError(
            f"The prompt does not fit together: {said}",
            {"fields": {f"body.{field}": problem for field, problem in problems.items()}},
        )


def _problems(draft: PromptDraft, places: Places) -> Iterator[tuple[str, str]]:
    chat = not isinstance(draft.template, str)
    both = sorted(set(places.variables) & set(places.messages))
    if both:
        yield "template", f"both a variable and a list of messages: {', '.join(both)}"
    has_place = EXAMPLES in (places.messages if chat else places.variables)
    if draft.examples and not has_place:
        place = f'{{"placeholder": "{EXAMPLES}"}}' if chat else f"{{{EXAMPLES}}}"
        yield "examples", f"the template has no place for examples: {place}"
    variables, placeholders = set(places.variables), set(places.messages)
    if draft.examples:
        (placeholders if chat else variables).discard(EXAMPLES)
    if len(variables) > MAX_VARIABLES:
        yield "template", f"more than {MAX_VARIABLES} variables"
    if len(placeholders) > MAX_PLACEHOLDERS:
        yield "template", f"more than {MAX_PLACEHOLDERS} lists of messages"
    declared = set(draft.declared_variables)
    if declared - variables:
        yield "declared_variables", f"not in the template: {', '.join(sorted(declared - variables))}"
    elif declared and variables - declared:
        yield "declared_variables", f"not declared: {', '.join(sorted(variables - declared))}"
