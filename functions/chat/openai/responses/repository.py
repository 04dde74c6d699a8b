"""A tenant's responses in Cosmos, among its conversations: one item for each, one for its input.

A response is stored before the model is paid, and its answer before that is given. Nothing counts the
responses of a conversation: a response's id says where it stands, so the store itself refuses a second one in
the same place, which then begins a branch of its own (docs/adr/0054-responses.md).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from functions.chat.conversations.retention import end_of, is_over, seconds_left
from functions.chat.openai.responses.errors import (
    OperationReusedError,
    PreviousResponseError,
    ResponseNotFoundError,
)
from functions.chat.openai.responses.response_ids import ResponseId, new_branch
from functions.chat.openai.responses.stored_models import (
    BOT_ID,
    BranchPart,
    ResponseEventsItem,
    ResponseInputItem,
    ResponseItem,
    ResponseStatus,
    ResponseTrace,
    events_id,
    input_id,
    item_id,
)
from shared.cosmos.container import (
    BatchFailedError,
    BatchFailure,
    BatchOperation,
    ItemChangedError,
    Patch,
    PatchOperation,
    Query,
)
from shared.cosmos.partition import Partition
from shared.cosmos.queries import select
from shared.errors import DependencyUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.chat.openai.responses.stored_models import ResponseFault
    from shared.clock import Clock
    from shared.contracts import Usage
    from shared.cosmos.container import Container
    from shared.errors import JsonValue
    from shared.tenancy.context import TenantContext

MOST_BEFORE = 1_000
"""The most responses that one can have before it: their texts are all told to the model."""

MOST_BYTES_BEFORE = 4 * 1024 * 1024
"""The most bytes of them: more than any model's context."""

MOST_BRANCHINGS = 50
_MOST_ATTEMPTS = 4
_NOT_OVER = f"c.status IN ('{ResponseStatus.QUEUED}', '{ResponseStatus.IN_PROGRESS}')"
_NOT_OVER_OR_FAILED = f"({_NOT_OVER} OR c.status = '{ResponseStatus.FAILED}')"
_NOT_DELETED = f"c.status != '{ResponseStatus.DELETED}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewResponse:
    """A response that is about to be stored.

    Attributes:
        request: The request, without its input.
        user_id: The user whom it is made for.
        operation_id: The id that the caller's Idempotency-Key stands for.
        previous: The response that it goes on with.
        status: The stage that it begins in.
        lease_until: Until when its worker may be alive, in seconds of Unix time; 0 where it has none yet.
        retention_days: The days for which it is kept; None for ever.
    """

    request: dict[str, JsonValue]
    user_id: str | None = None
    operation_id: str | None = None
    previous: ResponseItem | None = None
    status: ResponseStatus = ResponseStatus.IN_PROGRESS
    lease_until: float = 0
    retention_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseEnd:
    """The end of a response.

    Attributes:
        status: How it ended.
        output: The items that the model gave.
        usage: What they took, where it is known.
        incomplete_reason: The reason for which it is not whole.
        error: The reason for which it failed.
        completed_at: When it was whole, in seconds of Unix time.
    """

    status: ResponseStatus
    output: Sequence[JsonValue] = ()
    usage: Usage | None = None
    incomplete_reason: str | None = None
    error: ResponseFault | None = None
    completed_at: int | None = None


class ResponseRepository:
    """The responses of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._tenant = tenant
        self._container = container
        self._clock = clock

    async def create(self, new: NewResponse, items: Sequence[JsonValue]) -> tuple[ResponseItem, bool]:
        """Store a response with its input; tell whether it is new, or one of the same operation was there.

        Args:
            new: The response.
            items: Its input, of which each item gets its id.

        Raises:
            OperationReusedError: The one that was there answers another request.
            PreviousResponseError: Too many branches lead to it.
            DependencyUnavailableError: Others take its place all the while.
        """
        is_named = new.operation_id is not None
        new = replace(new, operation_id=new.operation_id or uuid.uuid4().hex)
        place = self._find_place(new)
        path = () if new.previous is None else new.previous.path
        for _ in range(_MOST_ATTEMPTS):
            item = self._make_item(new, place, path)
            if await self._create(item, items):
                return item, True
            stored = await self._at(place).read(ResponseItem, item_id(place))
            if stored is not None and stored.operation_id == new.operation_id:
                if is_named and not await self._answers(stored, new, items):
                    raise OperationReusedError
                return stored, not is_named  # by a repeated request, or only the answer to ours was lost
            if new.previous is None:
                place = ResponseId.new()
                continue
            place, path = self._branch_off(new, new.previous, place)
        raise DependencyUnavailableError("The conversation", "is being continued by others", retry_after=1.0)

    async def read(self, response_id: str) -> ResponseItem:
        """Return a response.

        Raises:
            ResponseNotFoundError: This tenant, or user, has none of this id.
        """
        place = ResponseId.parse(response_id)
        found = None if place is None else await self._at(place).read(ResponseItem, item_id(place))
        if found is None or found.status is ResponseStatus.DELETED or not self._tenant.sees(found.user_id):
            raise ResponseNotFoundError(response_id)
        if is_over(found.expires_at, self._clock):
            raise ResponseNotFoundError(response_id)
        return found

    async def read_input(self, response: ResponseId) -> Sequence[JsonValue]:
        """Return the input of a response that may be seen."""
        found = await self._at(response).read(ResponseInputItem, input_id(response))
        return [] if found is None else found.input

    async def read_history(self, last: ResponseItem) -> list[JsonValue]:
        """Return the items of a response and of all that lead to it, the oldest first.

        What was deleted, or has expired, is not among them.

        Raises:
            PreviousResponseError: They are more than any model takes.
        """
        parts = [*last.path, BranchPart(branch=last.branch, depth=last.depth)]
        conditions: list[str] = []
        parameters: dict[str, JsonValue] = {}
        below = 0
        for number, part in enumerate(parts):
            conditions.append(
                f"(c.branch = @branch{number} AND c.depth > @from{number} AND c.depth <= @to{number})"
            )
            parameters |= {
                f"@branch{number}": part.branch,
                f"@from{number}": below,
                f"@to{number}": part.depth,
            }
            below = part.depth
        text = select(
            ResponseTrace,
            where=f"({' OR '.join(conditions)}) AND c.kind IN ('response', 'input')",
            order_by="c.depth DESC",
        )
        most = 2 * MOST_BEFORE + 1
        query = Query(text, parameters, most, MOST_BYTES_BEFORE)
        found = await self._at(last.response_id).query(ResponseTrace, query)
        if len(found) == most or (found and found[-1].depth > 1 and _weigh(found) >= MOST_BYTES_BEFORE):
            raise PreviousResponseError(
                str(last.response_id), "has more before it than a model takes", "context_length_exceeded"
            )
        kept = [trace for trace in found if not is_over(trace.expires_at, self._clock)]
        kept.sort(key=lambda trace: (trace.depth, trace.kind == "response"))
        return [item for trace in kept for item in (*trace.input, *trace.output)]

    async def take_over(self, response: ResponseItem, lease_until: float) -> ResponseItem:
        """Begin a response anew whose worker died.

        Raises:
            ItemChangedError: It is over, or somebody else has begun it anew.
        """
        changes = (
            PatchOperation("set", "/status", ResponseStatus.IN_PROGRESS),
            PatchOperation("set", "/lease_until", lease_until),
        )
        patch = Patch(changes, etag=response.etag)
        return await self._at(response.response_id).patch(ResponseItem, response.id, patch)

    async def move(self, response: ResponseItem, status: ResponseStatus) -> ResponseItem:
        """Note that a response is being made, one that had failed too, or that it waits again.

        Raises:
            ItemChangedError: It is over otherwise.
        """
        changes = (PatchOperation("set", "/status", status), PatchOperation("set", "/error", None))
        return await self._at(response.response_id).patch(
            ResponseItem, response.id, Patch(changes, _NOT_OVER_OR_FAILED)
        )

    async def end(self, response: ResponseItem, end: ResponseEnd) -> ResponseItem:
        """Store the end of a response; where it has ended otherwise, return it as it is.

        Raises:
            ResponseNotFoundError: It was deleted meanwhile, with its whole tenant.
            PayloadTooLargeError: Its output is larger than what is stored.
        """
        values: dict[str, JsonValue] = {
            "status": end.status,
            "output": list(end.output),
            "usage": None if end.usage is None else end.usage.model_dump(),
            "incomplete_reason": end.incomplete_reason,
            "error": None if end.error is None else end.error.model_dump(),
            "completed_at": end.completed_at,
            "ttl": seconds_left(response.expires_at, self._clock),
        }
        changes = tuple(PatchOperation("set", f"/{name}", value) for name, value in values.items())
        own = self._at(response.response_id)
        try:
            return await own.patch(ResponseItem, response.id, Patch(changes, _NOT_OVER))
        except ItemChangedError:
            stored = await own.read(ResponseItem, response.id)
        if stored is None:
            raise ResponseNotFoundError(str(response.response_id))
        return stored

    async def forget(self, response: ResponseItem) -> None:
        """Remove a response of which nobody knows, with its place: the next one may have that."""
        own = self._at(response.response_id)
        await own.batch(
            [BatchOperation("delete", response.id), BatchOperation("delete", input_id(response.response_id))],
            minimal=True,
        )

    async def delete(self, response: ResponseItem) -> None:
        """Remove all of a response but its place.

        Raises:
            ResponseNotFoundError: Somebody else has removed it.
        """
        own = self._at(response.response_id)
        values: dict[str, JsonValue] = {
            "status": ResponseStatus.DELETED,
            "request": {},
            "output": [],
            "usage": None,
            "error": None,
            "operation_id": None,
            "ttl": seconds_left(response.expires_at, self._clock),
        }
        changes = tuple(PatchOperation("set", f"/{name}", value) for name, value in values.items())
        try:
            await own.patch(ResponseItem, response.id, Patch(changes, _NOT_DELETED))
        except ItemChangedError as error:
            raise ResponseNotFoundError(str(response.response_id)) from error
        await own.delete(input_id(response.response_id))
        first = 0
        while (found := await self.read_events(response.response_id, first - 1)) is not None:
            await own.delete(found.id)
            first = found.last + 1

    async def add_events(self, response: ResponseItem, events: Sequence[JsonValue], first: int) -> None:
        """Store events of a stream; the same ones twice are there once."""
        place = response.response_id
        item = ResponseEventsItem(
            id=events_id(place, first),
            conversation_id=place.conversation,
            branch=place.branch,
            depth=place.depth,
            expires_at=response.expires_at,
            ttl=seconds_left(response.expires_at, self._clock),
            first=first,
            last=first + len(events) - 1,
            events=list(events),
        )
        await self._at(place).upsert(item)

    async def read_events(self, response: ResponseId, after: int) -> ResponseEventsItem | None:
        """Return the first stored events that have one after a number; None where there is none."""
        text = select(
            ResponseEventsItem,
            where="c.kind = 'events' AND c.branch = @branch AND c.depth = @depth AND c.last > @after",
            order_by="c.first",
        )
        parameters: dict[str, JsonValue] = {
            "@branch": response.branch,
            "@depth": response.depth,
            "@after": after,
        }
        found = await self._at(response).query(ResponseEventsItem, Query(text, parameters, 1))
        return found[0] if found else None

    async def read_last_events(self, response: ResponseId) -> ResponseEventsItem | None:
        """Return the stored events with the highest numbers; None where there is none."""
        text = select(
            ResponseEventsItem,
            where="c.kind = 'events' AND c.branch = @branch AND c.depth = @depth",
            order_by="c.first DESC",
        )
        parameters: dict[str, JsonValue] = {"@branch": response.branch, "@depth": response.depth}
        found = await self._at(response).query(ResponseEventsItem, Query(text, parameters, 1))
        return found[0] if found else None

    def _find_place(self, new: NewResponse) -> ResponseId:
        if new.previous is None:
            return ResponseId.new(new.operation_id)
        return new.previous.response_id.next_on(new.previous.branch)

    def _branch_off(
        self, new: NewResponse, previous: ResponseItem, taken: ResponseId
    ) -> tuple[ResponseId, tuple[BranchPart, ...]]:
        """Return a place on a branch of its own, and the path to it."""
        is_first = taken.branch == previous.branch
        path = (*previous.path, BranchPart(branch=previous.branch, depth=previous.depth))
        if len(path) > MOST_BRANCHINGS:
            raise PreviousResponseError(
                str(previous.response_id), f"has {MOST_BRANCHINGS} branches before it: no more lead to one"
            )
        branch = new_branch(new.operation_id if is_first else None)
        return previous.response_id.next_on(branch), path

    def _make_item(self, new: NewResponse, place: ResponseId, path: tuple[BranchPart, ...]) -> ResponseItem:
        now = self._clock.now()
        expires_at = end_of(now, new.retention_days)
        return ResponseItem(
            id=item_id(place),
            conversation_id=place.conversation,
            branch=place.branch,
            depth=place.depth,
            expires_at=expires_at,
            ttl=seconds_left(expires_at, self._clock),
            path=path,
            user_id=new.user_id,
            operation_id=new.operation_id,
            request=new.request,
            status=new.status,
            lease_until=new.lease_until,
            created_at=int(now.timestamp()),
        )

    async def _create(self, item: ResponseItem, items: Sequence[JsonValue]) -> bool:
        """Store a response and its input, unless its place is taken; tell whether it was free."""
        place = item.response_id
        content = ResponseInputItem(
            id=input_id(place),
            conversation_id=place.conversation,
            branch=place.branch,
            depth=place.depth,
            expires_at=item.expires_at,
            ttl=item.ttl,
            input=name_items(items, place),
        )
        own = self._at(place)
        try:
            await own.batch([own.creating(item), own.creating(content)], minimal=True)
        except BatchFailedError as error:
            if error.reason is not BatchFailure.EXISTS:
                raise
            return False
        return True

    async def _answers(self, stored: ResponseItem, new: NewResponse, items: Sequence[JsonValue]) -> bool:
        """Tell whether a stored response is that of a request: the edge forgets a key within a day."""
        place = stored.response_id
        return stored.request == new.request and await self.read_input(place) == name_items(items, place)

    def _at(self, place: ResponseId) -> Partition:
        return Partition.of(self._tenant, self._container, BOT_ID, place.conversation)


def name_items(items: Sequence[JsonValue], place: ResponseId) -> list[JsonValue]:
    """Give each item of an input its id."""
    prefixes = {"function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
    named: list[JsonValue] = []
    for index, item in enumerate(items):
        fields = dict(item) if isinstance(item, dict) else {}
        prefix = prefixes.get(str(fields.get("type")), "msg")
        named.append(fields | {"id": place.input_item(prefix, index)})
    return named


def _weigh(traces: Sequence[ResponseTrace]) -> int:
    return sum(len(trace.model_dump_json()) for trace in traces)
