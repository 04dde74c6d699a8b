"""Contents of model calls, where a tenant has them kept: read under audit, removed after their retention."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import ValidationError

from functions.logs.content_models import CallContentReply
from functions.logs.days import MOST_DAYS
from shared.errors import NotFoundError
from shared.http.paging import PAGE_BYTES, ListReply, Page
from shared.llm.call_content import prefix_of
from shared.llm.settings import CHAT_RETENTION_DAYS
from shared.logging.logger import get_logger
from shared.logging.redaction import redact
from shared.resilience.concurrency import side_by_side
from shared.tenancy.audit import AuditAction

if TYPE_CHECKING:
    from functions.logs.content_models import ContentQuery
    from functions.logs.retention import LogRetention
    from shared.blob.store import BlobPage
    from shared.clock import Clock
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import TenantContext
    from shared.tenancy.settings import TenantSettings

_LISTED = 500
"""The most calls of a request and a day that are shown."""

_DAYS_AT_ONCE = 8
_logger = get_logger(__name__)


class ContentNotKeptError(NotFoundError):
    """Nothing is kept of what this request's model calls said: `logs.keep_content` was off, or it is over."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"No content of request '{request_id}' is kept", {"request_id": request_id})


class ContentBlobs(Protocol):
    """Container of contents, as far as they are read."""

    async def page(self, prefix: str, cursor: str | None, limit: int) -> BlobPage:
        """List blobs whose names begin so, in order."""
        ...

    async def read(self, name: str) -> bytes | None:
        """Return a blob's content, or None where there is none of this name."""
        ...


class _Kept(NamedTuple):
    """A content that is kept, by its name within the tenant's."""

    key: str
    size: int


class ContentService:
    """The contents of one tenant's model calls.

    Args:
        tenant: Whose.
        blobs: Where they are.
        audit: Keeps who read them.
        clock: Tells the day.
    """

    def __init__(self, tenant: TenantContext, blobs: ContentBlobs, audit: AuditTrail, clock: Clock) -> None:
        self._tenant = tenant
        self._blobs = blobs
        self._audit = audit
        self._clock = clock

    async def show(self, request_id: str, query: ContentQuery) -> ListReply[CallContentReply]:
        """Return what the calls of a request of the last 31 days said, in the order of their beginnings.

        Raises:
            ContentNotKeptError: Nothing is kept of it.
            DependencyUnavailableError: That it is read cannot be kept in the audit trail.
        """
        # Callers may choose the id: it is written as the log writes it.
        await self._audit.record(self._tenant, AuditAction.CONTENT_READ, redact(request_id))
        today = self._clock.now()
        days = [today - timedelta(days=back) for back in reversed(range(MOST_DAYS))]
        found = await side_by_side((self._list(day, request_id) for day in days), at_once=_DAYS_AT_ONCE)
        kept = [one for of_day in found for one in of_day]
        if not kept:
            raise ContentNotKeptError(request_id)
        wanted = [one for one in kept if query.cursor is None or one.key > query.cursor]
        page = _cut(wanted, query.limit)
        shown = [(one, content) for one in page if (content := await self._read(one)) is not None]
        cursor = page[-1].key if len(page) < len(wanted) else None
        rendered = Page(shown, lambda one: one[0].key, cursor)
        return ListReply[CallContentReply].of(rendered, lambda one: one[1])

    async def _list(self, day: datetime, request_id: str) -> list[_Kept]:
        owner = f"{self._tenant.tenant_id}/"
        prefix = prefix_of(self._tenant.tenant_id, day, request_id)
        kept: list[_Kept] = []
        cursor: str | None = None
        while len(kept) < _LISTED:  # the service may answer an empty page that is not the last
            found = await self._blobs.page(prefix, cursor, _LISTED - len(kept))
            kept += [_Kept(blob.name.removeprefix(owner), blob.size) for blob in found.blobs]
            cursor = found.cursor
            if cursor is None:
                break
        return kept

    async def _read(self, kept: _Kept) -> CallContentReply | None:
        content = await self._blobs.read(f"{self._tenant.tenant_id}/{kept.key}")
        if content is None:
            return None  # its retention is over
        try:
            return CallContentReply.model_validate_json(content, extra="ignore")
        except ValidationError:
            _logger.warning("The content of a model call cannot be read", extra={"blob": kept.key})
            return None


def _cut(kept: list[_Kept], limit: int) -> list[_Kept]:
    """Return as many as a page has: by number and by bytes, one at least."""
    page: list[_Kept] = []
    size = 0
    for one in kept[:limit]:
        size += one.size
        if page and size > PAGE_BYTES:
            break
        page.append(one)
    return page


class ContentRetention:
    """Retention of contents: that of log lines, or of conversations where that is shorter.

    Args:
        logs: The retention of lines.
        settings: Tells a tenant's own retention of conversations.
    """

    def __init__(self, logs: LogRetention, settings: TenantSettings) -> None:
        self._logs = logs
        self._settings = settings

    async def days_of(self, tenant: TenantContext) -> int:
        """Return the days for which a tenant's contents are kept after the day that they are of."""
        days = self._logs.days_of(tenant)
        of_chat = await self._settings.value(tenant, CHAT_RETENTION_DAYS)
        # A turn goes so many days after it was begun, a day's contents together: with its first one.
        return min(days, of_chat - 1) if of_chat else days
