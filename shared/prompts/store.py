"""A tenant's prompts in Cosmos: immutable versions, and a head that embeds the latest one.

Reading the latest version is one point read. Saving is one transactional batch: the new version and the head
together, on the condition that the head is as it was read; so versions have no gap, and none is overwritten.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from shared.clock import SystemClock
from shared.cosmos.container import BatchFailedError, Patch, PatchOperation, Query
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import ConflictError, PreconditionFailedError, PromptNotFoundError, ValidationError
from shared.prompts.rendering import render, variables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
LATEST = "latest"
"""The label that every prompt has, and that moves by itself."""

_ATTEMPTS = 3
_SAVED_MEANWHILE = frozenset({404, 409, 412})
_LIST = (
    "SELECT c.id, c.kind, c.name, c.template, c.version, c.description, c.tags, c.updated_at, c.updated_by,"
    " c.change_id, c._etag FROM c WHERE c.kind = 'head' AND c.name > @after ORDER BY c.name"
)


class PromptDraft(NamedTuple):
    """What a caller saves as a prompt's next version."""

    template: str
    description: str | None = None
    tags: tuple[str, ...] = ()


class PromptItem(StoredItem):
    """A prompt's head, or one of its versions: the same fields, told apart by `kind`.

    Attributes:
        change_id: The save that wrote it, by which one whose answer was lost finds that it was done.
    """

    kind: Literal["head", "version"]
    name: str
    template: str
    version: int
    description: str | None = None
    tags: tuple[str, ...] = ()
    updated_at: datetime
    updated_by: str
    change_id: str


class Prompt(NamedTuple):
    """One version of a prompt, and the head that its labels and its ETag are read from."""

    content: PromptItem
    head: PromptItem

    @property
    def labels(self) -> dict[str, int]:
        """Return the labels that point at this version, each with its number."""
        return {LATEST: self.head.version} if self.content.version == self.head.version else {}


class PromptStore:
    """The prompts of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock | None = None) -> None:
        self._own = Partition.of(tenant, container)
        self._tenant = tenant
        self._clock = clock or SystemClock()

    async def read(self, name: str, version: int | None = None) -> Prompt:
        """Return a prompt's latest version, or the given one.

        Raises:
            PromptNotFoundError: This tenant has no such prompt, or no such version of it.
        """
        head = await self._own.read(PromptItem, _head_id(name))
        content = head
        if head is not None and version is not None:
            content = await self._own.read(PromptItem, _version_id(name, version))
        if head is None or content is None:
            raise PromptNotFoundError(name, version)
        return Prompt(content, head)

    async def resolve(self, name: str, variables: Mapping[str, str]) -> str:
        """Render a prompt's latest version for a model, which takes no empty text.

        Raises:
            PromptNotFoundError: This tenant has no such prompt.
            ValidationError: The variables do not fit, and it names those missing and unknown; or they leave
                nothing to say.
        """
        text = render((await self.read(name)).content.template, variables)
        if not text:
            raise ValidationError(f"Prompt '{name}' is empty with these variables", {"name": name})
        return text

    async def save(self, name: str, draft: PromptDraft, if_match: str | None) -> Prompt:
        """Store the next version and move the head to it.

        Args:
            name: The prompt.
            draft: What the version says.
            if_match: The ETag of the head that the caller has seen, or None to save over whatever is there.

        Raises:
            ValidationError: The template has a stray brace.
            PreconditionFailedError: The head is another one than `if_match`.
            ConflictError: Others kept saving this prompt meanwhile.
        """
        variables_of(draft.template)
        change_id = uuid.uuid4().hex
        for _ in range(_ATTEMPTS):
            head = await self._own.read(PromptItem, _head_id(name))
            if if_match is not None and (head is None or head.etag != if_match):
                raise PreconditionFailedError(f"Prompt '{name}' has changed meanwhile", {"name": name})
            new = self._next(name, draft, head, change_id)
            try:
                stored = await self._write(head, new)
            except BatchFailedError as error:
                if error.cause_status not in _SAVED_MEANWHILE:
                    raise
                if (done := await self._done_before(new)) is not None:
                    return done
            else:
                return Prompt(stored, stored)
        raise ConflictError(f"Prompt '{name}' is being saved by others", {"name": name}, retry_after=1.0)

    async def list(self, after: str | None, limit: int) -> list[Prompt]:
        """Return prompts by name, after the given one."""
        heads = await self._own.query(PromptItem, Query(_LIST, {"@after": after or ""}, limit))
        return [Prompt(head, head) for head in heads]

    async def _done_before(self, new: PromptItem) -> Prompt | None:
        """Find the save if it was done and only its answer was lost, even if others have saved since."""
        try:
            stored = await self.read(new.name, new.version)
        except PromptNotFoundError:
            return None
        return stored if stored.content.change_id == new.change_id else None

    def _next(self, name: str, draft: PromptDraft, head: PromptItem | None, change_id: str) -> PromptItem:
        return PromptItem(
            id=_head_id(name),
            kind="head",
            name=name,
            template=draft.template,
            version=1 if head is None else head.version + 1,
            description=draft.description,
            tags=draft.tags,
            updated_at=self._clock.now(),
            updated_by=self._tenant.principal,
            change_id=change_id,
        )

    async def _write(self, head: PromptItem | None, new: PromptItem) -> PromptItem:
        own = self._own
        version = new.model_copy(update={"id": _version_id(new.name, new.version), "kind": "version"})
        move = own.creating(new) if head is None else own.patching(new.id, _moving_to(new, head.etag))
        stored = await own.batch([move, own.creating(version)])
        return PromptItem.from_json(stored[0])


def _moving_to(new: PromptItem, etag: str | None) -> Patch:
    """Patch the head rather than replace it, so that what a newer release put there stays."""
    fields = new.model_dump(
        mode="json",
        include={"template", "version", "description", "tags", "updated_at", "updated_by", "change_id"},
    )
    return Patch(tuple(PatchOperation("set", f"/{name}", value) for name, value in fields.items()), etag=etag)


def _head_id(name: str) -> str:
    return f"head:{name}"


def _version_id(name: str, version: int) -> str:
    return f"version:{name}:{version:08d}"
