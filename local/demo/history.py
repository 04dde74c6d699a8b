"""Writer of the past, through the app's own modules: usage as the ledger stores it, lines as it logs them.

The lines are set aside as files of an instance that was here before; the app that runs ships and indexes
them.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from local.demo.past import DAYS, past_day
from shared.contracts import Usage
from shared.cosmos.partition import Partition
from shared.llm.call_recorder import log_fields
from shared.llm.model_call import CallStatus, ModelCallRecord
from shared.llm.packaged_models import CURRENCY, packaged_models
from shared.logging.context import logging_as
from shared.logging.formatter import JsonFormatter
from shared.tokens.usage_items import UsageKey, build_usage_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date, datetime
    from decimal import Decimal
    from pathlib import Path

    from local.demo.past import PastCall, PastRequest
    from local.demo.plan import PlannedTenant
    from shared.runtime import Runtime

_INSTANCE = "demo"
_BATCH = 100
"""What a transactional batch of Cosmos DB holds."""

_MILLISECOND = timedelta(milliseconds=1)
_FAILED = 500


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a past hangs on.

    Attributes:
        day: The demo's first day, before which the past ends.
        seed: Of what is made up.
    """

    day: date
    seed: int

    def days(self) -> Iterator[tuple[date, int]]:
        """Go through the days of the past, the oldest first, each with how long ago it was."""
        for days_ago in range(DAYS, 0, -1):
            yield self.day - timedelta(days=days_ago), days_ago


@dataclass(slots=True)
class _Sum:
    """What calls of one kind used."""

    usage: Usage = field(default_factory=Usage)
    requests: int = 0


class UsageHistory:
    """Writes what the past used into the ledger.

    Args:
        runtime: Of an app whose stores are these.
        anchor: Where the past ends.
    """

    def __init__(self, runtime: Runtime, anchor: Anchor) -> None:
        self._runtime = runtime
        self._anchor = anchor

    async def write(self, tenant: PlannedTenant) -> int:
        """Write the usage items of a tenant; return how many are new: none where they were written before."""
        context = await self._runtime.authenticator.for_platform(tenant.tenant_id)
        partition = Partition.of(context, self._runtime.container("ledger"))
        items = [
            build_usage_item(key, found.usage, found.requests)
            for day, days_ago in self._anchor.days()
            for key, found in _sum_up(past_day(tenant, day, days_ago, self._anchor.seed), day)
        ]
        # The last batch is stored last: where its last item is, everything is.
        if not items or await partition.read(type(items[-1]), items[-1].id) is not None:
            return 0
        for start in range(0, len(items), _BATCH):
            batch = [partition.upserting(item) for item in items[start : start + _BATCH]]
            await partition.batch(batch, minimal=True)
        return len(items)


def _sum_up(requests: Iterable[PastRequest], day: date) -> list[tuple[UsageKey, _Sum]]:
    sums: dict[UsageKey, _Sum] = {}
    for request in requests:
        for call in request.calls:
            if call.is_paid:
                key = UsageKey(day, call.model, call.app_id, request.user_id)
                found = sums.setdefault(key, _Sum())
                found.usage += _usage_of(call)
                found.requests += 1
    return sorted(sums.items(), key=lambda pair: pair[0].item_id)


def _usage_of(call: PastCall) -> Usage:
    return Usage(
        prompt_tokens=call.prompt_tokens,
        cached_tokens=call.cached_tokens,
        completion_tokens=call.completion_tokens,
        reasoning_tokens=call.reasoning_tokens,
        total_tokens=call.prompt_tokens + call.completion_tokens,
    )


class LogHistory:
    """Sets aside the log files of the past, one for each day.

    Args:
        folder: Where the app's log files are.
        app: The app's name in its lines.
        retention: Days for which lines are kept, by tier: older ones are not written.
        anchor: Where the past ends.
    """

    def __init__(self, folder: Path, app: str, retention: dict[str, int], anchor: Anchor) -> None:
        self._folder = folder
        self._formatter = JsonFormatter(app)
        self._app = app
        self._retention = retention
        self._anchor = anchor

    def write(self, tenants: Sequence[PlannedTenant]) -> Counter[str]:
        """Write the files; return how many days each tenant has lines of."""
        self._folder.mkdir(parents=True, exist_ok=True)
        days: Counter[str] = Counter()
        for day, days_ago in self._anchor.days():
            lines: list[tuple[datetime, str]] = []
            for tenant in tenants:
                if days_ago < self._retention[tenant.tier]:
                    found = list(self._lines_of(tenant, day, days_ago))
                    days[tenant.tenant_id] += bool(found)
                    lines += found
            if lines:
                lines.sort(key=lambda line: line[0])
                self._set_aside(day, [text for _, text in lines])
        return days

    def _set_aside(self, day: date, lines: list[str]) -> None:
        """Put a whole file there, under the name that a rotated one has: it is shipped from then on."""
        name = f"{self._app}-{_INSTANCE}.{day:%Y%m%d}T235959{self._anchor.seed % 1_000_000:06}Z.jsonl"
        draft = self._folder / f"{name}.tmp"
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        draft.rename(self._folder / name)

    def _lines_of(self, tenant: PlannedTenant, day: date, days_ago: int) -> Iterator[tuple[datetime, str]]:
        for request in past_day(tenant, day, days_ago, self._anchor.seed):
            with logging_as(request_id=request.request_id, tenant_id=tenant.tenant_id):
                for record in _records_of(tenant.tenant_id, request):
                    yield request.at, self._formatter.format(record)


def _records_of(tenant_id: str, request: PastRequest) -> Iterator[logging.LogRecord]:
    """Go through what the app would have logged of a request, in its order."""
    for call in request.calls:
        facts = log_fields(_call_record(tenant_id, request, call))
        yield _record("shared.llm.call_recorder", "Model call", call.at, facts)
    if request.route == "chat":
        yield _turn_record(request)
    if request.queue is not None:
        yield _message_record(request)
        return
    name, level, message = "shared.http.pipeline", logging.INFO, "Request answered"
    if request.status >= _FAILED:
        level, message = logging.ERROR, "Request failed"
    elif request.error is not None:
        message = "Request refused"
    facts = {"route": request.route, "duration_ms": request.duration_ms, "status": request.status}
    if request.first_ms is not None:
        facts |= {"first_event_ms": request.first_ms, "sent_bytes": round(request.duration_ms)}
    if request.error is not None:
        facts["error"] = request.error
    yield _record(name, message, request.at, facts, level)


def _turn_record(request: PastRequest) -> logging.LogRecord:
    (call,) = request.calls
    paid = call.prompt_tokens + call.completion_tokens if call.is_paid else 0
    cost = _cost_of(call)
    facts = {
        "event": "turn",
        "bot_id": call.bot_id,
        "conversation_id": request.conversation_id,
        "turn": request.turn,
        "stream": call.stream,
        "model_calls": 1,
        "total_tokens": paid,
        "cost": None if cost is None else f"{cost:f}",
        "duration_ms": request.duration_ms,
    }
    answered = call.end == "succeeded"
    facts |= {"finish_reason": "stop"} if answered else {"error": call.error or "CancelledError"}
    message = "Turn answered" if answered else "Turn without an answer"
    return _record("functions.chat.conversations.middleware", message, request.at, facts)


def _message_record(request: PastRequest) -> logging.LogRecord:
    name = "shared.messaging.consumer"
    facts: dict[str, Any] = {"queue": request.queue}
    if request.error is None:
        return _record(name, "Message handled", request.at, facts)
    facts |= {"error": request.error, "pause_seconds": 2.0}
    return _record(name, "Message put off", request.at, facts, logging.WARNING)


def _call_record(tenant_id: str, request: PastRequest, call: PastCall) -> ModelCallRecord:
    cost = _cost_of(call)
    return ModelCallRecord(
        time=call.at - call.duration_ms * _MILLISECOND,
        request_id=request.request_id,
        tenant_id=tenant_id,
        key_id=None,
        user_id=request.user_id,
        app_id=call.app_id,
        bot_id=call.bot_id,
        conversation_id=request.conversation_id,
        turn=request.turn,
        job_id=request.job_id,
        step=call.step,
        prompt_name=None if call.prompt is None else call.prompt[0],
        prompt_version=None if call.prompt is None else call.prompt[1],
        model=call.model,
        deployment=call.model if call.attempts else None,
        provider="azure" if call.attempts else None,
        stream=call.stream,
        prompt_tokens=call.prompt_tokens if call.is_paid else None,
        cached_tokens=call.cached_tokens if call.is_paid else None,
        completion_tokens=call.completion_tokens if call.is_paid else None,
        reasoning_tokens=call.reasoning_tokens if call.is_paid else None,
        cost=cost,
        currency=None if cost is None else CURRENCY,
        attempts=call.attempts,
        fallback_from=None,
        wait_ms=call.wait_ms,
        time_to_first_token_ms=call.first_ms,
        duration_ms=call.duration_ms,
        overhead_ms=call.overhead_ms,
        finish_reason="stop" if call.end == "succeeded" else None,
        status=CallStatus(call.end),
        error=call.error,
    )


def _cost_of(call: PastCall) -> Decimal | None:
    price = packaged_models()[call.model].price
    return price.cost(_usage_of(call)) if price is not None and call.is_paid else None


def _record(
    logger: str, message: str, at: datetime, facts: dict[str, Any], level: int = logging.INFO
) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": logger,
            "msg": message,
            "levelno": level,
            "levelname": logging.getLevelName(level),
            "created": at.timestamp(),
            **facts,
        }
    )
