"""Feedback and imports of one tenant in Cosmos, beside what every job has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.feedback.errors import FeedbackNotFoundError, ImportNotFoundError, TooMuchFeedbackError
from functions.feedback.stored_models import FeedbackCount, FeedbackState, ImportItem, RowState
from shared.cosmos.container import Query
from shared.cosmos.paging import KeysetPage
from shared.cosmos.partition import Partition
from shared.cosmos.queries import fields_of, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from functions.feedback.models import FeedbackPageQuery
    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.tenancy.context import TenantContext

MOST_COUNTED = 10_000
"""The most feedback that one summary counts: about 400 request units."""

_COUNTED = (
    f"{fields_of(RowState)}, c.day, c.language, c.result.hashtag, c.result.category, c.result.contains_pii"
)


class FeedbackRepository:
    """The feedback of one tenant, as it is listed and counted."""

    def __init__(self, tenant: TenantContext, container: Container) -> None:
        self._tenant = tenant
        self._all = Partition.of(tenant, container)
        self._container = container

    async def read(self, feedback_id: str) -> FeedbackState:
        """Return a feedback.

        Raises:
            FeedbackNotFoundError: This tenant, or user, has none of this id.
        """
        found = await Partition.of(self._tenant, self._container, feedback_id).read(
            FeedbackState, feedback_id
        )
        if found is None or not self._tenant.sees(found.user_id):
            raise FeedbackNotFoundError(feedback_id)
        return found

    async def page(self, query: FeedbackPageQuery) -> list[FeedbackState]:
        """Return feedback by id, as far as a query means it."""
        equal: dict[str, JsonValue] = {
            "c.status = @status": query.status,
            "c.language = @language": query.language,
            "c.result.hashtag = @hashtag": query.hashtag,
            "c.result.category = @category": query.category,
            "c.result.contains_pii = @pii": query.contains_pii,
            "c.day >= @from": None if query.from_day is None else query.from_day.isoformat(),
            "c.day <= @to": None if query.to_day is None else query.to_day.isoformat(),
        }
        where, parameters = self._join(equal)
        page = KeysetPage(query.fetch_limit, query.cursor, where=where, parameters=parameters)
        return await self._all.read_prefix_page(FeedbackState, page)

    async def counted(self, first: date, last: date) -> Sequence[FeedbackCount]:
        """Return all feedback of some days, as much of each as is counted.

        Raises:
            TooMuchFeedbackError: It is more than is counted at once.
        """
        where, parameters = self._join(
            {"c.day >= @from": first.isoformat(), "c.day <= @to": last.isoformat()}
        )
        found = await self._all.query(
            FeedbackCount, Query(select(_COUNTED, where=where), parameters, MOST_COUNTED + 1)
        )
        if len(found) > MOST_COUNTED:
            raise TooMuchFeedbackError(MOST_COUNTED)
        return found

    async def of_import(self, entry: ImportItem, rows: Sequence[int]) -> Mapping[str, FeedbackState]:
        """Return what has become of some rows of an import, by its id."""
        found = await self._all.read_many(FeedbackState, map(entry.feedback_id, rows))
        return {state.id: state for state in found}

    async def states_of_import(self, entry: ImportItem) -> Sequence[RowState]:
        """Return how far the rows of an import are that are stored as feedback."""
        text = select(RowState, where="c.id > @first AND c.id < @last")
        bounds = {"@first": f"{entry.id}:", "@last": f"{entry.id};"}
        return await self._all.query(RowState, Query(text, bounds, max(1, entry.accepted)))

    def _join(self, conditions: Mapping[str, JsonValue]) -> tuple[str, dict[str, JsonValue]]:
        """Join conditions of one parameter each, as far as that has a value, and the one about the user."""
        meant = dict(conditions) | {"c.user_id = @user": self._tenant.only_user}
        asked = {text: value for text, value in meant.items() if value is not None}
        return " AND ".join(asked), {text.rpartition(" ")[2]: value for text, value in asked.items()}


class ImportRepository:
    """The imports of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container) -> None:
        self._tenant = tenant
        self._container = container

    async def create(self, entry: ImportItem) -> ImportItem:
        """Store an import, or return the one that has its id."""
        stored, _ = await self._of(entry.id).create_or_read(entry)
        return stored

    async def read(self, import_id: str) -> ImportItem:
        """Return an import.

        Raises:
            ImportNotFoundError: This tenant, or user, has none of this id.
        """
        found = await self._of(import_id).read(ImportItem, import_id)
        if found is None or not self._tenant.sees(found.user_id):
            raise ImportNotFoundError(import_id)
        return found

    def _of(self, import_id: str) -> Partition:
        return Partition.of(self._tenant, self._container, import_id)
