"""Prompts in Cosmos: immutable versions, and a head that embeds the latest one.

Reading the latest version is one point read. Each change is one transactional batch: what becomes of the
head, on the condition that it is as it was read, and the new version or the record of the change; so versions
and changes are counted without a gap, none is overwritten, and none is without its author.
"""

from __future__ import annotations

import json
import random
from itertools import batched, chain
from typing import TYPE_CHECKING, NamedTuple

from shared.clock import SystemClock
from shared.cosmos.container import BatchFailedError, Query
from shared.cosmos.partition import Partition
from shared.errors import APIError, ConflictError, PromptNotFoundError, ValidationError
from shared.prompts import changes
from shared.prompts.changes import Change, committing
from shared.prompts.models import (
    LATEST,
    MOST_BYTES_OF_A_CHARACTER,
    Prompt,
    PromptHead,
    PromptSource,
    PromptStoredItem,
    PromptSummary,
    PromptVersion,
    VersionSummary,
    head_id,
    latest_version,
    version_id,
)
from shared.prompts.rendering import check_draft
from shared.resilience.concurrency import Turns, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shared.clock import Clock
    from shared.cosmos.container import Container, Json
    from shared.errors import JsonValue
    from shared.prompts.changes import Commit
    from shared.prompts.models import PromptDraft
    from shared.tenancy.context import TenantContext

READ_AT_ONCE = 100
"""How many prompts one request reads."""

WRITE_AT_ONCE = 25
"""How many changes one batch makes, each by two of the 100 operations that it may have: the store works on
one batch while the next is prepared, and one that fails holds up few others."""

BATCHES_AT_ONCE = 4
"""How many batches of one call are under way."""

MAX_BATCH_BYTES = 1_500_000
"""Well below the 2 MiB that a batch may weigh."""

_REST_BYTES = 3_000
"""More than the names, ids and records of one change."""

_GLOBAL = "prompts"
_ATTEMPTS = 10
_ROUNDS = 4
_BACKOFF_S = 0.01
_CHANGED_MEANWHILE = frozenset({404, 409, 412})
_OUTAGE = 503
_SUMMARY = (
    "c.id, c.kind, c.schema_version, c.name, c.version, c.description, c.tags, c.labels, c.deleted, c.change,"
    " c._etag"
)
_HEAD = f"{_SUMMARY}, c.content, c.saved"
_RECORD = "c.id, c.kind, c.schema_version, c.name, c.version, c.description, c.tags, c.change, c._etag"


class _Round(NamedTuple):
    """One try at many changes.

    Attributes:
        heads: What they are worked out on.
        read: Whether the store was asked for these now, so that they tell what cannot be done too.
        last: Whether there is no other.
    """

    heads: Mapping[str, PromptSummary]
    read: bool
    last: bool


class PromptStore:
    """The prompts of one tenant.

    Args:
        tenant: Whose prompts; who changes them is written down.
        turns: Shared by the stores of one process, so that its own callers wait for each other instead of
            overtaking each other.
    """

    source = PromptSource.TENANT

    def __init__(
        self,
        tenant: TenantContext,
        container: Container,
        clock: Clock | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._own = Partition.of(tenant, container)
        self._owner = f"tenant:{tenant.tenant_id}"
        self._by = tenant.principal
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
        number = number_of(head, which)
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
            draft: What the version says.
            if_match: The ETag of the head that the caller has seen, or None to save over whatever is there.

        Raises:
            ValidationError: The draft does not fit together.
            PreconditionFailedError: The head is another one than `if_match`.
            ConflictError: Others kept changing this prompt meanwhile.
        """
        check_draft(draft)
        head, version = await self.commit(Change(name, changes.save_of(draft), if_match, draft.reason))
        return await self.version_of(head, version)

    async def commit(self, change: Change) -> tuple[PromptHead, int]:
        """Make one change, again and again while others change the prompt meanwhile.

        Returns:
            The head as it is now, and the latest version as the change left it: others may have come since.

        Raises:
            PreconditionFailedError: The head is another one than `change.if_match`.
            ConflictError: Others kept changing this prompt.
            APIError: The change cannot be made.
        """
        async with self._turns.of((self._owner, change.name)):
            for attempt in range(_ATTEMPTS):
                if attempt:
                    await self._clock.sleep(random.uniform(0, _BACKOFF_S * 2**attempt))  # noqa: S311  # no secret
                commit = self._worked_out(change, await self.head(change.name))
                try:
                    stored = await self._own.batch(commit.operations)
                except BatchFailedError as error:
                    if error.cause_status not in _CHANGED_MEANWHILE:
                        raise
                    if (head := await self._done_before(commit)) is not None:
                        return head, commit.after["version"]
                else:
                    return PromptHead.from_json(stored[0]), commit.after["version"]
        raise _overtaken(change.name)

    async def commit_all(
        self, wanted: Sequence[Change], known: Mapping[str, PromptSummary] | None = None
    ) -> list[PromptSummary | APIError]:
        """Make one change each of many prompts, 25 in one request; one that cannot be made stops no other.

        Without failures, n changes are n/100 reads and n/25 writes. Each change that fails on its own account
        costs one more write; one that others overtook costs its batch another read and write, three times at
        most.

        Args:
            wanted: Changes of prompts that differ.
            known: Heads as they were lately. Where all of them are known, they are not read: what became of
                one since then is told by its ETag. What cannot be done to one as it was is tried again.

        Returns:
            The new head, or why there is none, in the order of the changes.

        Raises:
            DependencyUnavailableError: The store is down, and nothing is known to be changed.
        """
        outcomes: dict[str, PromptSummary | APIError] = {}
        waiting = list(wanted)
        for left in reversed(range(_ROUNDS)):
            try:
                this = await self._round([change.name for change in waiting], known, last=not left)
                parts = [
                    self._make(part, this, outcomes) for part in batched(waiting, WRITE_AT_ONCE, strict=False)
                ]
                overtaken = await side_by_side(parts, at_once=BATCHES_AT_ONCE)
                await self._settle(list(chain.from_iterable(overtaken)), outcomes)
            except APIError as error:  # of what was done before, each is told
                outcomes |= {change.name: error for change in waiting if change.name not in outcomes}
            known = None
            waiting = [change for change in waiting if change.name not in outcomes]
            if not waiting:
                break
        outcomes |= {change.name: _overtaken(change.name) for change in waiting}
        _raise_outage(list(outcomes.values()))
        return [outcomes[change.name] for change in wanted]

    async def read_all(self, names: Sequence[str]) -> dict[str, PromptHead]:
        """Return the prompts of these names that are there, in one request for each 100."""
        found = await self._heads(PromptHead, _HEAD, names)
        return {name: head for name, head in found.items() if not head.deleted}

    async def versions(self, name: str, before: int, limit: int) -> list[VersionSummary]:
        """Return a prompt's versions without their templates, the newest first, below the given number."""
        text = (
            f"SELECT {_RECORD} FROM c WHERE c.kind = 'version' AND c.name = @name"  # noqa: S608  # from constants
            " AND c.version < @before ORDER BY c.version DESC"
        )
        return await self._own.query(VersionSummary, Query(text, {"@name": name, "@before": before}, limit))

    async def history(self, name: str, before: int, limit: int) -> list[PromptStoredItem]:
        """Return who changed a prompt, when and why, the last change first, below the given number."""
        text = (
            f"SELECT {_RECORD} FROM c WHERE c.kind IN ('version', 'change')"  # noqa: S608  # from constants
            " AND c.name = @name AND c.change.number < @before ORDER BY c.change.number DESC"
        )
        return await self._own.query(PromptStoredItem, Query(text, {"@name": name, "@before": before}, limit))

    def _worked_out(self, change: Change, head: PromptSummary | None) -> Commit:
        return committing(change, head, self._own, self._by, self._clock.now().isoformat())

    async def _heads[M: PromptSummary](
        self, model: type[M], fields: str, names: Sequence[str]
    ) -> dict[str, M]:
        found = await self._by_id(model, fields, [head_id(name) for name in names])
        return {head.name: head for head in found}

    async def _by_id[M: PromptStoredItem](self, model: type[M], fields: str, ids: Sequence[str]) -> list[M]:
        found: list[M] = []
        for start in range(0, len(ids), READ_AT_ONCE):
            part = dict.fromkeys(ids[start : start + READ_AT_ONCE])
            parameters = {f"@id{number}": item_id for number, item_id in enumerate(part)}
            text = f"SELECT {fields} FROM c WHERE c.id IN ({', '.join(parameters)})"  # noqa: S608  # no values
            found += await self._own.query(model, Query(text, parameters, len(part)))
        return found

    async def _round(
        self, names: Sequence[str], known: Mapping[str, PromptSummary] | None, *, last: bool
    ) -> _Round:
        if known is not None and all(name in known for name in names):
            return _Round(known, read=False, last=last)
        return _Round(await self._heads(PromptSummary, _SUMMARY, names), read=True, last=last)

    async def _make(
        self, wanted: Iterable[Change], this: _Round, outcomes: dict[str, PromptSummary | APIError]
    ) -> list[Commit]:
        """Make changes of one batch, or of a few where they are large; return those that were overtaken."""
        commits: list[Commit] = []
        for change in wanted:
            try:
                commits.append(self._worked_out(change, this.heads.get(change.name)))
            except APIError as error:
                if this.read:  # else the head may be another one by now
                    outcomes[change.name] = error
        return [
            overtaken
            for part in _parts(commits)
            for overtaken in await self._write(part, outcomes, last_round=this.last)
        ]

    async def _write(
        self, commits: Sequence[Commit], outcomes: dict[str, PromptSummary | APIError], *, last_round: bool
    ) -> list[Commit]:
        """Make changes together; return those to work out again because somebody was in between.

        In the last round only the one that was overtaken is left out, so that it holds up no other.
        """
        left = list(commits)
        overtaken: list[Commit] = []
        while left:
            try:
                stored = await self._own.batch(
                    [step for commit in left for step in commit.operations], minimal=True
                )
                outcomes |= await self._heads_after(left, stored[::2])
            except BatchFailedError as error:
                failed = left.pop(error.index // 2)
                if error.cause_status not in _CHANGED_MEANWHILE:
                    outcomes[failed.change.name] = error
                elif last_round:
                    overtaken.append(failed)
                else:
                    return [failed, *left]
            except APIError as error:
                outcomes |= {commit.change.name: error for commit in left}
                break
            else:
                break
        return overtaken

    async def _heads_after(self, made: Sequence[Commit], answers: Sequence[Json]) -> dict[str, PromptSummary]:
        heads = {
            commit.change.name: commit.head(str(answer["_etag"]))
            for commit, answer in zip(made, answers, strict=True)
            if "_etag" in answer
        }
        untold = [commit.change.name for commit in made if commit.change.name not in heads]
        return heads | (await self._heads(PromptSummary, _SUMMARY, untold) if untold else {})

    async def _done_before(self, commit: Commit) -> PromptHead | None:
        """Find the change if it was made and only its answer was lost, even if others came after it."""
        stored = await self._own.read(PromptStoredItem, commit.record_id)
        if stored is None or stored.change.id != commit.change.id:
            return None
        return await self.head(commit.change.name)

    async def _settle(
        self, overtaken: Sequence[Commit], outcomes: dict[str, PromptSummary | APIError]
    ) -> None:
        """Tell of those that were made and only their answer was lost."""
        if not overtaken:
            return
        ids = {commit.record_id: commit.change.id for commit in overtaken}
        stored = await self._by_id(PromptStoredItem, _RECORD, list(ids))
        made = [item.name for item in stored if item.change.id == ids[item.id]]
        if made:
            outcomes |= await self._heads(PromptSummary, _SUMMARY, made)

    async def list(
        self, after: str | None, limit: int, *, tag: str | None = None, deleted: bool = False
    ) -> list[PromptSummary]:
        """Return prompts without their templates by name, after the given one.

        Args:
            after: A name.
            limit: The most to return.
            tag: Only those that have it.
            deleted: Those out of use instead of those in use.
        """
        where = "c.kind = 'head' AND c.name > @after AND c.deleted = @deleted"
        parameters: dict[str, JsonValue] = {"@after": after or "", "@deleted": deleted}
        if tag is not None:
            where += " AND ARRAY_CONTAINS(c.tags, @tag)"
            parameters["@tag"] = tag
        text = f"SELECT {_SUMMARY} FROM c WHERE {where} ORDER BY c.name"  # noqa: S608  # from constants
        return await self._own.query(PromptSummary, Query(text, parameters, limit))


class GlobalPromptStore(PromptStore):
    """The prompts that every tenant may read.

    Args:
        by: Who changes them.
    """

    source = PromptSource.GLOBAL

    def __init__(
        self, by: str, container: Container, clock: Clock | None = None, turns: Turns | None = None
    ) -> None:
        self._own = Partition.of_platform(container, _GLOBAL)
        self._owner = "global"
        self._by = by
        self._clock = clock or SystemClock()
        self._turns = turns or Turns()


def number_of(head: PromptSummary, which: int | str | None) -> int:
    """Return the version's number that is meant: the latest, a number, or a label's.

    Raises:
        PromptNotFoundError: There is no such version or label.
    """
    if which is None or which == LATEST:
        return head.version
    if isinstance(which, str):
        number = head.labels.get(which)
        if number is None:
            raise PromptNotFoundError(head.name, label=which)
        return number
    if which > head.version:
        raise PromptNotFoundError(head.name, which)
    return which


def _parts(commits: Sequence[Commit]) -> Iterable[list[Commit]]:
    """Cut changes into batches that are not too large for the store."""
    part: list[Commit] = []
    weight = 0
    for commit in commits:
        bytes_of_it = _weight(commit)
        if part and weight + bytes_of_it > MAX_BATCH_BYTES:
            yield part
            part, weight = [], 0
        part.append(commit)
        weight += bytes_of_it
    if part:
        yield part


def _weight(commit: Commit) -> int:
    """Return how many bytes a change is as JSON; of a short one no more than it can be."""
    said = 0 if commit.draft is None else commit.draft.characters
    possible = _REST_BYTES + 2 * said * MOST_BYTES_OF_A_CHARACTER
    if possible <= MAX_BATCH_BYTES // WRITE_AT_ONCE:
        return possible
    return _REST_BYTES + sum(len(json.dumps(operation)) for operation in commit.operations)


def _overtaken(name: str) -> ConflictError:
    return ConflictError(f"Prompt '{name}' is being saved by others", {"name": name}, retry_after=1.0)


def _raise_outage(outcomes: Sequence[PromptSummary | APIError]) -> None:
    """Fail as one call would where the store was down for all that could have been changed."""
    tried = [outcome for outcome in outcomes if not isinstance(outcome, ValidationError)]
    failures = [outcome for outcome in tried if isinstance(outcome, APIError) and outcome.status >= _OUTAGE]
    if failures and len(failures) == len(tried):
        raise failures[0]
