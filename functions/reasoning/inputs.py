"""Inputs of jobs: in the message, or where that has no room for one, beside the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.contracts import ReasonerIn
from shared.jobs.models import JobStatus
from shared.messaging.sender import MAX_BODY_BYTES

if TYPE_CHECKING:
    from functions.reasoning.stored_models import ReasoningJob
    from shared.jobs.contents import JobContents

_INPUT = ("text", "messages", "prompt_name", "prompt", "variables")


@dataclass(frozen=True, slots=True)
class JobInputs:
    """Inputs of one tenant's jobs.

    Attributes:
        contents: Where the large ones are.
    """

    contents: JobContents

    async def check_in(self, request: ReasonerIn) -> ReasonerIn:
        """Return the request as it is sent and stored: of a large input it has the claim alone."""
        content = request.model_dump_json(by_alias=True, exclude_none=True).encode()
        if len(content) <= MAX_BODY_BYTES:
            return request
        claim = await self.contents.keep(request.id, content)
        return request.model_copy(update={**dict.fromkeys(_INPUT), "content": claim})

    async def load(self, request: ReasonerIn) -> ReasonerIn:
        """Return the request with its input.

        Raises:
            ContentMissingError: The input is not where its claim says.
        """
        if request.content is None:
            return request
        return ReasonerIn.model_validate_json(await self.contents.read(request.id, request.content))

    async def remove_if_over(self, job: ReasoningJob) -> None:
        """Remove the large input of a job that needs it no more; where that fails, it goes with its tenant.

        A job that failed may be replayed: its input goes when its time is over (infra/modules/storage.bicep).
        """
        if job.status.is_final and job.status is not JobStatus.FAILED:
            await self.contents.remove(job.id, job.request.content)
