"""Port to one Cosmos container: single-partition operations with real status codes.

Bodies are JSON objects here and nowhere above: `shared.cosmos.partition` turns them into models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from shared.errors import ConflictError, NotFoundError, PreconditionFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.errors import JsonValue

type Json = dict[str, object]
type Key = tuple[str, ...]
"""A partition key: one value, or one per level of a hierarchical key."""

ANSWERED_BY = "_pkrange"
"""Beside `_etag` and `_ts`, a body that is returned tells here which physical partition answered: its id.

It is not stored. None, or nothing, where the answer does not tell.
"""


class ItemExistsError(ConflictError):
    """An item with this id is already in the partition."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"'{item_id}' exists already", {"id": item_id})


class ItemNotFoundError(NotFoundError):
    """No item with this id is in the partition."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"'{item_id}' not found", {"id": item_id})


class ItemChangedError(PreconditionFailedError):
    """The item's ETag or the patch's condition does not hold (any more)."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"'{item_id}' has changed meanwhile", {"id": item_id})


class PatchOperation(NamedTuple):
    """One step of a patch; at most 10 make one patch."""

    op: Literal["add", "set", "replace", "remove", "incr"]
    path: str
    value: JsonValue = None

    def as_json(self) -> Json:
        """Render the step as the service reads it."""
        step: Json = {"op": self.op, "path": self.path}
        if self.op != "remove":
            step["value"] = self.value
        return step


class Patch(NamedTuple):
    """An atomic change of one item.

    Attributes:
        operations: What to change, in order.
        condition: A predicate over `c` that the item must satisfy, such as `c.tokens <= 100`. It holds no
            caller's text: the service takes no parameters here.
        etag: The state that the item must be in.
    """

    operations: tuple[PatchOperation, ...]
    condition: str | None = None
    etag: str | None = None


class BatchOperation(NamedTuple):
    """One operation of a transactional batch; one that reads fails it where there is no such item."""

    kind: Literal["create", "upsert", "replace", "patch", "delete", "read"]
    item_id: str
    body: Json | None = None
    patch: Patch | None = None
    etag: str | None = None


class BatchFailure(StrEnum):
    """Reason for which an operation rolled its batch back.

    A batch that is too large is a `PayloadTooLargeError`; one that may pass later fails as a dependency does.
    """

    EXISTS = "exists"
    MISSING = "missing"
    CHANGED = "changed"
    """Its ETag or its condition does not hold."""
    REFUSED = "refused"


class BatchFailedError(ConflictError):
    """A batch was rolled back because of one of its operations.

    Attributes:
        index: The operation's place in the batch, counted from 0.
        reason: The reason, of which the service gives one for the first operation that fails.
    """

    def __init__(self, index: int, reason: BatchFailure) -> None:
        super().__init__(f"Operation {index} of the batch failed: {reason}")
        self.index = index
        self.reason = reason

    @property
    def is_race(self) -> bool:
        """Tell whether somebody else changed what is stored in between: reading it anew may help."""
        return self.reason is not BatchFailure.REFUSED


@dataclass(frozen=True, slots=True)
class Query:
    """A parameterised query within one partition or one prefix of a hierarchical key.

    Attributes:
        text: Cosmos SQL that names its fields.
        parameters: Values by name, `@` included.
        limit: The most items to return.
        max_bytes: Bytes of JSON with which reading ends, the item that reaches them included; None for all.
    """

    text: str
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    limit: int = 100
    max_bytes: int | None = None


class Container(Protocol):
    """One container. Each method is one request to the store when nothing fails.

    The bodies that are returned, but for a query's, may tell who answered: `ANSWERED_BY`.
    """

    async def read(self, key: Key, item_id: str) -> Json | None:
        """Return the item, or None where none has this id."""
        ...

    async def create(self, key: Key, body: Json) -> Json:
        """Store a new item.

        Raises:
            ItemExistsError: The id is taken.
        """
        ...

    async def upsert(self, key: Key, body: Json) -> Json:
        """Store an item, whether or not one with its id is there."""
        ...

    async def replace(self, key: Key, body: Json, etag: str | None) -> Json:
        """Replace the item that has the body's id.

        Raises:
            ItemNotFoundError: None has it.
            ItemChangedError: Its ETag is another one.
        """
        ...

    async def patch(self, key: Key, item_id: str, patch: Patch) -> Json:
        """Change an item where it stands.

        Raises:
            ItemNotFoundError: None has this id.
            ItemChangedError: The condition or the ETag does not hold.
        """
        ...

    async def delete(self, key: Key, item_id: str, etag: str | None) -> bool:
        """Remove an item; tell whether there was one.

        Raises:
            ItemChangedError: Its ETag is another one.
        """
        ...

    async def batch(
        self, key: Key, operations: Sequence[BatchOperation], *, minimal: bool = False
    ) -> list[Json]:
        """Do all of the operations, at most 100, or none.

        Args:
            key: The partition.
            operations: What to do, in order.
            minimal: Whether only each stored item's `_etag` is returned, for callers who know the rest.

        Returns:
            Each item as it is stored now; for a deletion an empty object.

        Raises:
            BatchFailedError: One of them cannot be done.
        """
        ...

    async def query(self, key: Key, query: Query) -> list[Json]:
        """Return the first results within the key's partition or prefix, up to the query's bounds.

        Over a prefix they may come from several physical partitions, one after another, each in its own
        order: `shared.cosmos.paging` pages through a prefix.
        """
        ...
