"""Rendering of prompts: text replaced by text.

There is no attribute access, no format specification and no code in a template, and a value is never read as
a template again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.contracts import ChatMessage
from shared.errors import ValidationError
from shared.prompts.models import EXAMPLES
from shared.prompts.stored_models import StoredPlaceholder
from shared.prompts.templates import TOKEN, places_to_fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from shared.prompts.stored_models import Prompt, PromptContent, StoredExample, StoredMessage

MAX_RENDERED_CHARACTERS = 1_000_000
"""More than any model takes. Without it one small request could make a text of gigabytes: a template may
name a variable thousands of times."""


class RenderedPrompt(NamedTuple):
    """A prompt with everything filled in.

    Attributes:
        text: A text prompt's text, or the contents of a chat prompt's messages with empty lines between.
        messages: A chat prompt's messages; None for a text prompt.
    """

    text: str
    messages: tuple[ChatMessage, ...] | None


def render_prompt(
    content: PromptContent,
    variables: Mapping[str, str],
    messages: Mapping[str, Sequence[ChatMessage]] | None = None,
) -> RenderedPrompt:
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
    places = places_to_fill(content)
    defaults = {
        name: declared.default
        for name, declared in content.declared_variables.items()
        if declared.default is not None
    }
    values = defaults | dict(variables)
    _check_names(
        missing=[name for name in places.variables if name not in values]
        + [name for name in places.messages if name not in given],
        unknown=sorted(variables.keys() - set(places.variables))
        + sorted(given.keys() - set(places.messages)),
    )
    if isinstance(content.template, str):
        if content.examples:
            values[EXAMPLES] = "\n\n".join(
                f"Input: {one.input}\nOutput: {one.output}" for one in content.examples
            )
        _check_length(_length(content.template, values))
        return RenderedPrompt(_fill_in(content.template, values), None)
    lists = dict(given)
    if content.examples:
        lists[EXAMPLES] = _as_messages(content.examples)
    return _render_chat(content.template, values, lists)


def render_for_model(
    prompt: Prompt, variables: Mapping[str, str], role: Literal["system", "user"]
) -> tuple[ChatMessage, ...]:
    """Render a version for a model, which takes no empty text.

    Args:
        prompt: The version.
        variables: Its variables' values.
        role: The sender's role, where the prompt is a text.

    Raises:
        ValidationError: The prompt wants lists of messages; the variables do not fit, and it names those
            missing and unknown; or they leave nothing to say.
    """
    if prompt.placeholders:
        name, version = prompt.version.name, prompt.version.version
        raise ValidationError(
            f"Prompt '{name}' wants lists of messages, which only a call of its route for rendering gives"
            f" (missing: {', '.join(prompt.placeholders)})",
            {"name": name, "version": version, "placeholders": list(prompt.placeholders)},
        )
    rendered = render_prompt(prompt.content, variables)
    if rendered.messages is not None:
        return rendered.messages
    if not rendered.text:
        name = prompt.version.name
        raise ValidationError(f"Prompt '{name}' is empty with these variables", {"name": name})
    return (ChatMessage(role=role, content=rendered.text),)


def _render_chat(
    template: Sequence[StoredMessage | StoredPlaceholder],
    values: Mapping[str, str],
    lists: Mapping[str, Sequence[ChatMessage]],
) -> RenderedPrompt:
    _check_length(
        sum(
            sum(len(message.content) for message in lists[part.placeholder])
            if isinstance(part, StoredPlaceholder)
            else _length(part.content, values)
            for part in template
        )
    )
    rendered: list[ChatMessage] = []
    for number, part in enumerate(template):
        if isinstance(part, StoredPlaceholder):
            rendered += lists[part.placeholder]
            continue
        text = _fill_in(part.content, values)
        if not text:
            raise ValidationError(f"Message {number} is empty with these variables", {"message": number})
        rendered.append(ChatMessage(role=part.role, content=text))
    return RenderedPrompt("\n\n".join(message.content for message in rendered), tuple(rendered))


def _as_messages(examples: Sequence[StoredExample]) -> list[ChatMessage]:
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
        f"{kind}: {', '.join(names)}" for kind, names in (("missing", missing), ("unknown", unknown)) if names
    ]
    raise ValidationError(
        f"The variables do not fit the prompt ({'; '.join(said)})",
        {"missing": list(missing), "unknown": list(unknown)},
    )


def _fill_in(template: str, values: Mapping[str, str]) -> str:
    return TOKEN.sub(lambda token: values[token["name"]] if token["name"] else token[0][0], template)


def _length(template: str, values: Mapping[str, str]) -> int:
    """Add up what filling in would make before making it."""
    return len(template) + sum(
        len(values[token["name"]]) - len(token[0]) for token in TOKEN.finditer(template) if token["name"]
    )


def _check_length(characters: int) -> None:
    if characters > MAX_RENDERED_CHARACTERS:
        raise ValidationError(
            f"The rendered prompt would be longer than {MAX_RENDERED_CHARACTERS} characters",
            {"max_characters": MAX_RENDERED_CHARACTERS},
        )
