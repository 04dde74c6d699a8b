"""Templates: `{name}` is a variable, `{{` and `}}` are braces, and nothing else is special.

Rendering replaces text by text. There is no attribute access, no format specification and no code in a
template, and a value is never read as a template again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from shared.contracts import ChatMessage
from shared.errors import ValidationError
from shared.prompts.models import (
    EXAMPLES,
    MAX_PLACEHOLDERS,
    MAX_VARIABLES,
    MessageTemplate,
    Placeholder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shared.prompts.models import Example, PromptContent, PromptDraft, Template

MAX_RENDERED_CHARACTERS = 1_000_000
"""More than any model takes. Without it one small request could make a text of gigabytes: a template may
name a variable thousands of times."""

_TOKEN = re.compile(r"\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})\}|\{)?|\}\}?")
"""A variable, a doubled brace, or a stray one: that is the only one of a single character."""


class Rendered(NamedTuple):
    """A prompt with everything filled in.

    Attributes:
        text: A text prompt's text, or the contents of a chat prompt's messages with empty lines between.
        messages: A chat prompt's messages; None for a text prompt.
    """

    text: str
    messages: tuple[ChatMessage, ...] | None


class Places(NamedTuple):
    """What a template has places for, each name once, in the order of the template."""

    variables: tuple[str, ...]
    messages: tuple[str, ...] = ()


def variables_of(template: str, field: str = "template") -> list[str]:
    """Return the names of a text's variables, in the order in which they first appear.

    Raises:
        ValidationError: A brace is neither a variable's nor doubled; `detail` names the field.
    """
    found: dict[str, None] = dict.fromkeys(_TOKEN.findall(template))
    if "" in found:
        for token in _TOKEN.finditer(template):
            if len(token[0]) == 1:
                problem = f"a single '{token[0]}' at character {token.start()}: double it to mean a brace"
                raise ValidationError(f"The template has {problem}", {"fields": {f"body.{field}": problem}})
        del found[""]
    return list(found)


def places_of(template: Template) -> Places:
    """Return what a template wants filled in; its examples are among them.

    Raises:
        ValidationError: A brace is neither a variable's nor doubled.
    """
    if isinstance(template, str):
        return Places(tuple(variables_of(template)))
    variables: dict[str, None] = {}
    placeholders: dict[str, None] = {}
    for number, part in enumerate(template):
        if isinstance(part, Placeholder):
            placeholders[part.placeholder] = None
        else:
            variables.update(dict.fromkeys(variables_of(part.content, f"template.{number}.content")))
    return Places(tuple(variables), tuple(placeholders))


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


def variables_wanted(content: PromptContent) -> list[str]:
    """Return the variables that a prompt's caller may fill in."""
    return list(_asked_of_the_caller(content).variables)


def _asked_of_the_caller(content: PromptContent) -> Places:
    places = places_of(content.template)
    if not content.examples:
        return places
    if isinstance(content.template, str):
        return Places(tuple(name for name in places.variables if name != EXAMPLES))
    return Places(places.variables, tuple(name for name in places.messages if name != EXAMPLES))


def render_prompt(
    content: PromptContent,
    variables: Mapping[str, str],
    messages: Mapping[str, Sequence[ChatMessage]] | None = None,
) -> Rendered:
    """Fill in a prompt: declared defaults stand in for variables that are not given.

    Args:
        content: The prompt.
        variables: The variables' values.
        messages: The lists of messages for the placeholders of a chat prompt.

    Raises:
        ValidationError: Names are missing, or are given that the prompt does not have, and both are named; a
            message would be empty; or it would be longer than `MAX_RENDERED_CHARACTERS`.
    """
    given = messages or {}
    wanted = _asked_of_the_caller(content)
    defaults = {
        name: declared.default
        for name, declared in content.declared_variables.items()
        if declared.default is not None
    }
    values = defaults | dict(variables)
    _check_names(
        missing=[name for name in wanted.variables if name not in values]
        + [name for name in wanted.messages if name not in given],
        unknown=sorted(variables.keys() - set(wanted.variables))
        + sorted(given.keys() - set(wanted.messages)),
    )
    if isinstance(content.template, str):
        if content.examples:
            values[EXAMPLES] = "\n\n".join(
                f"Input: {one.input}\nOutput: {one.output}" for one in content.examples
            )
        _check_length(_length(content.template, values))
        return Rendered(_filled(content.template, values), None)
    lists = dict(given)
    if content.examples:
        lists[EXAMPLES] = _as_messages(content.examples)
    return _chat(content.template, values, lists)


def render(template: str, variables: Mapping[str, str]) -> str:
    """Fill in a text.

    Raises:
        ValidationError: Variables are missing, or are given that the template does not have, and both are
            named; or the text would be longer than `MAX_RENDERED_CHARACTERS`.
    """
    wanted = variables_of(template)
    _check_names(
        missing=[name for name in wanted if name not in variables],
        unknown=sorted(variables.keys() - set(wanted)),
    )
    _check_length(_length(template, variables))
    return _filled(template, variables)


def _chat(
    template: Sequence[MessageTemplate | Placeholder],
    values: Mapping[str, str],
    lists: Mapping[str, Sequence[ChatMessage]],
) -> Rendered:
    _check_length(
        sum(
            sum(len(message.content) for message in lists[part.placeholder])
            if isinstance(part, Placeholder)
            else _length(part.content, values)
            for part in template
        )
    )
    filled: list[ChatMessage] = []
    for number, part in enumerate(template):
        if isinstance(part, Placeholder):
            filled += lists[part.placeholder]
            continue
        text = _filled(part.content, values)
        if not text:
            raise ValidationError(f"Message {number} is empty with these variables", {"message": number})
        filled.append(ChatMessage(role=part.role, content=text))
    return Rendered("\n\n".join(message.content for message in filled), tuple(filled))


def _as_messages(examples: Sequence[Example]) -> list[ChatMessage]:
    return [
        message
        for one in examples
        for message in (
            ChatMessage(role="user", content=one.input),
            ChatMessage(role="assistant", content=one.output),
        )
    ]


def _check_names(*, missing: Sequence[str], unknown: Sequence[str]) -> None:
    if not missing and not unknown:
        return
    said = [
        f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names
    ]
    raise ValidationError(
        f"The variables do not fit the prompt ({'; '.join(said)})",
        {"missing": list(missing), "unknown": list(unknown)},
    )


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _TOKEN.sub(lambda token: values[token["name"]] if token["name"] else token[0][0], template)


def _length(template: str, values: Mapping[str, str]) -> int:
    """Add up what filling in would make before making it."""
    return len(template) + sum(
        len(values[token["name"]]) - len(token[0]) for token in _TOKEN.finditer(template) if token["name"]
    )


def _check_length(characters: int) -> None:
    if characters > MAX_RENDERED_CHARACTERS:
        raise ValidationError(
            f"The rendered prompt would be longer than {MAX_RENDERED_CHARACTERS} characters",
            {"max_characters": MAX_RENDERED_CHARACTERS},
        )
