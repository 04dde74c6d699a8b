"""Commits of edits: the operations on the store that make an edit and keep its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.cosmos.container import Patch, PatchOperation
from shared.errors import PreconditionFailedError
from shared.prompts.edits import HeadState
from shared.prompts.stored_models import (
    ChangeAction,
    ChangeItem,
    ChangeRecord,
    PromptSummary,
    VersionSummary,
    change_id,
    head_id,
    version_id,
)

if TYPE_CHECKING:
    from datetime import datetime

    from shared.cosmos.container import BatchOperation, Json
    from shared.cosmos.partition import Partition
    from shared.prompts.edits import EditEffect, PromptEdit

_REST_BYTES = 12_000
"""More than the names, ids, labels and records of one edit."""


class Commit(NamedTuple):
    """An edit worked out on one state of the head: two operations that are done together.

    Attributes:
        operations: The head's change, then the creation of a version or of the change's own item.
        summary: The head's summary after it, but for its ETag.
        size: Bytes of the operations as JSON, or somewhat more.
    """

    edit: PromptEdit
    operations: tuple[BatchOperation, BatchOperation]
    summary: PromptSummary
    size: int

    @property
    def record_id(self) -> str:
        """Return the id of the item that has the change's record."""
        return self.operations[1].item_id

    def head_under(self, etag: str) -> PromptSummary:
        """Return the head's summary under the ETag that the store gave it."""
        return self.summary.model_copy(update={"etag": etag})


@dataclass(frozen=True, slots=True)
class Editor:
    """Author of edits in one partition.

    Attributes:
        own: The partition of the prompts.
        by: The principal who edits them.
    """

    own: Partition
    by: str

    def prepare(self, edit: PromptEdit, head: PromptSummary | None, at: datetime) -> Commit:
        """Work an edit out on a head.

        The head moves on the condition that it is still this one, and the record's id is one that no other
        change of the prompt can have.

        Raises:
            PreconditionFailedError: The head is another one than the caller has seen.
            APIError: The edit cannot be made.
        """
        if edit.if_match is not None and (head is None or head.etag != edit.if_match):
            raise PreconditionFailedError(f"Prompt '{edit.name}' has changed meanwhile", {"name": edit.name})
        effect = edit.action.apply(edit.name, head)
        record = ChangeRecord(
            number=1 if head is None else head.change.number + 1,
            id=edit.id,
            action=effect.action,
            at=at,
            by=self.by,
            reason=edit.reason,
            version=effect.version,
            label=effect.label,
            labels_removed=effect.labels_removed or None,
        )
        state = effect.state.as_json()
        summary = PromptSummary.model_validate(
            {"id": head_id(edit.name), "name": edit.name, "change": record, **state}
        )
        moved: Json = {"change": record.model_dump(mode="json", exclude_none=True)}
        if effect.draft is not None:
            moved["content"] = effect.draft.content
        elif head is not None and head.change.action == ChangeAction.SAVE:
            moved["saved"] = head.change.model_dump(mode="json", exclude_none=True)
        operations = self._move(head, summary, effect.state, moved), self._keep(edit, effect, record)
        size = _REST_BYTES + (0 if effect.draft is None else 2 * effect.draft.size)
        return Commit(edit, operations, summary, size)

    def _move(
        self, head: PromptSummary | None, summary: PromptSummary, state: HeadState, moved: Json
    ) -> BatchOperation:
        """Create the head, or change it where it stands."""
        if head is None:
            return self.own.creating(summary.to_json() | moved)
        steps = [PatchOperation("set", f"/{name}", value) for name, value in moved.items()]  # type: ignore[arg-type]  # JSON that models rendered
        steps += state.changes_since(HeadState.of(head))
        return self.own.patching(head.id, Patch(tuple(steps), etag=head.etag))

    def _keep(self, edit: PromptEdit, effect: EditEffect, record: ChangeRecord) -> BatchOperation:
        """Create the version, or the item of a change that makes none."""
        if effect.draft is None:
            item = ChangeItem(id=change_id(edit.name, record.number), name=edit.name, change=record)
            return self.own.creating(item.to_json())
        version = VersionSummary(
            id=version_id(edit.name, effect.state.version),
            name=edit.name,
            change=record,
            version=effect.state.version,
            description=effect.draft.description,
            tags=effect.draft.tags,
        )
        return self.own.creating(version.to_json() | {"content": effect.draft.content})
