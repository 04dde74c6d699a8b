"""Faults on demand: errors, delays and dropped connections for requests that match a rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

from local.cosmos.errors import CosmosError, bad_request

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject

type Operation = Literal[
    "account",
    "database",
    "container",
    "read",
    "create",
    "upsert",
    "replace",
    "patch",
    "delete",
    "batch",
    "query",
    "list",
    "change_feed",
    "partition_delete",
    "pkranges",
    "offer",
]
OPERATIONS: Final[tuple[str, ...]] = get_args(Operation.__value__)
FAULT_STATUSES: Final = (400, 401, 403, 404, 408, 409, 410, 412, 413, 429, 449, 500, 503)
_MESSAGES: Final[dict[int, str]] = {
    408: "Request timed out (a fault that was asked for).",
    429: "Request rate is large (a fault that was asked for).",
    503: "Service is currently unavailable (a fault that was asked for).",
}


@dataclass(slots=True)
class FaultRule:
    """One rule.

    Args:
        operation: Which operation, None for every one.
        container: Which container, "database/container", None for every one.
        status: The status to answer with.
        substatus: Its sub-status.
        retry_after_ms: What a throttled client is told to wait.
        delay_ms: How long to wait before anything else.
        drop: Whether to cut the connection instead of answering.
        after: Whether the operation takes effect before the fault hides its answer.
        skip: How many matching requests pass first.
        count: How many are hit, None for all.
    """

    operation: str | None = None
    container: str | None = None
    status: int | None = None
    substatus: int = 0
    retry_after_ms: int | None = None
    delay_ms: int = 0
    drop: bool = False
    after: bool = False
    skip: int = 0
    count: int | None = 1
    hits: int = field(default=0, init=False)

    def matches(self, operation: str, container: str | None) -> bool:
        """Tell whether a request is one of those that the rule is about."""
        return self.operation in {None, operation} and self.container in {None, container}

    def take(self) -> bool:
        """Count a matching request and tell whether it is hit."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None and self.hits >= self.count:
            return False
        self.hits += 1
        return True

    def error(self) -> CosmosError | None:
        """Build the error that the rule answers with."""
        if self.status is None:
            return None
        message = _MESSAGES.get(self.status, "A fault that was asked for.")
        return CosmosError(self.status, message, substatus=self.substatus, retry_after_ms=self.retry_after_ms)


class Faults:
    """The rules in force; the first one that hits a request decides."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        """Put a rule into force."""
        self._rules.append(rule)

    def clear(self) -> None:
        """Take all rules back."""
        self._rules.clear()

    def rules(self) -> list[FaultRule]:
        """List the rules."""
        return list(self._rules)

    def hit(self, operation: str, container: str | None) -> FaultRule | None:
        """Give the rule that hits a request."""
        for rule in self._rules:
            if rule.matches(operation, container) and rule.take():
                return rule
        return None


def parse_rule(body: JsonObject) -> FaultRule:
    """Read a rule.

    Raises:
        CosmosError: 400 that names what is wrong with it.
    """
    known = {name for name in FaultRule.__dataclass_fields__ if name != "hits"}
    for name in body:
        if name not in known:
            raise bad_request(f"A fault has no field {name!r}; it has {', '.join(sorted(known))}.")
    operation = body.get("operation")
    if operation is not None and operation not in OPERATIONS:
        raise bad_request(f"There is no operation {operation!r}; there are {', '.join(OPERATIONS)}.")
    status = _number(body, "status")
    if status is not None and status not in FAULT_STATUSES:
        raise bad_request(f"A fault cannot answer {status}; it can {', '.join(map(str, FAULT_STATUSES))}.")
    rule = FaultRule(
        operation=None if operation is None else str(operation),
        container=_text(body, "container"),
        status=status,
        substatus=_number(body, "substatus") or 0,
        retry_after_ms=_number(body, "retry_after_ms"),
        delay_ms=_number(body, "delay_ms") or 0,
        drop=_flag(body, "drop"),
        after=_flag(body, "after"),
        skip=_number(body, "skip") or 0,
        count=_number(body, "count") if "count" in body else 1,
    )
    if rule.status is None and not rule.drop and not rule.delay_ms:
        raise bad_request("A fault needs a status, a delay_ms or drop.")
    return rule


def _number(body: JsonObject, name: str) -> int | None:
    value: Json = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise bad_request(f"The fault's {name} has to be a whole number.")
    return value


def _text(body: JsonObject, name: str) -> str | None:
    value: Json = body.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"The fault's {name} has to be a string.")
    return value


def _flag(body: JsonObject, name: str) -> bool:
    value: Json = body.get(name, False)
    if not isinstance(value, bool):
        raise bad_request(f"The fault's {name} has to be true or false.")
    return value
