"""Commits of many edits: 25 in one batch, four batches beside each other, a result for each edit."""

from __future__ import annotations

from itertools import batched, chain
from typing import TYPE_CHECKING, NamedTuple

from shared.cosmos.container import BatchFailedError
from shared.errors import APIError, ConflictError, ValidationError
from shared.prompts.stored_models import ChangeItem, PromptSummary, head_id
from shared.resilience.concurrency import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from shared.cosmos.container import Json
    from shared.cosmos.partition import Partition
    from shared.prompts.commits import Commit
    from shared.prompts.edits import PromptEdit

type EditOutcome = PromptSummary | APIError
"""The prompt's new head, or why there is none."""

WRITE_AT_ONCE = 25
"""Edits that one batch makes, each by two of the 100 operations that it may have: the store works on
one batch while the next is prepared, and one that fails holds up few others."""

BATCHES_AT_ONCE = 4
"""Batches of one call that are under way at a time."""

MAX_BATCH_BYTES = 1_500_000
"""Well below the 2 MiB that a batch may weigh; a single edit may weigh more, and still fits."""

_ROUNDS = 4


class _Round(NamedTuple):
    """One try at many edits.

    Attributes:
        heads: The heads that they are worked out on.
        read: Whether the store was asked for these now, so that they tell what cannot be done too.
        last: Whether there is no other.
    """

    heads: Mapping[str, PromptSummary]
    read: bool
    last: bool


class BatchCommit:
    """One call that edits many prompts.

    Without failures, n edits are n/100 reads and n/25 writes. Each edit that fails on its own account costs
    one more write; one that others overtook costs its batch another read and write, three times at most.

    Args:
        own: The partition of the prompts.
        prepare: Works an edit out on a head; it raises the `APIError` of one that cannot be made.
    """

    def __init__(self, own: Partition, prepare: Callable[[PromptEdit, PromptSummary | None], Commit]) -> None:
        self._own = own
        self._prepare = prepare
        self._outcomes: dict[str, EditOutcome] = {}

    async def run(
        self, edits: Sequence[PromptEdit], known: Mapping[str, PromptSummary] | None
    ) -> list[EditOutcome]:
        """Make the edits; one that cannot be made stops no other.

        Args:
            edits: Edits of prompts that differ.
            known: Heads as they were lately. Where all of them are known, they are not read: a change of one
                since then shows by its ETag. An edit that cannot be made on one as it was is tried again.

        Returns:
            An outcome for each, in order.

        Raises:
            DependencyUnavailableError: The store is down, and nothing is known to be changed.
        """
        outcomes = self._outcomes
        waiting = list(edits)
        for left in reversed(range(_ROUNDS)):
            try:
                this = await self._begin_round([edit.name for edit in waiting], known, last=not left)
                parts = [self._make(part, this) for part in batched(waiting, WRITE_AT_ONCE, strict=False)]
                overtaken = await side_by_side(parts, at_once=BATCHES_AT_ONCE)
                await self._find_made(list(chain.from_iterable(overtaken)))
            except APIError as error:  # the outcomes before it stand
                outcomes |= {edit.name: error for edit in waiting if edit.name not in outcomes}
            known = None
            waiting = [edit for edit in waiting if edit.name not in outcomes]
            if not waiting:
                break
        outcomes |= {edit.name: _overtaken(edit.name) for edit in waiting}
        _raise_outage(list(outcomes.values()))
        return [outcomes[edit.name] for edit in edits]

    async def _begin_round(
        self, names: Sequence[str], known: Mapping[str, PromptSummary] | None, *, last: bool
    ) -> _Round:
        if known is not None and all(name in known for name in names):
            return _Round(known, read=False, last=last)
        return _Round(await self._read_heads(names), read=True, last=last)

    async def _read_heads(self, names: Iterable[str]) -> dict[str, PromptSummary]:
        found = await self._own.read_many(PromptSummary, map(head_id, names))
        return {head.name: head for head in found}

    async def _make(self, edits: Iterable[PromptEdit], this: _Round) -> list[Commit]:
        """Make edits of one batch, or of a few where they are large; return those that were overtaken."""
        commits: list[Commit] = []
        for edit in edits:
            try:
                commits.append(self._prepare(edit, this.heads.get(edit.name)))
            except APIError as error:
                if this.read:  # else the head may be another one by now
                    self._outcomes[edit.name] = error
        return [
            overtaken
            for part in cut_batches(commits)
            for overtaken in await self._write(part, last_round=this.last)
        ]

    async def _write(self, commits: Sequence[Commit], *, last_round: bool) -> list[Commit]:
        """Make edits together; return those to work out again because somebody was in between.

        In the last round only the one that was overtaken is left out, so that it holds up no other.
        """
        left = list(commits)
        overtaken: list[Commit] = []
        while left:
            try:
                stored = await self._own.batch(
                    [step for commit in left for step in commit.operations], minimal=True
                )
                self._outcomes |= await self._heads_after(left, stored[::2])
            except BatchFailedError as error:
                failed = left.pop(error.index // 2)
                if not error.is_race:
                    self._outcomes[failed.edit.name] = error
                elif last_round:
                    overtaken.append(failed)
                else:
                    return [failed, *left]
            except APIError as error:
                self._outcomes |= {commit.edit.name: error for commit in left}
                break
            else:
                break
        return overtaken

    async def _heads_after(
        self, commits: Sequence[Commit], answers: Sequence[Json]
    ) -> dict[str, PromptSummary]:
        heads = {
            commit.edit.name: commit.head_under(str(answer["_etag"]))
            for commit, answer in zip(commits, answers, strict=True)
            if "_etag" in answer
        }
        missing = [commit.edit.name for commit in commits if commit.edit.name not in heads]
        return heads | (await self._read_heads(missing) if missing else {})

    async def _find_made(self, overtaken: Sequence[Commit]) -> None:
        """Find those edits that were made and only their answer was lost."""
        if not overtaken:
            return
        ids = {commit.record_id: commit.edit.id for commit in overtaken}
        stored = await self._own.read_many(ChangeItem, ids)
        made = [item.name for item in stored if item.change.id == ids[item.id]]
        if made:
            self._outcomes |= await self._read_heads(made)


def cut_batches(commits: Iterable[Commit]) -> Iterator[list[Commit]]:
    """Cut commits into batches that are not too large for the store."""
    part: list[Commit] = []
    size = 0
    for commit in commits:
        if part and size + commit.size > MAX_BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(commit)
        size += commit.size
    if part:
        yield part


def _overtaken(name: str) -> ConflictError:
    return ConflictError(f"Prompt '{name}' is being saved by others", {"name": name}, retry_after=1.0)


def _raise_outage(outcomes: Sequence[EditOutcome]) -> None:
    """Fail as one call would where the store was down for all that could have been changed."""
    tried = [outcome for outcome in outcomes if not isinstance(outcome, ValidationError)]
    failures = [outcome for outcome in tried if isinstance(outcome, APIError) and outcome.is_outage]
    if failures and len(failures) == len(tried):
        raise failures[0]
