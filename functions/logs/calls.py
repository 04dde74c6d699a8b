"""Model calls of a tenant: records that are log lines, found and summed up like any other."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from functions.logs.call_models import (
    CallDimension,
    CallReply,
    CallRow,
    CallSummaryReply,
    Quantiles,
    RequestCallsReply,
    RequestStep,
)
from functions.logs.call_sums import MODEL_CALL, TOKENS, CallSum
from functions.logs.days import list_days, time_bounds
from functions.logs.histogram import quantile
from functions.logs.search import FoundLine, LineFilter, LinePosition, LogSearch
from shared.errors import NotFoundError
from shared.http.paging import ListReply, Page
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from functions.logs.call_models import CallQuery, CallSummaryQuery
    from functions.logs.call_sums import CallGroup
    from functions.logs.lines import LogLine
    from functions.logs.repository import ManifestRepository
    from functions.logs.search import ReadsBlobs
    from shared.clock import Clock
    from shared.tenancy.context import TenantContext

_DAYS_AT_ONCE = 8
_MOST_STEPS = 1_000
_MOST_ROWS = 1_000
_REQUEST_DAYS = 31
_MILLISECOND = timedelta(milliseconds=1)
_REQUEST = "request"
_LINE = "line"
_logger = get_logger(__name__)


class RequestNotLoggedError(NotFoundError):
    """No log line of the tenant's has this request id, or none was shipped yet."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"No log line of request '{request_id}' found", {"request_id": request_id})


class CallService:
    """The model calls of one tenant.

    Args:
        tenant: Whose.
        manifests: Where its chunks' manifests are.
        blobs: Where the chunks are.
        clock: Tells the day.
    """

    def __init__(
        self, tenant: TenantContext, manifests: ManifestRepository, blobs: ReadsBlobs, clock: Clock
    ) -> None:
        self._tenant = tenant
        self._manifests = manifests
        self._search = LogSearch(manifests, blobs)
        self._clock = clock

    async def list_calls(self, query: CallQuery) -> ListReply[CallReply]:
        """Return a page of the calls that are wanted, the last that ended first.

        Raises:
            ValidationError: The times are out of order or too far apart.
        """
        named = {
            "model": query.model,
            "bot_id": query.bot_id,
            "conversation_id": query.conversation_id,
            "status": query.status,
        }
        since, until = time_bounds(query.since, query.until, self._clock.now())
        wanted = LineFilter(
            owner=self._tenant.tenant_id,
            since=since,
            until=until,
            event=MODEL_CALL,
            facts={name: str(value) for name, value in named.items() if value is not None},
        )
        found = await self._search.find_page(wanted, query.cursor, query.limit)
        shown = [(line, call) for line in found.items if (call := _read_call(line.line)) is not None]
        page = Page(shown, lambda one: one[0].position.cursor, found.next_cursor)
        return ListReply[CallReply].of(page, lambda one: one[1])

    async def show_request(self, request_id: str) -> RequestCallsReply:
        """Return the way of a request of the last 31 days.

        Raises:
            RequestNotLoggedError: No line tells of it.
        """
        now = self._clock.now()
        since = now.astimezone(UTC) - timedelta(days=_REQUEST_DAYS)
        wanted = LineFilter(self._tenant.tenant_id, since, now, request_id=request_id)
        lines: list[FoundLine] = []
        after: LinePosition | None = None
        while len(lines) < _MOST_STEPS:
            found = await self._search.find(wanted, after, _MOST_STEPS - len(lines))
            lines += found.lines
            if found.after is None:
                break
            after = found.after
        if not lines:
            raise RequestNotLoggedError(request_id)
        return _show_way(request_id, [_Timed.of(found.line) for found in lines])

    async def summary(self, query: CallSummaryQuery) -> CallSummaryReply:
        """Sum calls up by what is asked for.

        Raises:
            ValidationError: The days are out of order or too many.
        """
        days = list_days(query.from_, query.to, self._clock.now().date())
        by = query.dimensions
        summed = await side_by_side((self._sum_day(day, by) for day in days), at_once=_DAYS_AT_ONCE)
        total: defaultdict[CallKey, CallSum] = defaultdict(CallSum)
        for of_day in summed:
            for key, sums in of_day.items():
                total[key].add(sums)
        most = sorted(total, key=lambda key: total[key].calls, reverse=True)[:_MOST_ROWS]
        rows = [_render_sum(key, total[key]) for key in sorted(most, key=_sortable)]
        return CallSummaryReply(group_by=by, items=rows, calls=sum(sums.calls for sums in total.values()))

    async def _sum_day(self, day: date, by: list[CallDimension]) -> Mapping[CallKey, CallSum]:
        sums: defaultdict[CallKey, CallSum] = defaultdict(CallSum)
        async for manifest in self._manifests.calls_of_day(day):
            for one in manifest.calls:
                sums[CallKey.of(day, one.group, by)].add(one)
        return sums


class CallKey(NamedTuple):
    """Key of a row: what its calls have in common; None for what is not grouped by."""

    day: date | None
    model: str | None
    bot_id: str | None
    prompt_name: str | None
    prompt_version: int | None

    @classmethod
    def of(cls, day: date, group: CallGroup, by: list[CallDimension]) -> CallKey:
        """Keep of a group what is grouped by."""
        has_prompt = CallDimension.PROMPT in by
        return cls(
            day if CallDimension.DAY in by else None,
            group.model if CallDimension.MODEL in by else None,
            group.bot_id if CallDimension.BOT_ID in by else None,
            group.prompt_name if has_prompt else None,
            group.prompt_version if has_prompt else None,
        )


class _Timed(NamedTuple):
    """A line with its times."""

    line: LogLine
    started_at: datetime
    duration_ms: float | None

    @classmethod
    def of(cls, line: LogLine) -> _Timed:
        """Take the time before the line that its duration says; it is written when that is over."""
        duration = _number(line.facts, "duration_ms")
        before = 0.0 if duration is None else duration
        return cls(line, line.at - before * _MILLISECOND, duration)


def _show_way(request_id: str, timed: list[_Timed]) -> RequestCallsReply:
    timed.sort(key=lambda one: (one.started_at, -(one.duration_ms or 0.0)))
    started_at = timed[0].started_at
    steps = [_render_step(one, started_at) for one in timed]
    calls = [step for step in steps if step.event == MODEL_CALL]
    return RequestCallsReply(
        request_id=request_id,
        started_at=started_at,
        duration_ms=round(max(step.offset_ms + (step.duration_ms or 0.0) for step in steps), 1),
        ledger_ms=round(sum(step.ledger_ms or 0.0 for step in calls), 1),
        model_ms=round(sum(step.model_ms or 0.0 for step in calls), 1),
        calls=len(calls),
        steps=steps,
    )


def _render_step(timed: _Timed, beginning: datetime) -> RequestStep:
    line, facts = timed.line, timed.line.facts
    route, model = line.fact("route"), line.fact("model")
    is_call = line.event == MODEL_CALL
    wait, overhead = _number(facts, "wait_ms") or 0.0, _number(facts, "overhead_ms") or 0.0
    taken = (timed.duration_ms or 0.0) - wait - overhead
    status = facts.get("status")
    return RequestStep(
        event=line.event or (_LINE if route is None else _REQUEST),
        name=(model if is_call else route) or str(line.fields.get("message", "")),
        level=line.level,
        started_at=timed.started_at,
        offset_ms=round((timed.started_at - beginning) / _MILLISECOND, 1),
        duration_ms=timed.duration_ms,
        ledger_ms=wait if is_call else None,
        model_ms=round(max(0.0, taken), 1) if is_call else None,
        status=None if status is None else str(status),
        error=line.fact("error"),
    )


def _read_call(line: LogLine) -> CallReply | None:
    try:
        return CallReply.model_validate({**line.facts, "request_id": line.request_id}, extra="ignore")
    except ValidationError:
        _logger.warning(
            "A model call's record cannot be read", extra={"logger_of_line": line.fields.get("logger")}
        )
        return None


def _render_sum(key: CallKey, sums: CallSum) -> CallRow:
    return CallRow(
        **key._asdict(),
        calls=sums.calls,
        statuses=dict(sorted(sums.statuses.items())),
        **{kind: sums.tokens[kind] for kind in TOKENS},
        cost=sums.cost,
        duration_ms=_quantiles(sums.durations),
        time_to_first_token_ms=_quantiles(sums.first_tokens),
    )


def _quantiles(counts: Mapping[int, int]) -> Quantiles | None:
    p50, p95, p99 = (quantile(counts, share) for share in (0.5, 0.95, 0.99))
    if p50 is None or p95 is None or p99 is None:
        return None
    return Quantiles(p50=p50, p95=p95, p99=p99)


def _sortable(key: CallKey) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in key)


def _number(facts: Mapping[str, Any], name: str) -> float | None:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else None
