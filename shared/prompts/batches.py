"""Many prompts at once: each item is checked and answered on its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import APIError, MalformedRequestError, PayloadTooLargeError, ValidationError
from shared.prompts.edits import DeletePrompt, PromptEdit, SaveVersion, new_edit_id
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import MAX_CONFIG_VALUES, NAME_PATTERN, NamedDraft
from shared.prompts.templates import warnings_of
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.prompts.batch_commit import EditOutcome
    from shared.prompts.edits import EditEffect
    from shared.prompts.library import Prompts
    from shared.prompts.models import PromptDraft
    from shared.prompts.stored_models import Prompt, PromptSummary
    from shared.tenancy.source import Source

_NAME = re.compile(NAME_PATTERN)
_MOST_VALUES = MAX_CONFIG_VALUES + 2_000
_MOST_LEVELS = 64


class ItemOutcome(NamedTuple):
    """Outcome of one item.

    Attributes:
        name: Its prompt's name; None where it has none.
        outcome: The prompt's head, or why there is none.
        warnings: What is probably not meant in the template that was saved.
    """

    name: str | None
    outcome: EditOutcome
    warnings: tuple[str, ...] = ()


class SaveItem:
    """Save an item of a batch; it is read in its turn, while the store works on those before.

    Args:
        item: JSON of a `NamedDraft`.
    """

    def __init__(self, item: Mapping[str, object]) -> None:
        self._item = item
        self._save: SaveVersion | None = None

    def apply(self, name: str, head: PromptSummary | None) -> EditEffect:
        """Work it out on a head.

        Raises:
            ValidationError: It is no draft, or does not fit together.
        """
        if self._save is None:
            self._save = SaveVersion(parse_draft(NamedDraft, self._item))
        return self._save.apply(name, head)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is probably not meant in its template."""
        return () if self._save is None else warnings_of(self._save.draft.template)


async def save_many(
    prompts: Prompts, items: Sequence[Mapping[str, object]], source: Source
) -> list[ItemOutcome]:
    """Save prompts, each as JSON of a `NamedDraft`; return an outcome for each, in order.

    Raises:
        DependencyUnavailableError: The store is down, and nothing is known to be saved.
        PermissionDeniedError: They are not the caller's to change.
    """
    call = new_edit_id()
    return await _apply(prompts, [_save_edit(item, call) for item in items], source)


async def delete_many(
    prompts: Prompts, names: Sequence[str], source: Source, reason: str | None = None
) -> list[ItemOutcome]:
    """Take prompts out of use; return an outcome for each, in order.

    Raises:
        DependencyUnavailableError: The store is down, and nothing is known to be deleted.
        PermissionDeniedError: They are not the caller's to change.
    """
    call = new_edit_id()
    edits: list[tuple[str | None, PromptEdit | APIError]] = [
        (name, _problem_of(name) or PromptEdit(name, DeletePrompt(), None, reason, call)) for name in names
    ]
    return await _apply(prompts, edits, source)


async def read_many(
    prompts: Prompts, names: Sequence[str], max_bytes: int
) -> list[tuple[str, Prompt | APIError]]:
    """Return the latest version of each prompt or why there is none, in order; each name once.

    Args:
        prompts: The caller's.
        names: The names as they were asked for.
        max_bytes: The most that the prompts may have together; the rest are refused.
    """
    problems = {name: _problem_of(name) for name in names}
    read = await prompts.read_all([name for name, problem in problems.items() if problem is None], max_bytes)
    answers: dict[str, Prompt | APIError] = {
        name: problem or read.prompts.get(name) or PromptNotFoundError(name)
        for name, problem in problems.items()
    }
    answers |= {name: no_room_for(name, max_bytes) for name in read.left_out}
    return [(name, answers.pop(name) if name in answers else _repeated(name)) for name in names]


def no_room_for(name: str, max_bytes: int) -> PayloadTooLargeError:
    """Refuse a prompt that an answer has no room for."""
    return PayloadTooLargeError(
        f"The answer has no room for '{name}': ask for it in another request",
        {"name": name, "max_bytes": max_bytes},
    )


async def _apply(
    prompts: Prompts, edits: Sequence[tuple[str | None, PromptEdit | APIError]], source: Source
) -> list[ItemOutcome]:
    """Make those edits that can be made: of one prompt the first, the others are refused."""
    first: dict[str, PromptEdit] = {}
    for _, edit in edits:
        if isinstance(edit, PromptEdit):
            first.setdefault(edit.name, edit)
    outcomes = dict(zip(first, await prompts.apply_all(list(first.values()), source), strict=True))
    results: list[ItemOutcome] = []
    for name, edit in edits:
        if isinstance(edit, APIError):
            results.append(ItemOutcome(name, edit))
        elif first[edit.name] is not edit:
            results.append(ItemOutcome(name, _repeated(edit.name)))
        else:
            warnings = edit.action.warnings if isinstance(edit.action, SaveItem) else ()
            results.append(ItemOutcome(name, outcomes[edit.name], warnings))
    return results


def _repeated(name: str) -> ValidationError:
    return ValidationError(f"'{name}' is in the batch twice", {"name": name})


def _save_edit(item: Mapping[str, object], call: str) -> tuple[str | None, PromptEdit | APIError]:
    """Read an item's name; the rest is read in its turn."""
    name, if_match, reason = (item.get(field) for field in ("name", "if_match", "reason"))
    if not isinstance(name, str):
        return None, _refusal(item)
    if _NAME.fullmatch(name) is None:
        return name, _refusal(item)
    seen = if_match if isinstance(if_match, str) else None
    return name, PromptEdit(name, SaveItem(item), seen, reason if isinstance(reason, str) else None, call)


def _refusal(item: Mapping[str, object]) -> ValidationError:
    """Tell the problem of an item that has no plain name."""
    try:
        name = parse_draft(NamedDraft, item).name
    except ValidationError as error:
        return error
    raise AssertionError(f"'{name}' is a plain name")


def parse_draft[D: PromptDraft](model: type[D], item: Mapping[str, object]) -> D:
    """Read a draft from JSON values.

    Raises:
        ValidationError: It is none; `detail` names the fields.
    """
    _check_extent(item)
    problem = "it is nested too deeply"
    try:
        # As JSON, so that problems are told in the words of JSON, over HTTP too.
        text = json.dumps(item, allow_nan=False)
        return validate_input(lambda: model.model_validate_json(text), "prompt")
    except (TypeError, ValueError) as error:
        problem = str(error)
    except (RecursionError, MalformedRequestError):
        pass  # the parser of JSON has a limit of its own
    raise ValidationError(f"Invalid prompt: {problem}")


def _check_extent(item: Mapping[str, object]) -> None:
    """Refuse what is too large to be a draft, before it is encoded and validated."""
    left: list[tuple[object, int]] = [(item, 1)]
    count = 1
    while left:
        value, level = left.pop()
        if not isinstance(value, Mapping | list | tuple):
            continue
        count += len(value)
        if level > _MOST_LEVELS:
            raise ValidationError("Invalid prompt: it is nested too deeply")
        if count > _MOST_VALUES:
            raise ValidationError(
                f"Invalid prompt: it has more than {_MOST_VALUES} values, objects and lists"
            )
        inner = value.values() if isinstance(value, Mapping) else value
        left += [(one, level + 1) for one in inner]


def check_name(name: str) -> None:
    """Refuse a name that no prompt can have.

    Raises:
        ValidationError: The name is not plain.
    """
    if problem := _problem_of(name):
        raise problem


def _problem_of(name: str) -> ValidationError | None:
    if _NAME.fullmatch(name):
        return None
    return ValidationError(f"A prompt's name matches {NAME_PATTERN}", {"name": name[:200]})
