"""Answer for many prompts at once, each on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.prompts.models import (
    BatchChangeReply,
    BatchChangeResult,
    BatchFailure,
    BatchGetReply,
    BatchGetResult,
)
from functions.prompts.service import prompt_reply
from shared.errors import APIError
from shared.prompts.batches import delete_many, read_many, save_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.prompts.models import BatchNamesRequest, BatchSaveRequest, ChangeQuery
    from shared.prompts.batches import ItemOutcome
    from shared.prompts.library import Prompts
    from shared.prompts.models import PromptSource


class PromptBatchService:
    """Many of one tenant's prompts at once."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts

    async def get(self, request: BatchNamesRequest) -> BatchGetReply:
        """Return the latest version of each prompt, or why there is none."""
        results = [
            BatchGetResult(name=name, prompt=None, failure=_failure(found))
            if isinstance(found, APIError)
            else BatchGetResult(name=name, prompt=prompt_reply(found), failure=None)
            for name, found in await read_many(self._prompts, request.names)
        ]
        return BatchGetReply(results=results)

    async def save(self, request: BatchSaveRequest, source: PromptSource) -> BatchChangeReply:
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


def _reply(outcomes: Sequence[ItemOutcome]) -> BatchChangeReply:
    results = [_result(index, item) for index, item in enumerate(outcomes)]
    failed = sum(result.failure is not None for result in results)
    return BatchChangeReply(succeeded=len(results) - failed, failed=failed, results=results)


def _result(index: int, item: ItemOutcome) -> BatchChangeResult:
    outcome = item.outcome
    if isinstance(outcome, APIError):
        return BatchChangeResult(
            index=index, name=item.name, version=None, etag=None, failure=_failure(outcome)
        )
    return BatchChangeResult(
        index=index, name=item.name, version=outcome.version, etag=outcome.etag, failure=None
    )


def _failure(error: APIError) -> BatchFailure:
    return BatchFailure(
        error=type(error).__name__, message=error.message, status=error.status, detail=dict(error.detail)
    )
