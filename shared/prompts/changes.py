"""What can be done to a prompt: each change is worked out from the head as it was read, and nothing else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.cosmos.container import Patch, PatchOperation
from shared.errors import ConflictError, PreconditionFailedError, PromptNotFoundError, ValidationError
from shared.prompts.models import (
    LATEST,
    ChangeAction,
    PromptSummary,
    change_id,
    head_id,
    version_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.cosmos.container import BatchOperation, Json
    from shared.cosmos.partition import Partition
    from shared.errors import JsonValue
    from shared.prompts.models import PromptDraft

MAX_LABELS = 50
_EMPTY: dict[str, Any] = {"version": 0, "description": None, "tags": (), "labels": {}, "deleted": False}
"""What a prompt's first change finds."""


def new_id() -> str:
    """Name a call."""
    return secrets.token_hex(16)


class Effect(NamedTuple):
    """What a change makes of a head.

    Attributes:
        fields: The head's fields that become others.
        draft: What the new version says, for a change that makes one.
        version: The version that the change is about.
        label: The label that it is about.
    """

    action: ChangeAction
    fields: dict[str, JsonValue]
    draft: PromptDraft | None = None
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one prompt.

    Attributes:
        work_out: Tells what becomes of a head; it is given None where there is none, and the head of a
            deleted prompt too. It raises the `APIError` of a change that cannot be made.
        if_match: The ETag of the head that the caller has seen, or None to change whatever is there.
        id: The call whose change it is: it tells it from the same one by others.
    """

    name: str
    work_out: Callable[[PromptSummary | None], Effect]
    if_match: str | None = None
    reason: str | None = None
    id: str = field(default_factory=new_id)


class Commit(NamedTuple):
    """A change worked out on one state of the head: two operations that are done together.

    Attributes:
        operations: What becomes of the head, then the creation of a version or of the change's own item.
        after: The head's summary as the change leaves it, but for its ETag.
        draft: What the new version says, for a change that makes one.
    """

    change: Change
    operations: tuple[BatchOperation, BatchOperation]
    after: Mapping[str, Any]
    draft: PromptDraft | None

    @property
    def record_id(self) -> str:
        """Return the id of the item that tells of the change."""
        return self.operations[1].item_id

    def head(self, etag: str) -> PromptSummary:
        """Return the head's summary under the ETag that the store gave it."""
        return PromptSummary(**self.after, etag=etag)


def save_of(draft: PromptDraft) -> Callable[[PromptSummary | None], Effect]:
    """Make the next version; a deleted prompt is in use again."""

    def work_out(head: PromptSummary | None) -> Effect:
        version = 1 if head is None else head.version + 1
        return Effect(ChangeAction.SAVE, {"version": version, "deleted": False}, draft=draft, version=version)

    return work_out


def label_of(name: str, label: str, version: int) -> Callable[[PromptSummary | None], Effect]:
    """Point a label at a version."""

    def work_out(head: PromptSummary | None) -> Effect:
        head = _in_use(name, head)
        _own(label)
        if version > head.version:
            raise PromptNotFoundError(name, version)
        labels = head.labels | {label: version}
        if len(labels) > MAX_LABELS:
            problem = f"at most {MAX_LABELS} labels"
            raise ValidationError(f"A prompt has {problem}", {"fields": {"path.label": problem}})
        return Effect(ChangeAction.LABEL, {"labels": labels}, version=version, label=label)

    return work_out


def unlabel_of(name: str, label: str) -> Callable[[PromptSummary | None], Effect]:
    """Take a label away."""

    def work_out(head: PromptSummary | None) -> Effect:
        head = _in_use(name, head)
        _own(label)
        if label not in head.labels:
            raise PromptNotFoundError(name, label=label)
        labels = {other: version for other, version in head.labels.items() if other != label}
        return Effect(ChangeAction.UNLABEL, {"labels": labels}, version=head.labels[label], label=label)

    return work_out


def deletion_of(name: str) -> Callable[[PromptSummary | None], Effect]:
    """Take a prompt out of use; all of it stays."""

    def work_out(head: PromptSummary | None) -> Effect:
        _in_use(name, head)
        return Effect(ChangeAction.DELETE, {"deleted": True})

    return work_out


def restoration_of(name: str) -> Callable[[PromptSummary | None], Effect]:
    """Take a deleted prompt into use again, as it was."""

    def work_out(head: PromptSummary | None) -> Effect:
        if head is None:
            raise PromptNotFoundError(name)
        if not head.deleted:
            raise ConflictError(f"Prompt '{name}' is not deleted", {"name": name})
        return Effect(ChangeAction.RESTORE, {"deleted": False})

    return work_out


def committing(change: Change, head: PromptSummary | None, own: Partition, by: str, at: str) -> Commit:
    """Work a change out on a head.

    The head moves on the condition that it is still this one, and the record's id is one that no other change
    of the prompt can have.

    Args:
        change: What is wanted.
        head: The head as it was read, or None where there is none.
        own: Where the prompt is.
        by: Who changes it.
        at: When, in ISO 8601.

    Raises:
        PreconditionFailedError: The head is another one than the caller has seen.
        APIError: The change cannot be made.
    """
    if change.if_match is not None and (head is None or head.etag != change.if_match):
        raise PreconditionFailedError(f"Prompt '{change.name}' has changed meanwhile", {"name": change.name})
    effect = change.work_out(head)
    said = _record(change, effect, 1 if head is None else head.change.number + 1, by, at)
    before = _EMPTY if head is None else _state_of(head)
    state = before | effect.fields
    moved: dict[str, Any] = {"change": said}
    kept: Json = {"name": change.name, "schema_version": 1, "change": said}
    if effect.draft is None:
        kept |= {"id": change_id(change.name, said["number"]), "kind": "change"}
        if head is not None and head.change.action == ChangeAction.SAVE:
            moved["saved"] = head.change.model_dump(mode="json", exclude_none=True)
    else:
        says = {"description": effect.draft.description, "tags": effect.draft.tags}
        state |= says
        moved["content"] = effect.draft.content()
        version = state["version"]
        kept |= {"id": version_id(change.name, version), "kind": "version", "version": version}
        kept |= {"content": moved["content"], **says}
    after = {"id": head_id(change.name), "name": change.name, "change": said, **state}
    if head is None:
        moving = own.creating({"kind": "head", "schema_version": 1, **after, **moved})
    else:
        moved |= {name: value for name, value in state.items() if value != before[name]}
        steps = [PatchOperation("set", f"/{name}", value) for name, value in moved.items()]
        moving = own.patching(head.id, Patch(tuple(steps), etag=head.etag))
    return Commit(change, (moving, own.creating(kept)), after, effect.draft)


def _record(change: Change, effect: Effect, number: int, by: str, at: str) -> dict[str, Any]:
    """Return a `ChangeRecord` as JSON."""
    record = {"number": number, "id": change.id, "action": effect.action, "at": at, "by": by}
    facts = {"reason": change.reason, "version": effect.version, "label": effect.label}
    return record | {name: fact for name, fact in facts.items() if fact is not None}


def _state_of(head: PromptSummary) -> dict[str, Any]:
    """Return what changes can make of a head."""
    return {
        "version": head.version,
        "description": head.description,
        "tags": head.tags,
        "labels": head.labels,
        "deleted": head.deleted,
    }


def _in_use(name: str, head: PromptSummary | None) -> PromptSummary:
    if head is None or head.deleted:
        raise PromptNotFoundError(name)
    return head


def _own(label: str) -> None:
    if label == LATEST:
        problem = f"'{LATEST}' moves by itself"
        raise ValidationError(f"The label {problem}", {"fields": {"path.label": problem}})
