"""Answer for many prompts at once, each on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.prompts.models import (
    MAX_ANSWER_BYTES,
    BatchChangeReply,
    BatchChangeResult,
    BatchGetReply,
    BatchGetResult,
    BatchItemFailure,
)
from functions.prompts.service import prompt_reply
from shared.errors import APIError
from shared.prompts.batches import delete_many, no_room_for, read_many, save_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.prompts.models import BatchNamesRequest, BatchSaveRequest, ChangeQuery
    from shared.prompts.batches import ItemOutcome
    from shared.prompts.library import Prompts
    from shared.prompts.stored_models import Prompt
    from shared.tenancy.source import Source


_REFUSAL_BYTES = 600
"""More than the refusal of a prompt that there is no room for."""

_LONGEST_ECHO = 200


class PromptBatchService:
    """Many of one tenant's prompts at once."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts

    async def get(self, request: BatchNamesRequest) -> BatchGetReply:
        """Return the latest version of each prompt, as far as there is room, or why there is none."""
        found = await read_many(self._prompts, request.names, MAX_ANSWER_BYTES)
        results = [_got(name, outcome) for name, outcome in found]
        room = MAX_ANSWER_BYTES - sum(
            _REFUSAL_BYTES if result.failure is None else _size(result) for result in results
        )
        for place, result in enumerate(results):
            if result.failure is not None:
                continue
            size = _size(result)
            if size > room:
                results[place] = _got(result.name, no_room_for(result.name, MAX_ANSWER_BYTES))
            else:
                room -= size
        return BatchGetReply(results=results)

    async def save(self, request: BatchSaveRequest, source: Source) -> BatchChangeReply:
        """Save each prompt, or say why not.

        Raises:
            DependencyUnavailableError: The store is down, and nothing is known to be saved.
        """
        return _reply(await save_many(self._prompts, request.prompts, source))

    async def delete(self, request: BatchNamesRequest, query: ChangeQuery) -> BatchChangeReply:
        """Take each prompt out of use, or say why not.

        Raises:
            DependencyUnavailableError: The store is down, and nothing is known to be deleted.
        """
        return _reply(await delete_many(self._prompts, request.names, query.scope, query.reason))


def _got(name: str, outcome: Prompt | APIError) -> BatchGetResult:
    name = name[:_LONGEST_ECHO]  # of one that no prompt can have, the rest may be anything
    if isinstance(outcome, APIError):
        return BatchGetResult(name=name, prompt=None, failure=_failure(outcome))
    return BatchGetResult(name=name, prompt=prompt_reply(outcome), failure=None)


def _size(result: BatchGetResult) -> int:
    return len(result.model_dump_json()) + 1


def _reply(outcomes: Sequence[ItemOutcome]) -> BatchChangeReply:
    results = [_result(index, item) for index, item in enumerate(outcomes)]
    failed = sum(result.failure is not None for result in results)
    return BatchChangeReply(succeeded=len(results) - failed, failed=failed, results=results)


def _result(index: int, item: ItemOutcome) -> BatchChangeResult:
    outcome = item.outcome
    if isinstance(outcome, APIError):
        return BatchChangeResult(
            index=index, name=item.name, version=None, etag=None, warnings=[], failure=_failure(outcome)
        )
    return BatchChangeResult(
        index=index,
        name=item.name,
        version=outcome.version,
        etag=outcome.etag,
        warnings=list(item.warnings),
        failure=None,
    )


def _failure(error: APIError) -> BatchItemFailure:
    return BatchItemFailure(
        error=type(error).__name__, message=error.message, status=error.status, detail=dict(error.detail)
    )
