"""Edits of a prompt: each is worked out on the head as it was read, and on nothing else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from shared.cosmos.container import PatchOperation
from shared.errors import ConflictError, ValidationError
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import LATEST
from shared.prompts.stored_models import ChangeAction
from shared.prompts.templates import check_draft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.errors import JsonValue
    from shared.prompts.models import PromptDraft
    from shared.prompts.stored_models import PromptSummary

MAX_LABELS = 50


def new_edit_id() -> str:
    """Name a call, so that its edits are told from the same ones by others."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class HeadState:
    """The part of a head that edits change; a prompt's first edit finds these defaults."""

    version: int = 0
    description: str | None = None
    tags: tuple[str, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    deleted: bool = False
    size: int | None = None

    @classmethod
    def of(cls, head: PromptSummary | None) -> Self:
        """Read the state of a head, or of none."""
        if head is None:
            return cls()
        return cls(head.version, head.description, head.tags, head.labels, head.deleted, head.size)

    def changes_since(self, before: HeadState) -> list[PatchOperation]:
        """Return the steps that make a head of `before` one of this state."""
        old, new = before.as_json(), self.as_json()
        return [PatchOperation("set", f"/{name}", value) for name, value in new.items() if value != old[name]]

    def as_json(self) -> dict[str, JsonValue]:
        """Render it as the fields of a head."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


class EditEffect(NamedTuple):
    """An action's effect on one head.

    Attributes:
        state: The head's state after it.
        draft: The new version, for an action that makes one.
        version: The version that the action is about.
        label: The label that it is about.
        labels_removed: Labels that it took away beside that, each with the version that it pointed at.
    """

    action: ChangeAction
    state: HeadState
    draft: PromptDraft | None = None
    version: int | None = None
    label: str | None = None
    labels_removed: Mapping[str, int] | None = None


class EditAction(Protocol):
    """One thing to do to a prompt."""

    def apply(self, name: str, head: PromptSummary | None) -> EditEffect:
        """Work it out on a head: None where there is none, and the head of a deleted prompt too.

        Raises:
            APIError: It cannot be done to this prompt.
        """
        ...


@dataclass(frozen=True, slots=True)
class SaveVersion:
    """Make the next version; a deleted prompt begins a new life, without its labels.

    Raises:
        ValidationError: The draft does not fit together.
    """

    draft: PromptDraft

    def __post_init__(self) -> None:
        check_draft(self.draft)

    def apply(self, name: str, head: PromptSummary | None) -> EditEffect:  # noqa: ARG002  # any prompt is saved alike
        """Work it out on a head."""
        before = HeadState.of(head)
        after = replace(
            before,
            version=before.version + 1,
            description=self.draft.description,
            tags=self.draft.tags,
            labels={} if before.deleted else before.labels,
            deleted=False,
            size=self.draft.size,
        )
        removed = before.labels if before.deleted else None
        return EditEffect(ChangeAction.SAVE, after, self.draft, after.version, labels_removed=removed)


@dataclass(frozen=True, slots=True)
class MoveLabel:
    """Point a label at a version."""

    label: str
    version: int

    def apply(self, name: str, head: PromptSummary | None) -> EditEffect:
        """Work it out on a head.

        Raises:
            PromptNotFoundError: There is no such prompt or version.
            ValidationError: The label moves by itself or is not lower case, or there are too many.
        """
        head = _require_in_use(name, head)
        _require_movable(self.label)
        if problem := label_problem(self.label):
            raise ValidationError(f"Invalid label: {problem}", {"fields": {"path.label": problem}})
        if self.version > head.version:
            raise PromptNotFoundError(name, self.version)
        labels = head.labels | {self.label: self.version}
        if len(labels) > MAX_LABELS:
            problem = f"at most {MAX_LABELS} labels"
            raise ValidationError(f"A prompt has {problem}", {"fields": {"path.label": problem}})
        after = replace(HeadState.of(head), labels=labels)
        return EditEffect(ChangeAction.LABEL, after, version=self.version, label=self.label)


@dataclass(frozen=True, slots=True)
class RemoveLabel:
    """Take a label away."""

    label: str

    def apply(self, name: str, head: PromptSummary | None) -> EditEffect:
        """Work it out on a head.

        Raises:
            PromptNotFoundError: There is no such prompt or label.
            ValidationError: The label moves by itself.
        """
        head = _require_in_use(name, head)
        _require_movable(self.label)
        if self.label not in head.labels:
            raise PromptNotFoundError(name, label=self.label)
        labels = {other: version for other, version in head.labels.items() if other != self.label}
        after = replace(HeadState.of(head), labels=labels)
        return EditEffect(ChangeAction.UNLABEL, after, version=head.labels[self.label], label=self.label)


@dataclass(frozen=True, slots=True)
class DeletePrompt:
    """Take a prompt out of use; all of it stays."""

    def apply(self, name: str, head: PromptSummary | None) -> EditEffect:
        """Work it out on a head.

        Raises:
            PromptNotFoundError: There is no such prompt.
        """
        head = _require_in_use(name, head)
        return EditEffect(ChangeAction.DELETE, replace(HeadState.of(head), deleted=True))


@dataclass(frozen=True, slots=True)
class RestorePrompt:
    """Take a deleted prompt into use again, as it was."""

    def apply(self, name: str, head: PromptSummary | None) -> EditEffect:
        """Work it out on a head.

        Raises:
            PromptNotFoundError: There is no such prompt.
            ConflictError: It is in use.
        """
        if head is None:
            raise PromptNotFoundError(name)
        if not head.deleted:
            raise ConflictError(f"Prompt '{name}' is not deleted", {"name": name})
        return EditEffect(ChangeAction.RESTORE, replace(HeadState.of(head), deleted=False))


@dataclass(frozen=True, slots=True)
class PromptEdit:
    """One action on one prompt.

    Attributes:
        if_match: The ETag of the head that the caller has seen, or None to change whatever is there.
        id: The call that wants it: it tells the edit from the same one by others.
    """

    name: str
    action: EditAction
    if_match: str | None = None
    reason: str | None = None
    id: str = field(default_factory=new_edit_id)


def label_problem(label: str) -> str | None:
    """Tell why a label cannot be given to a version; older releases gave some in capitals."""
    return None if label == label.lower() else f"a label is lower case: '{label.lower()}'"


def _require_in_use(name: str, head: PromptSummary | None) -> PromptSummary:
    if head is None or head.deleted:
        raise PromptNotFoundError(name)
    return head


def _require_movable(label: str) -> None:
    """Refuse the label that moves by itself.

    Raises:
        ValidationError: It is `latest`.
    """
    if label == LATEST:
        problem = f"'{LATEST}' moves by itself"
        raise ValidationError(f"The label {problem}", {"fields": {"path.label": problem}})
