"""azure-cosmos and the client of our own beside each other, each on an account of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError

from local.cosmos.engine.faults import parse_rule

if TYPE_CHECKING:
    import random

    from tests.support.memory_cosmos import MemoryCosmos

HEADERS = ("x-ms-request-charge", "x-ms-item-count", "x-ms-session-token", "lsn", "x-ms-content-path")
"""Headers of answers that have to be the same; of `etag` and `x-ms-continuation`, that they are there."""
IDS = ("a", "b", "c", "d", "e f", "ü")
KEYS = ("acme", "globex", "ä")
ONE_REQUEST = (
    *("create_item", "upsert_item", "replace_item", "patch_item", "delete_item", "execute_item_batch"),
    "read_item",
)
KINDS = (
    *ONE_REQUEST,
    *("query_items", "read_items", "read_all_items", "query_items_change_feed"),
)
QUERIES = (
    ("SELECT * FROM c", None),
    ("SELECT VALUE c.n FROM c ORDER BY c.n DESC", None),
    ("SELECT c.id, c.n FROM c WHERE c.n > @n", [{"name": "@n", "value": 3}]),
    ("SELECT VALUE COUNT(1) FROM c", None),
    ("SELECT DISTINCT VALUE c.n FROM c", None),
    ("SELECT TOP 2 * FROM c", None),
    ("SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 1 LIMIT 2", None),
    ("SELECT nonsense", None),
)

_HERE = {"container": "tenantry/prompts"}
"""A fault is an operation's: azure-cosmos reads the account's document every five minutes, beside them.

500 is not among them: where `read_all_items` gets one, azure-cosmos raises a `TypeError` of its own.
"""

FAULTS: tuple[dict[str, Any], ...] = (
    *[{"status": 429, "retry_after_ms": 1, **_HERE}, {"status": 503, **_HERE}] * 3,
    *({"status": status, **_HERE} for status in (408, 449)),
    {"loses": "requests"},
    {"loses": "answers"},
)


@dataclass
class Outcome:
    """What became of one operation."""

    result: Any
    headers: dict[str, str] = field(default_factory=dict)
    requests: int = 0


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Leave out what is drawn anew for each account."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items() if name not in {"_etag", "eTag"}}
    return [plain(one) for one in value] if isinstance(value, list) else value


class Side:
    """One client on its account.

    Args:
        cosmos: The account.
        own: Whether the client is our own.
    """

    def __init__(self, cosmos: MemoryCosmos, *, own: bool) -> None:
        self.cosmos = cosmos
        self._client: Any = cosmos.client if own else cosmos.sdk_client
        self._is_open = False
        self.container: Any = self._client.get_database_client("tenantry").get_container_client("prompts")
        self.etags: dict[tuple[str | None, str], str] = {}

    async def run(self, name: str, *arguments: object, **options: object) -> Outcome:
        """Do an operation; tell its result or its error, the headers, and the requests that it took."""
        if not self._is_open:  # without it azure-cosmos does not know the account's consistency
            await self._client.__aenter__()
            self._is_open = True
        before = self.cosmos.transport.requests
        heard: dict[str, str] = {}

        def hook(headers: Any, *_: object) -> None:  # noqa: ANN401 - either client's
            heard.clear()
            heard.update({one: headers[one] for one in HEADERS if one in headers})
            heard["etag"] = str("etag" in headers)
            heard["x-ms-continuation"] = str(bool(headers.get("x-ms-continuation")))

        result: Any
        try:
            if name in {"query_items", "read_all_items", "query_items_change_feed"}:
                pages = getattr(self.container, name)(*arguments, response_hook=hook, **options).by_page()
                result = [[one async for one in page] async for page in pages]
            else:
                result = await getattr(self.container, name)(*arguments, response_hook=hook, **options)
        except (AzureError, ValueError, TypeError) as error:
            numbers = (getattr(error, one, None) for one in ("status_code", "sub_status", "error_index"))
            heard = {}
            result = [type(error).__name__, *numbers]
        else:
            self._learn(result)
        return Outcome(plain(result), heard, self.cosmos.transport.requests - before)

    def _learn(self, result: Any) -> None:  # noqa: ANN401 - any JSON
        for one in result if isinstance(result, list) else [result]:
            if isinstance(one, dict) and "_etag" in one:
                self.etags[one.get("tenant_id"), one["id"]] = one["_etag"]

    def condition(self, key: str, item_id: str, kind: str) -> dict[str, object]:
        """Return the keywords of a condition: on the state that was seen last, a stale one, or on any."""
        match kind:
            case "seen" if (key, item_id) in self.etags:
                etag = self.etags[key, item_id]
                return {"etag": etag, "match_condition": MatchConditions.IfNotModified}
            case "stale":
                return {"etag": '"stale"', "match_condition": MatchConditions.IfNotModified}
            case "missing":
                return {"match_condition": MatchConditions.IfMissing}
            case "half":
                return {"etag": "e"}
            case _:
                return {}

    def fail(self, rule: dict[str, Any]) -> None:
        """Have the account fail once, or the connection: before the store has done it, or after."""
        if (lost := rule.get("loses")) is None:
            self.cosmos.account.faults.add(parse_rule(rule))
        else:
            setattr(self.cosmos.transport, f"lose_{lost}", 1)

    def heal(self) -> None:
        """Let nothing fail any more."""
        self.cosmos.account.faults.clear()
        self.cosmos.transport.lose_requests = self.cosmos.transport.lose_answers = 0


def merged(outcome: Outcome) -> list[Any]:
    """Leave out how several physical partitions were asked: how often, and in which pages."""
    result = outcome.result
    if isinstance(result, list) and all(isinstance(page, list) for page in result):
        return [one for page in result for one in page]
    return [result]


class Operation:
    """An operation that was drawn, to be done on each side.

    Args:
        dice: Draws it.
    """

    def __init__(self, dice: random.Random) -> None:
        self.key, self.item_id = dice.choice(KEYS), dice.choice(IDS)
        self.kind = dice.choice(KINDS)
        self.condition = dice.choice(["", "", "seen", "stale", "missing", "half"])
        self.body = {
            "id": self.item_id,
            "tenant_id": self.key,
            "n": dice.randrange(9),
            "t": dice.choice("xyü"),
        }
        self.options: dict[str, object] = dice.choice([{}, {}, {"no_response": True}, {"priority": "Low"}])
        self.predicate = dice.choice([None, None, "from c where c.n < 5", "from c where broken"])
        self.patches = [
            {"op": "set", "path": "/t", "value": dice.choice([None, 1.5, "z", [1]])},
            {"op": "incr", "path": "/n", "value": 1},
            {"op": "remove", "path": dice.choice(["/t", "/missing"])},
        ][: dice.randrange(1, 4)]
        self.query = dice.choice(QUERIES)
        self.scope = dice.choice([{"partition_key": self.key}, {}])
        self.page = dice.choice([1, 2, 100])
        self.several = [(dice.choice(IDS), dice.choice(KEYS)) for _ in range(dice.randrange(4))]
        self.steps = [
            dice.choice(["create", "upsert", "replace", "read", "delete", "patch"])
            for _ in range(dice.randrange(1, 5))
        ]
        self.fault = dice.choice([*[None] * 36, *FAULTS])

    async def run(self, side: Side) -> Outcome:
        """Do it."""
        if self.fault is not None:
            side.fail(dict(self.fault))
        condition = side.condition(self.key, self.item_id, self.condition)
        arguments, options = self._write(condition) or self._read(condition)
        outcome = await side.run(self.kind, *arguments, **options)
        side.heal()
        return outcome

    def _write(self, condition: dict[str, object]) -> tuple[list[Any], dict[str, Any]] | None:
        conditional = self.options | condition
        match self.kind:
            case "create_item" | "upsert_item":
                return [self.body], conditional if self.kind == "upsert_item" else self.options
            case "replace_item":
                return [self.item_id, self.body], conditional
            case "patch_item":
                predicate = {} if self.predicate is None else {"filter_predicate": self.predicate}
                return [self.item_id, self.key, self.patches], conditional | predicate
            case "delete_item":
                return [self.item_id, self.key], condition
            case "execute_item_batch":
                return [[self._step(one) for one in self.steps], self.key], {}
            case _:
                return None

    def _read(self, condition: dict[str, object]) -> tuple[list[Any], dict[str, Any]]:
        page = {"max_item_count": self.page}
        match self.kind:
            case "read_item":
                return [self.item_id, self.key], condition
            case "read_items":
                return [list(dict(self.several).items())], {}
            case "query_items":
                text, parameters = self.query
                given = {} if parameters is None else {"parameters": parameters}
                return [text], page | given | self.scope
            case "read_all_items":
                return [], page
            case _:
                return [], page | {"start_time": "Beginning"} | self.scope

    def _step(self, kind: str) -> tuple[str, tuple[Any, ...]]:
        match kind:
            case "create" | "upsert":
                return kind, (self.body,)
            case "replace":
                return kind, (self.item_id, self.body)
            case "patch":
                return kind, (self.item_id, self.patches)
            case _:
                return kind, (self.item_id,)

    def __repr__(self) -> str:
        return repr(vars(self))
