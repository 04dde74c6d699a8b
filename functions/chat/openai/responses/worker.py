"""Work on responses in the background: claim one, answer it, store the answer, tell its events.

An answer is one call of the model. A worker that dies over it leaves the response to the next delivery, which
asks again, unless parts of the answer were told already: then it has failed.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from functions.chat.openai.responses.background import ResponseOutcome, request_message
from functions.chat.openai.responses.chat_request import build_chat_request
from functions.chat.openai.responses.errors import ResponseNotFoundError
from functions.chat.openai.responses.rendering import restore_request
from functions.chat.openai.responses.repository import ResponseEnd
from functions.chat.openai.responses.response_builder import ResponseBuilder
from functions.chat.openai.responses.service import ResponseInWork, name_fault, read_events, store_end
from functions.chat.openai.responses.stored_models import ResponseFault, ResponseStatus
from shared.cosmos.container import ItemChangedError
from shared.cosmos.leases import LeaseHeartbeat
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError
from shared.jobs.claims import LONGEST_WAIT_TEXT
from shared.jobs.models import JobDelay, JobEnd, JobStatus
from shared.logging.logger import get_logger
from shared.resilience.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.chat.openai.responses.background import ResponseJob, ResponseJobs
    from functions.chat.openai.responses.repository import ResponseRepository
    from functions.chat.openai.responses.response_builder import ResponseEvent
    from functions.chat.openai.responses.service import ResponseService
    from functions.chat.openai.responses.stored_models import ResponseItem
    from shared.clock import Clock
    from shared.contracts import ResponsesIn
    from shared.errors import JsonValue
    from shared.jobs.claims import JobClaims
    from shared.jobs.places import JobOutbox

WATCH_SECONDS = 1.0
"""How often a worker looks whether its response was cancelled, and stores the events that wait."""

_MOST_WAITING = 200
_MOST_BYTES_AT_ONCE = 500_000
"""Of events in one item of the store, which takes 2 MB; an event that is larger has an item of its own."""

_FIRST_TOLD = 2
"""The number of the first event that a worker tells: those before it were told when it was queued."""

_ENDS = {
    ResponseStatus.COMPLETED: JobStatus.SUCCEEDED,
    ResponseStatus.INCOMPLETE: JobStatus.SUCCEEDED,
    ResponseStatus.FAILED: JobStatus.FAILED,
}
_logger = get_logger(__name__)


@dataclass(slots=True)
class EventRecorder:
    """Stores the events of one response in their order, some at a time.

    Attributes:
        responses: The stored responses.
        item: The response.
        first: The number of the first event that waits.
    """

    responses: ResponseRepository
    item: ResponseItem
    first: int = _FIRST_TOLD
    _waiting: list[JsonValue] = field(default_factory=list)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, events: Sequence[ResponseEvent]) -> None:
        """Keep events; where many wait, store them."""
        self._waiting += [event.as_json() for event in events]
        if len(self._waiting) >= _MOST_WAITING:
            await self.flush()

    async def flush(self) -> None:
        """Store the events that wait.

        Raises:
            DependencyUnavailableError: The store is down; they still wait.
        """
        async with self._lock:
            while told := _take_first(self._waiting):
                await self.responses.add_events(self.item, told, self.first)
                self.first += len(told)
                del self._waiting[: len(told)]


def _take_first(events: Sequence[JsonValue]) -> list[JsonValue]:
    """Return the first events, as many of them as one item of the store takes."""
    taken: list[JsonValue] = []
    size = 0
    for event in events:
        size += len(json.dumps(event))
        if taken and size > _MOST_BYTES_AT_ONCE:
            break
        taken.append(event)
    return taken


@dataclass(frozen=True, slots=True)
class ResponseWorker:
    """Works on one tenant's responses.

    Attributes:
        service: The tenant's responses, and the model that answers.
        jobs: Their jobs.
        outbox: Sends the jobs' messages.
        claims: Takes jobs for this worker alone.
    """

    service: ResponseService
    jobs: ResponseJobs
    outbox: JobOutbox
    claims: JobClaims[ResponsesIn, ResponseOutcome]

    async def work(self, message: ResponsesIn) -> None:
        """Handle one delivery of a response's message, the first one or any other.

        Raises:
            APIError: Something is down; the next delivery tries again.
        """
        job = await self.claims.claim(message)
        if job.status is JobStatus.RUNNING:
            job = await self._run(job)
        await self.outbox.send(job)

    async def give_up(self, message: ResponsesIn) -> None:
        """Say that a response has failed whose message exhausted its deliveries.

        Raises:
            APIError: Something is down.
        """
        job = await self.claims.claim(message)
        if job.status is JobStatus.RUNNING:
            last = job.last_failure or "its workers died"
            item = await self._find(job)
            if item is not None and not item.status.is_over:
                item = await self._fail(item, "server_error", f"No delivery is left. At the last: {last}")
            job = await self.jobs.finish(job, _end(item))
        await self.outbox.send(job)

    @property
    def _clock(self) -> Clock:
        return self.claims.clock

    @property
    def _responses(self) -> ResponseRepository:
        return self.service.responses

    async def _run(self, job: ResponseJob) -> ResponseJob:
        async with LeaseHeartbeat(
            lambda: self.jobs.extend(job, self.claims.lease_seconds),
            lambda failure: self.jobs.give_back(job, failure, job.used),
            self.claims.lease_seconds,
            self._clock,
        ):
            item = await self._find(job)
            # One that has failed comes back where its message was replayed.
            if item is None or (item.status.is_over and item.status is not ResponseStatus.FAILED):
                return await self.jobs.finish(job, _end(item))
            try:
                item = await self._answer(item)
            except APIError as error:
                is_told = isinstance(error, AnswerToldInPartError)
                until = None if is_told else self.claims.find_next_try(job, error)
                if until is not None:
                    with suppress(ItemChangedError):  # somebody has cancelled it: its message ends the job
                        await self._responses.move(item, ResponseStatus.QUEUED)
                    delay = JobDelay(
                        request_message(job.request, until), until, error.message, usage=job.used
                    )
                    return await self.jobs.put_off(job, delay)
                if error.transient and not (is_told or isinstance(error, BudgetExceededError)):
                    raise
                item = await self._fail(item, name_fault(error), _explain(error))
            return await self.jobs.finish(job, _end(item))

    async def _find(self, job: ResponseJob) -> ResponseItem | None:
        try:
            return await self._responses.read(job.id)
        except ResponseNotFoundError:
            return None

    async def _answer(self, item: ResponseItem) -> ResponseItem:
        """Make a response until it is whole, or is cancelled; return it as it is stored."""
        try:
            item = await self._responses.move(item, ResponseStatus.IN_PROGRESS)
        except ItemChangedError:
            return await self._responses.read(str(item.response_id))
        request = restore_request(item.request, await self._responses.read_input(item.response_id))
        items = await self.service.resolve(request.input)
        told = await self.service.remember(await self.service.find_previous(request), items)
        chat = build_chat_request(request, told, len(told) - len(items))
        if item.user_id is not None:
            chat.body["user"] = item.user_id
        builder = ResponseBuilder(item.response_id, request, item.created_at, _FIRST_TOLD)
        recorder = EventRecorder(self._responses, item) if request.stream else None
        if recorder is not None:
            await self._require_untold(item)
        made = ResponseInWork(builder, await self.service.chat.prepare(chat), item)
        return await self._run_watched(made, item, recorder)

    async def _require_untold(self, item: ResponseItem) -> None:
        """Refuse to begin a stream anew of which a part was told.

        Raises:
            AnswerToldInPartError: One was.
        """
        if await self._responses.read_events(item.response_id, _FIRST_TOLD - 1) is not None:
            raise AnswerToldInPartError

    async def _run_watched(
        self, made: ResponseInWork, item: ResponseItem, recorder: EventRecorder | None
    ) -> ResponseItem:
        working = spawn(self._make(made, item, recorder))
        watching = spawn(self._watch(item, recorder))
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            return await (working if working.done() else watching)
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.wait({working, watching})

    async def _watch(self, item: ResponseItem, recorder: EventRecorder | None) -> ResponseItem:
        """Store the events that wait, from time to time; return the response once somebody has ended it."""
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            try:
                if recorder is not None:
                    await recorder.flush()
                stored = await self._responses.read(str(item.response_id))
            except ResponseNotFoundError:
                return item.model_copy(update={"status": ResponseStatus.CANCELLED})
            except APIError as error:
                _logger.warning("A response was not looked at", extra={"error": type(error).__name__})
                continue
            if stored.status.is_over:
                return stored

    async def _make(
        self, made: ResponseInWork, item: ResponseItem, recorder: EventRecorder | None
    ) -> ResponseItem:
        builder = made.builder
        if recorder is None:
            made.completion = await made.call.complete()
            builder.take_completion(made.completion.answer or {})
        else:
            try:
                await self._make_parts(made, recorder)
            except APIError as error:
                if builder.output:
                    raise AnswerToldInPartError(error.message) from error
                raise
        assert made.completion is not None  # noqa: S101  # a stream without one has raised
        usage = made.completion.usage
        last = builder.complete(usage, int(self._clock.now().timestamp()))
        if recorder is not None:
            await recorder.add(last[:-1])  # followers read the last one out of the stored response
            await recorder.flush()
        return await store_end(self._responses, item, builder, usage)

    async def _make_parts(self, made: ResponseInWork, recorder: EventRecorder) -> None:
        async with made.call.stream() as answer:
            await recorder.add(made.builder.start())
            async with aclosing(read_events(answer, made)) as events:
                async for event in events:
                    await recorder.add([event])

    async def _fail(self, item: ResponseItem, code: str, message: str) -> ResponseItem:
        fault = ResponseFault(code=code, message=message)
        return await self._responses.end(item, ResponseEnd(status=ResponseStatus.FAILED, error=fault))


class AnswerToldInPartError(DependencyUnavailableError):
    """A stream broke off after a part of it was told: it cannot be begun anew."""

    def __init__(self, reason: str = "its worker died") -> None:
        super().__init__("The answer", f"broke off in its midst: {reason}")


def _explain(error: APIError) -> str:
    """Say for what reason a response has failed for good."""
    return (
        f"{error.message} ({LONGEST_WAIT_TEXT})" if isinstance(error, BudgetExceededError) else error.message
    )


def _end(item: ResponseItem | None) -> JobEnd[ResponseOutcome]:
    """Return the end of a job by what has become of its response; no message tells of it."""
    status = ResponseStatus.CANCELLED if item is None else item.status
    error = None if item is None or item.error is None else item.error.message
    return JobEnd(
        _ENDS.get(status, JobStatus.CANCELLED),
        None,
        ResponseOutcome(status=status),
        error,
        *(() if item is None or item.usage is None else (item.usage,)),
    )
