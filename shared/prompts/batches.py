"""Many prompts at once: each item is checked and answered on its own."""

from __future__ import annotations

import contextlib
import json
import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pydantic

from shared.errors import APIError, PromptNotFoundError, ValidationError
from shared.prompts import changes
from shared.prompts.changes import Change, new_id
from shared.prompts.models import NAME_PATTERN, NamedDraft
from shared.prompts.rendering import check_draft
from shared.validation import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.prompts.changes import Effect
    from shared.prompts.library import Prompts
    from shared.prompts.models import Prompt, PromptDraft, PromptSource, PromptSummary

_NAME = re.compile(NAME_PATTERN)


class ItemOutcome(NamedTuple):
    """What became of one item: its prompt's head, or why there is none; `name` is None where it has none."""

    name: str | None
    outcome: PromptSummary | APIError


async def save_many(
    prompts: Prompts, items: Sequence[Mapping[str, object]], source: PromptSource
) -> list[ItemOutcome]:
    """Save prompts, each as JSON of a `NamedDraft`; return what became of each, in order.

    Raises:
        DependencyUnavailableError: The store is down, and nothing is known to be saved.
        PermissionDeniedError: They are not the caller's to change.
    """
    call = new_id()
    return await _changed(prompts, [_saving(item, call) for item in items], source)


async def delete_many(
    prompts: Prompts, names: Sequence[str], source: PromptSource, reason: str | None = None
) -> list[ItemOutcome]:
    """Take prompts out of use; return what became of each, in order.

    Raises:
        DependencyUnavailableError: The store is down, and nothing is known to be deleted.
        PermissionDeniedError: They are not the caller's to change.
    """
    call = new_id()
    wanted: list[tuple[str | None, Change | APIError]] = [
        (name, _problem_of(name) or Change(name, changes.deletion_of(name), None, reason, call))
        for name in names
    ]
    return await _changed(prompts, wanted, source)


async def read_many(prompts: Prompts, names: Sequence[str]) -> list[tuple[str, Prompt | APIError]]:
    """Return the latest version of each prompt or why there is none, in order."""
    problems = {name: _problem_of(name) for name in names}
    found = await prompts.read_all(list(dict.fromkeys(name for name in names if problems[name] is None)))
    return [(name, problems[name] or found.get(name) or PromptNotFoundError(name)) for name in names]


async def _changed(
    prompts: Prompts, wanted: Sequence[tuple[str | None, Change | APIError]], source: PromptSource
) -> list[ItemOutcome]:
    """Make those changes that can be made: of one prompt the first, the others are refused."""
    first: dict[str, Change] = {}
    for _, change in wanted:
        if isinstance(change, Change):
            first.setdefault(change.name, change)
    done = dict(zip(first, await prompts.change_all(list(first.values()), source), strict=True))
    return [
        ItemOutcome(
            name,
            change
            if isinstance(change, APIError)
            else done[change.name]
            if first[change.name] is change
            else ValidationError(f"'{change.name}' is in the batch twice", {"name": change.name}),
        )
        for name, change in wanted
    ]


def _saving(item: Mapping[str, object], call: str) -> tuple[str | None, Change | APIError]:
    """Tell whose an item is; what it says is read in its turn, while the store works on those before."""
    name, if_match, reason = (item.get(field) for field in ("name", "if_match", "reason"))
    if not isinstance(name, str):
        return None, _refusal(item)
    if _NAME.fullmatch(name) is None:
        return name, _refusal(item)
    seen = if_match if isinstance(if_match, str) else None
    return name, Change(name, partial(_save, item), seen, reason if isinstance(reason, str) else None, call)


def _refusal(item: Mapping[str, object]) -> ValidationError:
    """Tell what is wrong with an item that has no plain name."""
    try:
        name = parse_draft(NamedDraft, item).name
    except ValidationError as error:
        return error
    raise AssertionError(f"'{name}' is a plain name")


def _save(item: Mapping[str, object], head: PromptSummary | None) -> Effect:
    draft = parse_draft(NamedDraft, item)
    check_draft(draft)
    return changes.save_of(draft)(head)


def parse_draft[D: PromptDraft](model: type[D], item: Mapping[str, object]) -> D:
    """Read a draft from JSON values.

    Raises:
        ValidationError: It is none; `detail` names the fields.
    """
    try:
        with contextlib.suppress(pydantic.ValidationError):
            return model.model_validate(item)
        # Again, as JSON, so that what is wrong is told in the words of JSON, over HTTP too.
        return model.model_validate_json(json.dumps(item, allow_nan=False))
    except pydantic.ValidationError as error:
        raise invalid(error, "prompt") from error
    except (TypeError, ValueError) as error:
        raise ValidationError(f"Invalid prompt: {error}") from error
    except RecursionError as error:
        raise ValidationError("Invalid prompt: it is nested too deeply") from error


def check_name(name: str) -> None:
    """Refuse what no prompt can be called.

    Raises:
        ValidationError: The name is not plain.
    """
    if problem := _problem_of(name):
        raise problem


def _problem_of(name: str) -> ValidationError | None:
    if _NAME.fullmatch(name):
        return None
    return ValidationError(f"A prompt's name matches {NAME_PATTERN}", {"name": name[:200]})
