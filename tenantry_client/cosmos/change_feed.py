"""The change feed: pages of what has changed, from a place that can be kept.

The place is kept in the form of azure-cosmos's continuation tokens, version 2: each reads the other's.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenantry_client.cosmos.answers import ResponseHeaders
from tenantry_client.cosmos.exceptions import CosmosHttpResponseError
from tenantry_client.cosmos.feed_ranges import normalize, read_feed_range
from tenantry_client.cosmos.gateway import Request
from tenantry_client.cosmos.partition_key import KeyRange
from tenantry_client.cosmos.query_pages import FeedPage, documents_of
from tenantry_client.cosmos.request_options import header_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenantry_client.cosmos.answers import Answer
    from tenantry_client.cosmos.container_operations import ContainerState
    from tenantry_client.cosmos.request_options import Compiled

LATEST: Final = "LatestVersion"
ALL_VERSIONS: Final = "AllVersionsAndDeletes"
_MODES: Final = {
    LATEST: "a-im: Incremental Feed\r\n",
    ALL_VERSIONS: "a-im: Full-Fidelity Feed\r\nx-ms-cosmos-changefeed-wire-format-version: 2021-09-15\r\n",
}
_VERSION: Final = "v2"
_GONE: Final = 410
_NOT_CHANGED: Final = 304
_MOST_SPLITS: Final = 5
_OWN: Final = frozenset(
    {"start_time", "is_start_from_beginning", "partition_key", "feed_range", "continuation", "mode"}
)


class ChangeFeedPlace:
    """Place in the changes of a container.

    Attributes:
        start: Where reading began, as azure-cosmos writes it.
        mode: Which changes are wanted.
        scope: Whose changes, as azure-cosmos writes it.
        left: Ranges with the etag that each was read up to, the next one first.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        mode: str,
        scope: Mapping[str, Any],
        left: deque[tuple[KeyRange, str | None]],
    ) -> None:
        self.start = start
        self.mode = mode
        self.scope = scope
        self.left = left

    @classmethod
    def parse(cls, token: str, rid: str) -> ChangeFeedPlace:
        """Read a continuation token.

        Raises:
            ValueError: It is none, or another container's.
        """
        try:
            kept = orjson.loads(base64.b64decode(token, validate=True))
            parts = kept["continuation"]
            versions = {kept["v"], parts["v"]}
            scope = {name: parts[name] for name in ("Range", "PK") if name in parts}
            left = deque(
                (normalize(one["range"]), None if one["token"] is None else str(one["token"]))
                for one in parts["continuation"]
            )
            container, start, mode = kept["containerRid"], kept["startFrom"], kept["mode"]
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"Invalid continuation: no token of a change feed ({error})") from error
        if container != rid:
            raise ValueError("Invalid continuation: [Mismatch collection rid]")
        if not left or mode not in _MODES or versions != {_VERSION}:
            raise ValueError("Invalid continuation: no token of a change feed")
        return cls(start, mode, scope, left)

    def write(self, rid: str) -> str:
        """Write the continuation token."""
        parts = [
            {
                "token": etag,
                "range": {
                    "min": one.low,
                    "max": one.high,
                    "isMinInclusive": True,
                    "isMaxInclusive": False,
                },
            }
            for one, etag in self.left
        ]
        kept = {
            "v": _VERSION,
            "containerRid": rid,
            "mode": self.mode,
            "startFrom": self.start,
            "continuation": {"v": _VERSION, "rid": rid, "continuation": parts, **self.scope},
        }
        return base64.b64encode(orjson.dumps(kept)).decode()

    def first_head(self) -> str:
        """Return the header that says where a range begins that has not been read yet."""
        match self.start.get("Type"):
            case "Now":
                return "if-none-match: *\r\n"
            case "PointInTime":
                when = datetime.fromtimestamp(float(self.start["PointInTimeMs"]) / 1000, UTC)
                return header_line("if-modified-since", when.strftime("%a, %d %b %Y %H:%M:%S GMT"))
            case _:
                return ""


class ChangeFeed:
    """Pages of changes: each item at most once, at its latest change, in the order of each partition.

    It ends when no range has more; the token of its last page goes on from there at any later time.

    Args:
        state: The container.
        options: The caller's keywords.
        continuation: Where to begin; one in the keywords otherwise.

    Raises:
        ValueError: Keywords that exclude each other, or a mode or a time that there is not.
    """

    def __init__(
        self, state: ContainerState, options: Mapping[str, Any], continuation: str | None = None
    ) -> None:
        _check(options)
        plain = {name: value for name, value in options.items() if name not in _OWN}
        self._state = state
        self._options = options
        self._compiled: Compiled = state.compiler.of_read(plain)
        self._continuation = continuation or options.get("continuation")
        self._place: ChangeFeedPlace | None = None
        self.headers = ResponseHeaders()

    async def next(self) -> FeedPage | None:
        """Fetch a page that has changes; None where no range has any now."""
        facts = await self._state.facts(self._compiled.end)
        place = self._place or await self._begin()
        self._place = place
        first_empty: KeyRange | None = None
        while True:
            page, answer = await self._fetch(place)
            where, _ = place.left[0]
            place.left.rotate(-1)
            self.headers = page.headers
            token = place.write(facts.rid)
            self.headers["etag"] = token
            answer.raw_headers[b"etag"] = token.encode()  # `last_response_headers` tells it, too
            if self._compiled.hook is not None:
                self._compiled.hook(self.headers, {"Documents": page.results})
            if page.results:
                return page._replace(continuation=token)
            if first_empty is None:
                first_empty = where
            if place.left[0][0] == first_empty:
                return None

    async def _begin(self) -> ChangeFeedPlace:
        facts = await self._state.facts(self._compiled.end)
        options = self._options
        if self._continuation is not None:
            return ChangeFeedPlace.parse(self._continuation, facts.rid)
        feed_range, key = options.get("feed_range"), options.get("partition_key")
        scope: dict[str, Any]
        if feed_range is not None:
            wanted = read_feed_range(feed_range)
            scope = {"Range": dict(feed_range["Range"])}
        elif key is not None:
            wanted = facts.definition.range_of(key)
            wanted = wanted if wanted.low != wanted.high else normalize_key(wanted.low)
            scope = {"PK": orjson.loads(facts.definition.header_of(key))}
        else:
            wanted = KeyRange()
            scope = {"Range": {"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}}
        return ChangeFeedPlace(_start(options), options.get("mode") or LATEST, scope, deque([(wanted, None)]))

    async def _fetch(self, place: ChangeFeedPlace) -> tuple[FeedPage, Answer]:
        state = self._state
        for attempt in range(_MOST_SPLITS + 1):
            routing = await state.routing(self._compiled.end)
            wanted, etag = place.left[0]
            partitions = routing.within(wanted)
            if len(partitions) > 1:
                place.left.popleft()
                place.left.extendleft(
                    (KeyRange(max(wanted.low, one.range.low), min(wanted.high, one.range.high)), etag)
                    for one in reversed(partitions)
                )
                wanted, etag = place.left[0]
            head = _MODES[place.mode] + f"x-ms-documentdb-partitionkeyrangeid: {partitions[0].id}\r\n"
            if wanted != partitions[0].range:
                head += (
                    "x-ms-read-key-type: EffectivePartitionKeyRange\r\n"
                    f"x-ms-start-epk: {wanted.low}\r\nx-ms-end-epk: {wanted.high}\r\n"
                )
            head += place.first_head() if etag is None else header_line("if-none-match", etag)
            request = Request(
                *("GET", state.docs_path, "docs", state.link, head), None, self._compiled, reads=True
            )
            try:
                answer = await state.send(request)
            except CosmosHttpResponseError as error:
                if error.status_code != _GONE or attempt == _MOST_SPLITS:
                    raise
                state.forget_routing()
                continue
            found = [] if answer.status == _NOT_CHANGED else documents_of(answer)
            place.left[0] = (wanted, answer.raw_headers.get(b"etag", b"").decode("latin-1") or etag)
            return FeedPage(found, None, answer.headers, is_last=False), answer
        raise AssertionError("the last attempt has returned or raised")


def normalize_key(key: str) -> KeyRange:
    """Return the range that has one effective key and no other."""
    return normalize({"min": key, "max": key, "isMinInclusive": True, "isMaxInclusive": True})


def _start(options: Mapping[str, Any]) -> dict[str, Any]:
    start = options.get("start_time")
    if options.get("is_start_from_beginning"):
        start = "Beginning"
    if start is None:
        return {"Type": "Now"}
    if isinstance(start, datetime):
        return {"Type": "PointInTime", "PointInTimeMs": int(start.astimezone(UTC).timestamp() * 1000)}
    return {"Type": str(start).capitalize()}


def _check(options: Mapping[str, Any]) -> None:
    given = {name: value for name, value in options.items() if value is not None}
    mode, start = given.get("mode", LATEST), given.get("start_time")
    if mode not in _MODES:
        raise ValueError(f"Invalid mode was used: {mode!r}. Supported modes are {list(_MODES)}.")
    if "partition_key" in given and "feed_range" in given:
        raise ValueError("partition_key and feed_range are exclusive parameters, please only set one of them")
    if given.get("is_start_from_beginning") and start is not None:
        raise ValueError(
            "'is_start_from_beginning' and 'start_time' are exclusive, please only set one of them."
        )
    if start is not None and not isinstance(start, datetime) and start.lower() not in {"now", "beginning"}:
        raise ValueError(f"'start_time' must be either 'Now' or 'Beginning', but given '{start}'.")
    if mode == ALL_VERSIONS and (given.get("is_start_from_beginning") or start not in {None, "Now"}):
        raise ValueError(f"{ALL_VERSIONS!r} mode begins now, or at a continuation.")
