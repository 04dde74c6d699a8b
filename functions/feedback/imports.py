"""Import of feedback from CSV: every row is stored, each as a feedback of its own, before it is acknowledged.

A row's feedback has an id made of the import's and the row's number, so that an import that broke off and is
sent again makes none twice. All rows wait in the store for the tenant's places on the queue: an import takes
no more of the queue than these.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import TYPE_CHECKING

from functions.feedback.errors import FeedbackConflictError
from functions.feedback.messages import request_message
from functions.feedback.models import ImportAccepted, ImportReply, ImportRowReply
from functions.feedback.rendering import render_analysis
from functions.feedback.spreadsheet import read_rows
from functions.feedback.stored_models import ImportItem, name_row
from shared.contracts import FeedbackFormIn
from shared.http.paging import cut_page
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.feedback.models import ImportPageQuery, ImportRequest
    from functions.feedback.repository import FeedbackRepository, ImportRepository
    from functions.feedback.spreadsheet import FeedbackRow, RefusedRow
    from functions.feedback.stored_models import FeedbackIntake, FeedbackState
    from shared.clock import Clock
    from shared.http.inputs import OperationId
    from shared.tenancy.context import TenantContext

_AT_ONCE = 8
_logger = get_logger(__name__)


class ImportService:
    """One tenant's imports.

    Args:
        tenant: The tenant.
        imports: Its imports.
        feedback: Its feedback.
        intake: Stores feedback with its message.
        clock: Dates imports.
    """

    def __init__(
        self,
        tenant: TenantContext,
        imports: ImportRepository,
        feedback: FeedbackRepository,
        intake: FeedbackIntake,
        clock: Clock,
    ) -> None:
        self._tenant = tenant
        self._imports = imports
        self._feedback = feedback
        self._intake = intake
        self._clock = clock

    async def accept(self, request: ImportRequest, operation_id: OperationId | None) -> ImportAccepted:
        """Store each row as a feedback, then the import.

        Raises:
            ValidationError: It is no CSV file, or not one of feedback.
        """
        rows, refused = await asyncio.to_thread(read_rows, request.csv)
        import_id = operation_id or uuid.uuid4().hex
        work = (self._store(import_id, row) for row in rows)
        await side_by_side(work, at_once=_AT_ONCE)
        entry = ImportItem(
            id=import_id,
            user_id=self._tenant.user_id,
            rows=len(rows) + len(refused),
            refused=refused,
            created_at=self._clock.now(),
        )
        stored = await self._imports.create(entry)
        await self._intake.release()
        _logger.info("Feedback imported", extra={"import_id": import_id, "count": stored.rows})
        return ImportAccepted(
            import_id=import_id,
            rows=stored.rows,
            refused=len(stored.refused),
            status_url=f"/api/v1/feedback/import/{import_id}",
        )

    async def read(self, import_id: str, query: ImportPageQuery) -> ImportReply:
        """Return an import as it stands, with a page of its rows.

        Raises:
            ImportNotFoundError: The tenant has none of this id.
        """
        entry = await self._imports.read(import_id)
        statuses = Counter(state.status for state in await self._feedback.states_of_import(entry))
        first = query.after + 1
        numbers = range(first, min(entry.rows, first + query.limit) + 1)
        page = cut_page(numbers, query.limit, str)
        refused = {row.row: row for row in entry.refused}
        found = await self._feedback.of_import(entry, [row for row in page.items if row not in refused])
        shown = page.render(lambda row: _render_row(row, entry, refused, found))
        reply = ImportReply(
            import_id=entry.id,
            rows=entry.rows,
            refused=len(entry.refused),
            finished=sum(count for status, count in statuses.items() if status.is_final),
            by_status=dict(sorted(statuses.items())),
            created_at=entry.created_at,
            items=shown.items,
            next_cursor=shown.next_cursor,
        )
        return reply.with_encoded(shown.encoded)

    async def _store(self, import_id: str, row: FeedbackRow) -> None:
        fields = row.model_dump(exclude={"row"}) | {"id": name_row(import_id, row.row)}
        request = FeedbackFormIn.model_validate(fields | {"tenant_id": self._tenant.tenant_id})
        try:
            await self._intake.hold(request, request_message(request))
        except FeedbackConflictError:  # somebody named a feedback so before: it is that one's
            _logger.warning("A row's id was taken", extra={"import_id": import_id})


def _render_row(
    row: int,
    entry: ImportItem,
    refused: Mapping[int, RefusedRow],
    found: Mapping[str, FeedbackState],
) -> ImportRowReply:
    if row in refused:
        fields = refused[row].fields
        error = "; ".join(f"{name}: {problem}" if name else problem for name, problem in fields.items())
        return ImportRowReply(
            row=row, feedback_id=None, status=None, analysis=None, error=error, fields=fields
        )
    state = found.get(entry.feedback_id(row))
    return ImportRowReply(
        row=row,
        feedback_id=entry.feedback_id(row),
        status=None if state is None else state.status,
        analysis=None if state is None else render_analysis(state.result),
        error=None if state is None else state.error,
        fields=None,
    )
