"""The routes below a container: items, batches, queries, change feed, delete by partition key."""

from __future__ import annotations

import calendar
import time
from typing import TYPE_CHECKING, Final

import orjson

from local.cosmos.engine.feeds import DEFAULT_PAGE, LARGEST_PAGE, FeedPage, FeedRequest
from local.cosmos.engine.indexed_search import Scope
from local.cosmos.engine.items import MAX_ITEM_BYTES, UNCONDITIONAL, Conditions, Outcome
from local.cosmos.engine.partition import EVERYTHING, EpkRange
from local.cosmos.engine.patch import parse_patch
from local.cosmos.errors import CosmosError, SubStatus, bad_request, not_found, too_large, unsupported
from local.cosmos.values import LARGEST_NUMBER
from local.cosmos.wire.messages import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.cosmos.engine.account import Account
    from local.cosmos.engine.catalog import Container
    from local.cosmos.engine.partition import PartitionKey
    from local.cosmos.values import Json, Value
    from local.cosmos.wire.messages import Request

_KEY_HEADER: Final = "x-ms-documentdb-partitionkey"
_RANGE_HEADER: Final = "x-ms-documentdb-partitionkeyrangeid"
_TRIGGERS: Final = ("x-ms-documentdb-pre-trigger-include", "x-ms-documentdb-post-trigger-include")
_HIGHEST: Final = b"\xff"


class ItemRoutes:
    """Answers requests on one container's items."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def operation(self, request: Request, tail: list[str]) -> str:
        """Name what a request asks for, as fault rules name it."""
        if tail[:1] == ["operations"]:
            return "partition_delete"
        if len(tail) > 1:
            return {"GET": "read", "PUT": "replace", "PATCH": "patch", "DELETE": "delete"}.get(
                request.method, "read"
            )
        if request.method == "GET":
            return "change_feed" if "a-im" in request.headers else "list"
        if request.flag("x-ms-cosmos-is-batch-request"):
            return "batch"
        if _is_query(request):
            return "query"
        return "upsert" if request.flag("x-ms-documentdb-is-upsert") else "create"

    def id_of(self, request: Request, container: Container, rid: str) -> str:
        """Give the id of an item that is addressed by its resource id.

        Raises:
            CosmosError: 404 where there is none, or where it lies in another partition than the request says.
        """
        key = _required_key(request, container)
        row = self._account.items.find_by_rid(container, rid)
        if row is None or row.pk != key.canonical:
            raise not_found()
        return row.id

    def answer(self, request: Request, container: Container, tail: list[str]) -> Response:
        """Answer a request; `tail` is the path below the container."""
        _check_rid(request, container)
        for header in _TRIGGERS:
            if header in request.headers:
                raise unsupported("Running triggers")
        operation = self.operation(request, tail)
        if operation in {"read", "replace", "patch", "delete"}:
            return self._on_item(request, container, operation, tail[1])
        if operation in {"create", "upsert"}:
            return self._write(request, container, operation)
        answers = {
            "partition_delete": self._delete_partition,
            "list": self._list,
            "change_feed": self._change_feed,
            "batch": self._batch,
            "query": self._query,
        }
        return answers[operation](request, container)

    def session_token(self, answering: Iterable[str], container: Container) -> str:
        """Say how far the physical partitions have come that answer."""
        return ",".join(f"{name}:-1#{container.table.lsn}" for name in answering)

    def answering(self, request: Request, container: Container) -> Iterable[str]:
        """Give the physical partition that answers a request, or all of them where none is named."""
        ranges = container.ranges
        named = request.headers.get(_RANGE_HEADER, "").rpartition(",")[2]
        if len(ranges) == 1:
            return ranges
        if named in ranges:
            return [named]
        try:
            key = _optional_key(request, container)
        except CosmosError:  # a prefix of a key, or what has been refused already
            key = None
        return [name for name, epk_range in ranges.items() if key is None or epk_range.holds(key.epk)]

    def _on_item(self, request: Request, container: Container, operation: str, item_id: str) -> Response:
        items, key, conditions = self._account.items, _required_key(request, container), _conditions(request)
        if operation == "read":
            if request.method != "GET":
                raise CosmosError(405, f"The method {request.method} is not allowed on an item.")
            return _item_response(request, items.read(container, key, item_id, conditions))
        if operation == "delete":
            outcome = items.delete(container, key, item_id, conditions)
        elif operation == "patch":
            outcome = items.patch(container, key, item_id, parse_patch(request.json()), conditions)
        else:
            _check_size(request)
            outcome = items.replace(container, key, item_id, request.json_object(), conditions)
        return _item_response(request, outcome)

    def _write(self, request: Request, container: Container, operation: str) -> Response:
        items, key, item = self._account.items, _optional_key(request, container), request.json_object()
        if key is None and not container.policy.partition.hierarchical and _KEY_HEADER not in request.headers:
            raise bad_request("PartitionKey value must be supplied for this operation.")
        _check_size(request)
        if operation == "upsert":
            return _item_response(request, items.upsert(container, key, item, _conditions(request)))
        return _item_response(request, items.create(container, key, item))

    def _delete_partition(self, request: Request, container: Container) -> Response:
        if not request.path.rstrip("/").endswith("/partitionkeydelete") or request.method != "POST":
            raise unsupported(f"The operation {request.method} {request.path}")
        self._account.items.delete_partition(container, _required_key(request, container))
        return Response(200, charge=1.0)

    def _batch(self, request: Request, container: Container) -> Response:
        if not request.flag("x-ms-cosmos-batch-atomic"):
            raise unsupported("A batch that is not atomic (bulk)")
        key = _required_key(request, container)
        answer = self._account.batches.run(container, key, request.body, minimal=_wants_minimal(request))
        return Response(answer.status, orjson.dumps(answer.entries), {}, answer.charge)

    def _query(self, request: Request, container: Container) -> Response:
        text, parameters = parse_query_body(request)
        if request.flag("x-ms-cosmos-is-query-plan-request"):
            listed = request.headers.get("x-ms-cosmos-supported-query-features")
            features = None if listed is None else {feature.strip() for feature in listed.split(",")}
            plan = self._account.feeds.plan(container, text, parameters, features)
            return Response(200, orjson.dumps(plan), {}, 1.0)
        asked = FeedRequest(
            _scope(request, container), text, parameters, _page_size(request), _token(request)
        )
        page = self._account.feeds.query(container, asked)
        response = _feed_response(container, page)
        if request.flag("x-ms-documentdb-populatequerymetrics"):
            response.headers["x-ms-documentdb-query-metrics"] = (
                f"retrievedDocumentCount={page.looked_at};outputDocumentCount={len(page.results)}"
            )
        return response

    def _list(self, request: Request, container: Container) -> Response:
        asked = FeedRequest(_scope(request, container), most=_page_size(request), token=_token(request))
        return _feed_response(container, self._account.feeds.listing(container, asked))

    def _change_feed(self, request: Request, container: Container) -> Response:
        mode = request.headers["a-im"].lower()
        if mode not in {"incremental feed", "incremental"}:
            raise unsupported("The change feed mode AllVersionsAndDeletes")
        if (
            len(container.ranges) > 1
            and _KEY_HEADER not in request.headers
            and _RANGE_HEADER not in request.headers
        ):
            raise unsupported("The change feed over all partitions of a container that is split")
        cursor = request.headers.get("if-none-match")
        after = container.table.lsn if cursor == "*" else _parse_cursor(cursor)
        since = _parse_date(request.headers.get("if-modified-since"))
        changes = self._account.feeds.changes(
            container, _scope(request, container), after, since, _page_size(request)
        )
        headers = {"etag": f'"{changes.cursor}"', "x-ms-item-count": str(len(changes.results))}
        if not changes.results:
            return Response(304, b"", headers, changes.charge)
        return Response(200, _feed_body(container, changes.results), headers, changes.charge)


def parse_query_body(request: Request) -> tuple[str, tuple[tuple[str, Value], ...]]:
    """Read a query's text and parameters.

    Raises:
        CosmosError: 400 where the body is malformed.
    """
    if "application/sql" in request.headers.get("content-type", ""):
        return request.body.decode(errors="replace"), ()
    body = request.json_object()
    text, given = body.get("query"), body.get("parameters") or []
    if not isinstance(text, str) or not text.strip() or not isinstance(given, list):
        raise bad_request("The query body needs a query text, and a list of parameters if there are any.")
    return text, tuple(_parameter(entry) for entry in given)


def _parameter(entry: Json) -> tuple[str, Value]:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(name, str) or not name.startswith("@"):
        raise bad_request("Each parameter needs a name that begins with @, and a value.")
    return name, entry.get("value")


def _is_query(request: Request) -> bool:
    return (
        request.flag("x-ms-documentdb-isquery")
        or request.flag("x-ms-documentdb-query")
        or request.flag("x-ms-cosmos-is-query-plan-request")
        or "application/query+json" in request.headers.get("content-type", "")
    )


def _check_rid(request: Request, container: Container) -> None:
    wanted = request.headers.get("x-ms-cosmos-intended-collection-rid")
    if wanted is not None and wanted != container.rid:
        raise bad_request(
            "The container was deleted and created again: its resource id has changed.",
            SubStatus.COLLECTION_RID_MISMATCH,
        )


def _optional_key(request: Request, container: Container) -> PartitionKey | None:
    header = request.headers.get(_KEY_HEADER)
    if header is None:
        return None
    definition = container.policy.partition
    return definition.of_components(definition.parse_header(header))


def _required_key(request: Request, container: Container) -> PartitionKey:
    key = _optional_key(request, container)
    if key is None:
        raise bad_request("PartitionKey value must be supplied for this operation.")
    return key


def _conditions(request: Request) -> Conditions:
    if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if if_match is None and if_none_match is None:
        return UNCONDITIONAL
    return Conditions(if_match, if_none_match)


def _scope(request: Request, container: Container) -> Scope:
    """Read which items a feed may see; whatever narrows it is applied, whatever is unclear is refused."""
    headers, definition = request.headers, container.policy.partition
    range_id = headers.get(_RANGE_HEADER)
    epk_range = _epk_range(headers.get("x-ms-start-epk"), headers.get("x-ms-end-epk"))
    if range_id is not None:
        physical = container.ranges.get(range_id.rpartition(",")[2])
        if physical is None:
            raise CosmosError(410, f"The partition key range {range_id} does not exist.", substatus=1002)
        epk_range = epk_range.intersect(physical)
    everywhere = request.flag("x-ms-documentdb-query-enablecrosspartition") or range_id is not None
    header = headers.get(_KEY_HEADER)
    if header is None:
        return Scope(epk_range=epk_range, everywhere=everywhere)
    components = definition.parse_header(header)
    if len(components) < len(definition.paths):
        if len(container.ranges) > 1:
            raise bad_request("A prefix of the partition key names no one physical partition.")
        return Scope(
            epk_range=definition.prefix_range(components).intersect(epk_range), everywhere=everywhere
        )
    return Scope(definition.of_components(components), epk_range, everywhere)


def _epk_range(start: str | None, end: str | None) -> EpkRange:
    if start is None and end is None:
        return EVERYTHING
    try:
        low, high = bytes.fromhex(start or ""), bytes.fromhex(end or "")
    except ValueError as error:
        raise bad_request("The effective partition key range is malformed.") from error
    if end is not None and high == b"":
        raise bad_request("The effective partition key range is empty.")
    return EpkRange(low, None if end is None or high == _HIGHEST else high)


def _page_size(request: Request) -> int:
    header = request.headers.get("x-ms-max-item-count")
    if header is None:
        return DEFAULT_PAGE
    try:
        size = int(header)
    except ValueError:
        size = 0
    if size == -1:
        return LARGEST_PAGE
    if size <= 0:
        raise bad_request(f"The x-ms-max-item-count {header!r} is invalid.")
    return size


def _token(request: Request) -> str | None:
    return request.headers.get("x-ms-continuation") or None


def _parse_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    text = cursor.strip('"')
    if not text.isdecimal() or int(text) > LARGEST_NUMBER:
        raise bad_request(f"The change feed's continuation {cursor!r} is invalid.")
    return int(text)


def _parse_date(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return calendar.timegm(time.strptime(text, "%a, %d %b %Y %H:%M:%S GMT"))
    except ValueError as error:
        raise bad_request(f"The If-Modified-Since {text!r} is no date.") from error


def _check_size(request: Request) -> None:
    """Refuse an item that is too large as it was sent, however it would be written here."""
    if len(request.body) > MAX_ITEM_BYTES:
        raise too_large()


def _wants_minimal(request: Request) -> bool:
    return request.headers.get("prefer") == "return=minimal"


def _item_response(request: Request, outcome: Outcome) -> Response:
    if outcome.row is None:
        return Response(outcome.status, b"", {}, outcome.charge)
    headers = {"etag": outcome.row.etag}
    if request.method != "GET" and _wants_minimal(request):
        return Response(outcome.status, b"", headers, outcome.charge)
    return Response(outcome.status, outcome.row.body, headers, outcome.charge)


def _feed_body(container: Container, results: list[bytes]) -> bytes:
    joined = b",".join(results)
    return b'{"_rid":"%b","Documents":[%b],"_count":%d}' % (container.rid.encode(), joined, len(results))


def _feed_response(container: Container, page: FeedPage) -> Response:
    headers = {"x-ms-item-count": str(len(page.results))}
    if page.token is not None:
        headers["x-ms-continuation"] = page.token
    return Response(200, _feed_body(container, page.results), headers, page.charge)
