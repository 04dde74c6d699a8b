"""Rendering of prompts: text replaced by text.

There is no attribute access, no format specification and no code in a template, and a value is never read as
a template again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from shared.contracts import ChatMessage
from shared.errors import ValidationError
from shared.prompts.models import EXAMPLES
from shared.prompts.stored_models import StoredMessage, StoredPlaceholder
from shared.prompts.templates import TOKEN, places_to_fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Literal

    from shared.prompts.stored_models import Prompt, PromptContent, StoredExample

MAX_RENDERED_CHARACTERS = 1_000_000
"""More than any model takes. Without it one small request could make a text of gigabytes: a template may
name a variable thousands of times."""


MAX_RENDERED_BYTES = 3_900_000
"""As JSON in UTF-8; an answer has a chat's texts twice, and 8 MB at most."""

_MESSAGE_BYTES = 40
"""A message's role and punctuation in JSON."""

_ESCAPED = re.compile(r'[\x00-\x1f"\\\x7f-\uffff\U00010000-\U0010ffff]')
"""Characters that have more than one byte in JSON."""


class _Length(NamedTuple):
    """Length of a text, and its bytes as JSON in UTF-8."""

    characters: int
    size: int

    @classmethod
    def of(cls, text: str) -> _Length:
        if _ESCAPED.search(text) is None:
            return cls(len(text), len(text))
        return cls(len(text), len(json.dumps(text, ensure_ascii=False).encode()))


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
        _check_lengths(_lengths_of([content.template], values))
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
    weights = {name: _weigh(messages) for name, messages in lists.items()}
    texts = [part.content for part in template if isinstance(part, StoredMessage)]
    placed = [weights[part.placeholder] for part in template if isinstance(part, StoredPlaceholder)]
    _check_lengths(chain(_lengths_of(texts, values), placed))
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


def _lengths_of(templates: Iterable[str], values: Mapping[str, str]) -> Iterator[_Length]:
    """Add up what filling in would make before making it."""
    lengths = {name: _Length.of(value) for name, value in values.items()}
    for template in templates:
        own = _Length.of(template)
        names = Counter(token["name"] for token in TOKEN.finditer(template) if token["name"])
        characters, size = own.characters, own.size + _MESSAGE_BYTES
        for name, count in names.items():
            characters += count * (lengths[name].characters - len(name) - 2)
            size += count * (lengths[name].size - len(name) - 2)
        yield _Length(characters, size)


def _weigh(messages: Iterable[ChatMessage]) -> _Length:
    lengths = (_Length.of(message.content) for message in messages)
    return _total(_Length(one.characters, one.size + _MESSAGE_BYTES) for one in lengths)


def _total(lengths: Iterable[_Length]) -> _Length:
    characters = size = 0
    for length in lengths:
        characters += length.characters
        size += length.size
    return _Length(characters, size)


def _check_lengths(lengths: Iterable[_Length]) -> None:
    total = _total(lengths)
    if total.characters > MAX_RENDERED_CHARACTERS:
        raise ValidationError(
            f"The rendered prompt would be longer than {MAX_RENDERED_CHARACTERS} characters",
            {"max_characters": MAX_RENDERED_CHARACTERS},
        )
    if total.size > MAX_RENDERED_BYTES:
        raise ValidationError(
            f"The rendered prompt would be longer than {MAX_RENDERED_BYTES} bytes",
            {"max_bytes": MAX_RENDERED_BYTES},
        )
