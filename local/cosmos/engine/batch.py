"""Transactional batches: up to 100 operations on one partition, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from local.cosmos.engine import charges
from local.cosmos.engine.items import UNCONDITIONAL, Conditions, Items, Outcome, checked_id
from local.cosmos.engine.patch import parse_patch
from local.cosmos.errors import CosmosError, bad_request, too_large, unsupported

if TYPE_CHECKING:
    from local.cosmos.engine.catalog import Container
    from local.cosmos.engine.partition import PartitionKey
    from local.cosmos.storage.database import Database
    from local.cosmos.values import Json, JsonObject

MAX_OPERATIONS: Final = 100
MAX_BYTES: Final = 2 * 1024 * 1024


type Entry = dict[str, object]
"""What became of one operation, ready to be written as JSON."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The status of the whole and one entry per operation."""

    status: int
    entries: list[Entry]
    charge: float


class Batches:
    """Runs batches."""

    def __init__(self, store: Database, items: Items) -> None:
        self._store = store
        self._items = items

    def run(
        self, container: Container, key: PartitionKey, body: bytes, *, minimal: bool = False
    ) -> BatchAnswer:
        """Run a batch; a failing operation is told by its entry's status, and changes nothing.

        Args:
            container: Where the partition is.
            key: The partition.
            body: The operations as JSON.
            minimal: Whether the answer leaves out what was written; what was read is in it all the same.

        Raises:
            CosmosError: 400 or 413 where the batch as a whole is malformed or too large.
        """
        if len(body) > MAX_BYTES:
            raise too_large()
        try:
            operations: Json = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"The batch is no JSON: {error}") from error
        if not isinstance(operations, list) or not operations:
            raise bad_request("The batch has no operations.")
        if len(operations) > MAX_OPERATIONS:
            raise bad_request("Batch request has more operations than what is supported.")
        outcomes: list[Outcome] = []
        try:
            with self._store.transaction():
                for operation in operations:
                    outcomes.append(self._run(container, key, operation))  # noqa: PERF401 - it tells how far
        except CosmosError as error:
            return _failed(len(outcomes), error, len(operations))
        entries = [
            _entry(outcome, body=not minimal or _reads(operation))
            for outcome, operation in zip(outcomes, operations, strict=True)
        ]
        return BatchAnswer(200, entries, sum(one.charge for one in outcomes))

    def _run(self, container: Container, key: PartitionKey, operation: Json) -> Outcome:
        if not isinstance(operation, dict):
            raise bad_request("A batch operation has to be an object.")
        conditions = UNCONDITIONAL
        if "ifMatch" in operation or "ifNoneMatch" in operation:
            conditions = Conditions(_text(operation, "ifMatch"), _text(operation, "ifNoneMatch"))
        match operation.get("operationType"):
            case "Create":
                return self._items.create(container, key, _body(operation))
            case "Upsert":
                return self._items.upsert(container, key, _body(operation), conditions)
            case "Replace":
                return self._items.replace(container, key, _id(operation), _body(operation), conditions)
            case "Patch":
                patch = parse_patch(operation.get("resourceBody"))
                return self._items.patch(container, key, _id(operation), patch, conditions)
            case "Read":
                return self._read(container, key, _id(operation), conditions)
            case "Delete":
                return self._items.delete(container, key, _id(operation), conditions)
            case other:
                raise unsupported(f"The batch operation {other!r}")

    def _read(self, container: Container, key: PartitionKey, item_id: str, conditions: Conditions) -> Outcome:
        try:
            return self._items.read(container, key, item_id, conditions)
        except CosmosError as error:
            if error.status == 304:  # noqa: PLR2004 - a read of what the caller has already fails no batch
                return Outcome(304, None, charges.read(0))
            raise


def _reads(operation: Json) -> bool:
    return isinstance(operation, dict) and operation.get("operationType") == "Read"


def _text(operation: JsonObject, name: str) -> str | None:
    value = operation.get(name)
    return value if isinstance(value, str) else None


def _id(operation: JsonObject) -> str:
    return checked_id(operation.get("id"))


def _body(operation: JsonObject) -> JsonObject:
    body = operation.get("resourceBody")
    if not isinstance(body, dict):
        raise bad_request("The batch operation has no resourceBody.")
    return body


def _entry(outcome: Outcome, *, body: bool) -> Entry:
    entry: Entry = {"statusCode": outcome.status, "requestCharge": outcome.charge}
    if outcome.row is not None:
        entry["eTag"] = outcome.row.etag
        if body:
            entry["resourceBody"] = orjson.Fragment(outcome.row.body)  # as it is stored: it is JSON already
    return entry


def _failed(position: int, error: CosmosError, count: int) -> BatchAnswer:
    entries: list[Entry] = [{"statusCode": 424, "requestCharge": 0} for _ in range(count)]
    charge = charges.create(0)
    cause: JsonObject = {"statusCode": error.status, "requestCharge": charge}
    if error.substatus:
        cause["subStatusCode"] = error.substatus
    if error.retry_after_ms is not None:
        cause["retryAfterMilliseconds"] = error.retry_after_ms
    entries[position] = {**cause, "message": error.message}
    return BatchAnswer(207, entries, charge)
