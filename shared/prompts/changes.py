"""What can be done to a prompt: each change is worked out from the head as it was read, and nothing else."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.cosmos.container import Patch, PatchOperation
from shared.errors import ConflictError, PreconditionFailedError, PromptNotFoundError, ValidationError
from shared.prompts.models import (
    LATEST,
    ChangeAction,
    ChangeItem,
    ChangeRecord,
    PromptContent,
    PromptHead,
    PromptSummary,
    PromptVersion,
    change_id,
    head_id,
    version_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from shared.cosmos.container import BatchOperation
    from shared.cosmos.partition import Partition
    from shared.errors import JsonValue
    from shared.prompts.models import PromptDraft

MAX_LABELS = 50


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
        id: Tells this call's change from the same one by others.
    """

    name: str
    work_out: Callable[[PromptSummary | None], Effect]
    if_match: str | None = None
    reason: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Commit(NamedTuple):
    """A change worked out on one state of the head: two operations that are done together.

    Attributes:
        record: What it leaves beside the head.
        operations: What becomes of the head, then the creation of the record.
        after: The head's summary as the change leaves it.
    """

    change: Change
    record: PromptVersion | ChangeItem
    operations: tuple[BatchOperation, BatchOperation]
    after: Mapping[str, JsonValue]

    def head(self, etag: str) -> PromptSummary:
        """Return the head as the change leaves it, under the ETag that the store gave it."""
        fields = {**self.after, "change": self.record.change, "etag": etag}
        return PromptSummary(id=head_id(self.change.name), name=self.change.name, **fields)


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


def committing(change: Change, head: PromptSummary | None, own: Partition, by: str, at: datetime) -> Commit:
    """Work a change out on a head.

    The head moves on the condition that it is still this one, and the record's id is one that no other change
    of the prompt can have.

    Raises:
        PreconditionFailedError: The head is another one than the caller has seen.
        APIError: The change cannot be made.
    """
    if change.if_match is not None and (head is None or head.etag != change.if_match):
        raise PreconditionFailedError(f"Prompt '{change.name}' has changed meanwhile", {"name": change.name})
    effect = change.work_out(head)
    record = ChangeRecord(
        number=1 if head is None else head.change.number + 1,
        id=change.id,
        action=effect.action,
        at=at,
        by=by,
        reason=change.reason,
        version=effect.version,
        label=effect.label,
    )
    kept = _kept(change.name, effect, record)
    keeping = own.creating(kept)
    said: dict[str, Any] = keeping.body or {}
    before = _summary(head)
    after = before | effect.fields
    fields = {"change": said["change"]}
    if isinstance(kept, PromptVersion):
        after |= {"description": kept.description, "tags": list(kept.tags)}
        fields |= {"content": said["content"], "saved": said["change"]}
    item_id = head_id(change.name)
    if head is None:
        first = PromptHead.from_json({"id": item_id, "name": change.name, **after, **fields})
        return Commit(change, kept, (own.creating(first), keeping), after)
    fields |= {name: value for name, value in after.items() if value != before[name]}
    steps = tuple(PatchOperation("set", f"/{name}", value) for name, value in fields.items())
    return Commit(change, kept, (own.patching(item_id, Patch(steps, etag=head.etag)), keeping), after)


def _summary(head: PromptSummary | None) -> dict[str, JsonValue]:
    """Return what changes may change of a head."""
    if head is None:
        return {
            "schema_version": 1,
            "version": 0,
            "description": None,
            "tags": [],
            "labels": {},
            "deleted": False,
        }
    return {
        "schema_version": head.schema_version,
        "version": head.version,
        "description": head.description,
        "tags": list(head.tags),
        "labels": dict(head.labels),
        "deleted": head.deleted,
    }


def _kept(name: str, effect: Effect, record: ChangeRecord) -> PromptVersion | ChangeItem:
    if effect.draft is None or effect.version is None:
        return ChangeItem(id=change_id(name, record.number), name=name, change=record)
    return _version(name, effect.version, effect.draft, record)


def _version(name: str, version: int, draft: PromptDraft, record: ChangeRecord) -> PromptVersion:
    return PromptVersion(
        id=version_id(name, version),
        name=name,
        version=version,
        description=draft.description,
        tags=draft.tags,
        change=record,
        content=PromptContent(
            template=draft.template,
            config=draft.config,
            declared_variables=draft.declared_variables,
            examples=draft.examples,
        ),
    )


def _in_use(name: str, head: PromptSummary | None) -> PromptSummary:
    if head is None or head.deleted:
        raise PromptNotFoundError(name)
    return head


def _own(label: str) -> None:
    if label == LATEST:
        problem = f"'{LATEST}' moves by itself"
        raise ValidationError(f"The label {problem}", {"fields": {"path.label": problem}})
