"""Prompts in Cosmos: immutable versions, and a head that embeds the latest one.

Reading the latest version is one point read. Each edit is one transactional batch: the head's own change, on
the condition that it is as it was read, and the new version or the record of the change; so versions and
changes are counted without a gap, none is overwritten, and none is without its author.
"""

from __future__ import annotations

import math
import random
from itertools import batched
from typing import TYPE_CHECKING, NamedTuple

from shared.clock import SystemClock
from shared.cosmos.container import BatchFailedError, Query
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.cosmos.queries import fields_of, select
from shared.errors import ConflictError
from shared.prompts.batch_commit import BatchCommit
from shared.prompts.commits import Editor
from shared.prompts.edits import PromptEdit, SaveVersion
from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import MAX_CONTENT_BYTES
from shared.prompts.reference import require_version
from shared.prompts.stored_models import (
    ChangeItem,
    HeadExcerpt,
    Prompt,
    PromptHead,
    PromptSummary,
    PromptVersion,
    VersionSummary,
    head_id,
    latest_version,
    version_id,
)
from shared.resilience.concurrency import Turns, side_by_side
from shared.tenancy.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.errors import APIError, JsonValue
    from shared.prompts.commits import Commit
    from shared.prompts.models import PromptDraft
    from shared.tenancy.context import TenantContext

READ_AT_ONCE = 100
"""Prompts that one request reads."""

_SMALL_BYTES = 80_000
"""The contents that one request reads are 8 MB at most; larger ones are read one by one."""

_LARGE_AT_ONCE = 4
_GLOBAL = "prompts"
_ATTEMPTS = 10
_BACKOFF_S = 0.01


class HeadFilter(NamedTuple):
    """Conditions on a list of prompts.

    Attributes:
        prefix: The beginning of their names.
        tag: One that they have.
        deleted: Those out of use instead of those in use.
    """

    prefix: str | None = None
    tag: str | None = None
    deleted: bool = False


class HeadsRead(NamedTuple):
    """Heads by name, and the names of those that there was no room for."""

    heads: dict[str, PromptHead]
    left_out: set[str]


class PromptStore:
    """The prompts of one tenant.

    Args:
        tenant: Their owner, under whose principal changes are recorded.
        turns: Shared by the stores of one process, so that its own callers wait for each other instead of
            overtaking each other.
    """

    source = Source.TENANT

    def __init__(
        self,
        tenant: TenantContext,
        container: Container,
        clock: Clock | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._own = Partition.of(tenant, container)
        self._owner = f"tenant:{tenant.tenant_id}"
        self._editor = Editor(self._own, tenant.principal)
        self._clock = clock or SystemClock()
        self._turns = turns or Turns()

    async def read(self, name: str, which: int | str | None = None) -> Prompt:
        """Return a prompt's latest version, the one of a number, or the one that a label points at.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version or label of it.
        """
        head = await self.head(name)
        if head is None or head.deleted:
            raise PromptNotFoundError(name)
        return await self.version_of(head, which)

    async def head(self, name: str) -> PromptHead | None:
        """Return a prompt's head, that of a deleted one too."""
        return await self._own.read(PromptHead, head_id(name))

    async def version_of(self, head: PromptHead, which: int | str | None) -> Prompt:
        """Return a version of the prompt whose head was read; for the latest this asks the store nothing.

        Raises:
            PromptNotFoundError: There is no such version or label.
        """
        number = require_version(head, which)
        if number == head.version:
            return Prompt(latest_version(head), head, self.source)
        version = await self._own.read(PromptVersion, version_id(head.name, number))
        if version is None:
            raise PromptNotFoundError(head.name, number)
        return Prompt(version, head, self.source)

    async def save(self, name: str, draft: PromptDraft, if_match: str | None) -> Prompt:
        """Store the next version and move the head to it.

        Args:
            name: The prompt.
            draft: The version.
            if_match: The ETag of the head that the caller has seen, or None to save over whatever is there.

        Raises:
            ValidationError: The draft does not fit together.
            PreconditionFailedError: The head is another one than `if_match`.
            ConflictError: Others kept changing this prompt meanwhile.
        """
        head, version = await self.commit(PromptEdit(name, SaveVersion(draft), if_match, draft.reason))
        return await self.version_of(head, version)

    async def commit(self, edit: PromptEdit) -> tuple[PromptHead, int]:
        """Make one edit, again and again while others change the prompt meanwhile.

        Returns:
            The head as it is now, and the latest version as the edit left it: others may have come since.

        Raises:
            PreconditionFailedError: The head is another one than `edit.if_match`.
            ConflictError: Others kept changing this prompt.
            APIError: The edit cannot be made.
        """
        async with self._turns.of((self._owner, edit.name)):
            for attempt in range(_ATTEMPTS):
                if attempt:
                    await self._clock.sleep(random.uniform(0, _BACKOFF_S * 2**attempt))  # noqa: S311  # no secret
                commit = self._prepare(edit, await self.head(edit.name))
                try:
                    stored = await self._own.batch(commit.operations)
                except BatchFailedError as error:
                    if not error.is_race:
                        raise
                    if (head := await self._find_made(commit)) is not None:
                        return head, commit.summary.version
                else:
                    return PromptHead.from_json(stored[0]), commit.summary.version
        raise ConflictError(
            f"Prompt '{edit.name}' is being saved by others", {"name": edit.name}, retry_after=1.0
        )

    async def commit_all(
        self, edits: Sequence[PromptEdit], known: Mapping[str, PromptSummary] | None = None
    ) -> list[PromptSummary | APIError]:
        """Make one edit each of many prompts, as `BatchCommit` says.

        Raises:
            DependencyUnavailableError: The store is down, and nothing is known to be changed.
        """
        return await BatchCommit(self._own, self._prepare).run(edits, known)

    async def read_all(self, names: Sequence[str], max_bytes: float = math.inf) -> HeadsRead:
        """Return the prompts of these names that are there, in the order of the names.

        It is one request for each 100, and one for each that is large.

        Args:
            names: Names that differ.
            max_bytes: The most that they may have together; of those beyond it the content is not even read.
        """
        room = max_bytes
        read = HeadsRead({}, set())
        for part in batched(names, READ_AT_ONCE, strict=False):
            excerpts = await self._read_excerpts(part, min(room, _SMALL_BYTES))
            large: list[str] = []
            for name in part:
                if (excerpt := excerpts.get(name)) is None or excerpt.deleted:
                    continue
                size = MAX_CONTENT_BYTES if excerpt.size is None else excerpt.size
                if size > room:
                    read.left_out.add(name)
                    continue
                room -= size
                if (head := excerpt.whole()) is None:
                    large.append(name)
                else:
                    read.heads[name] = head
            found = await side_by_side([self.head(name) for name in large], at_once=_LARGE_AT_ONCE)
            read.heads.update({head.name: head for head in found if head is not None and not head.deleted})
        return read

    async def _read_excerpts(self, names: Sequence[str], max_bytes: float) -> dict[str, HeadExcerpt]:
        """Read heads in one request, with the content of those that are at most so large."""
        ids: dict[str, JsonValue] = {f"@id{number}": head_id(name) for number, name in enumerate(names)}
        content = "IIF(IS_NUMBER(c.size) AND c.size <= @most, c.content, null) AS content"
        text = select(f"{fields_of(PromptSummary)}, c.saved, {content}", where=f"c.id IN ({', '.join(ids)})")
        found = await self._own.query(HeadExcerpt, Query(text, ids | {"@most": int(max_bytes)}, len(ids)))
        return {head.name: head for head in found}

    async def versions(self, name: str, before: int | None, limit: int) -> list[VersionSummary]:
        """Return a prompt's versions without their content, the newest first, below the given number."""
        where = "c.kind = 'version' AND c.name = @name"
        page = KeysetPage(limit, before, "version", descending=True, where=where, parameters={"@name": name})
        return await self._own.read_page(VersionSummary, page)

    async def history(self, name: str, before: int | None, limit: int) -> list[ChangeItem]:
        """Return the records of a prompt's changes, the last change first, below the given number."""
        where = "c.kind IN ('version', 'change') AND c.name = @name"
        by = "change.number"
        page = KeysetPage(limit, before, by, descending=True, where=where, parameters={"@name": name})
        return await self._own.read_page(ChangeItem, page)

    async def list(
        self, after: str | None, limit: int, only: HeadFilter | None = None
    ) -> list[PromptSummary]:
        """Return prompts without their content by name, after the given one."""
        only = only or HeadFilter()
        where = "c.kind = 'head' AND c.deleted = @deleted"
        parameters: dict[str, JsonValue] = {"@deleted": only.deleted}
        if only.tag is not None:
            where += " AND ARRAY_CONTAINS(c.tags, @tag)"
            parameters["@tag"] = only.tag
        if only.prefix is not None:
            where += " AND STARTSWITH(c.name, @prefix)"
            parameters["@prefix"] = only.prefix
        page = KeysetPage(limit, after, "name", where=where, parameters=parameters)
        return await self._own.read_page(PromptSummary, page)

    def _prepare(self, edit: PromptEdit, head: PromptSummary | None) -> Commit:
        return self._editor.prepare(edit, head, self._clock.now())

    async def _find_made(self, commit: Commit) -> PromptHead | None:
        """Find the edit if it was made and only its answer was lost, even if others came after it."""
        stored = await self._own.read(ChangeItem, commit.record_id)
        if stored is None or stored.change.id != commit.edit.id:
            return None
        return await self.head(commit.edit.name)


class GlobalPromptStore(PromptStore):
    """The prompts that every tenant may read.

    Args:
        by: The principal who changes them.
    """

    source = Source.GLOBAL

    def __init__(
        self, by: str, container: Container, clock: Clock | None = None, turns: Turns | None = None
    ) -> None:
        self._own = Partition.of_platform(container, _GLOBAL)
        self._owner = "global"
        self._editor = Editor(self._own, by)
        self._clock = clock or SystemClock()
        self._turns = turns or Turns()
