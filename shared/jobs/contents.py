"""Contents of jobs that are too large for a message, kept in blobs: the claim check pattern.

https://learn.microsoft.com/azure/architecture/patterns/claim-check. The message, and the stored job, have the
claim of the content. Its blob is named by the tenant, the job's id and the content: no message leads to
another one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from shared.contracts import ContentClaim
from shared.errors import APIError, NotFoundError
from shared.logging.logger import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.tenancy.context import TenantContext

CONTAINER = "jobs"
_logger = get_logger(__name__)


class ContentMissingError(NotFoundError):
    """The content of a job is not where its claim says."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The content of job '{job_id}' is not there", {"job_id": job_id})


class KeepsBlobs(Protocol):
    """Container of blobs, as far as contents need it."""

    async def write(self, name: str, content: bytes) -> None:
        """Store a content under a name, over whatever had it."""
        ...

    async def read(self, name: str) -> bytes | None:
        """Return a blob's content, or None where there is none of this name."""
        ...

    async def delete(self, name: str) -> bool:
        """Remove a blob; tell whether there was one."""
        ...


class JobContents:
    """The large contents of one tenant's jobs.

    Args:
        tenant: The tenant.
        open_blobs: Opens where they are, when that is first needed.
    """

    def __init__(self, tenant: TenantContext, open_blobs: Callable[[], KeepsBlobs]) -> None:
        self._tenant = tenant
        self._open_blobs = open_blobs

    async def keep(self, job_id: str, content: bytes) -> ContentClaim:
        """Store a content; the same one of the same job twice is one."""
        claim = ContentClaim(digest=_digest(job_id, content), bytes=len(content))
        await self._open_blobs().write(self._name(claim), content)
        return claim

    async def read(self, job_id: str, claim: ContentClaim) -> bytes:
        """Return a content.

        Raises:
            ContentMissingError: There is none, or it is not this job's.
        """
        content = await self._open_blobs().read(self._name(claim))
        if content is None or _digest(job_id, content) != claim.digest:
            raise ContentMissingError(job_id)
        return content

    async def remove(self, job_id: str, claim: ContentClaim | None) -> None:
        """Remove a content that nobody needs any more; where that fails it goes with its tenant."""
        if claim is None:
            return
        try:
            await self._open_blobs().delete(self._name(claim))
        except APIError as error:
            facts = {"job_id": job_id, "error": type(error).__name__}
            _logger.warning("The content of a job was not removed", extra=facts)

    def _name(self, claim: ContentClaim) -> str:
        return f"{self._tenant.tenant_id}/{claim.digest}.json"


def _digest(job_id: str, content: bytes) -> str:
    return hashlib.sha256(job_id.encode() + b"\0" + content).hexdigest()
