"""Keywords of the operations, by azure-cosmos's names, and the headers that they become."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from tenantry_client.cosmos.hedging import HedgingRules, read_rules

if TYPE_CHECKING:
    from datetime import datetime

    from tenantry_client.cosmos.answers import ResponseHeaders
    from tenantry_client.cosmos.documents import MatchConditions
    from tenantry_client.cosmos.transport import Deadlines

type ResponseHook = Callable[[ResponseHeaders, Any], object]
type Parameters = Sequence[Mapping[str, object]]
type Json = dict[str, Any]

HEDGING_NEEDS_ASYNCIO: Final = "'availability_strategy' needs the client for asyncio"
MINIMAL: Final = "prefer: return=minimal\r\n"
_LEVELS: Final = frozenset({"Strong", "BoundedStaleness", "Session", "ConsistentPrefix", "Eventual"})
_UNSAFE: Final = re.compile(r"[^\x20-\x7e]")
_LONGEST_STALENESS_MS: Final = 2**31 - 1


class RequestOptions(TypedDict, total=False):
    """Keywords that each operation takes.

    Attributes:
        session_token: The state that the answer has to be at least as new as.
        initial_headers: More headers.
        priority: Which requests are put off first where there is too little throughput.
        throughput_bucket: The share of the throughput that this counts against.
        excluded_locations: Regions that are not asked.
        availability_strategy: Whether a read is hedged: when its region is late, the next one is asked as
            well. True, False, or `threshold_ms` and `threshold_steps_ms`; the client's where it is not given.
        timeout: Seconds for the whole operation, its retries included.
        read_timeout: Seconds for an answer.
        connection_timeout: Seconds for a connection.
        response_hook: Called with the headers and the body of the answer.
    """

    session_token: str | None
    initial_headers: Mapping[str, str] | None
    priority: Literal["High", "Low"] | None
    throughput_bucket: int | None
    excluded_locations: Sequence[str] | None
    availability_strategy: bool | Mapping[str, Any] | None
    timeout: float | None
    read_timeout: float | None
    connection_timeout: float | None
    response_hook: ResponseHook | None


class ReadManyOptions(RequestOptions, total=False):
    """Keywords of a read of many items.

    Attributes:
        consistency_level: The level of this read, at most the account's.
    """

    consistency_level: str | None


class ReadOptions(RequestOptions, total=False):
    """Keywords of a read.

    Attributes:
        post_trigger_include: A trigger to run afterwards.
        max_integrated_cache_staleness_in_ms: How old an answer of the dedicated gateway's cache may be.
        etag: The state that the condition is about.
        match_condition: Under which condition the item is wanted.
    """

    post_trigger_include: str | Sequence[str] | None
    max_integrated_cache_staleness_in_ms: int | None
    etag: str | None
    match_condition: MatchConditions | None


class WriteOptions(RequestOptions, total=False):
    """Keywords of a write.

    Attributes:
        pre_trigger_include: A trigger to run before.
        post_trigger_include: A trigger to run afterwards.
        no_response: Whether the answer leaves the item out.
        retry_write: How often a write is sent again whose answer was lost, or was a 408 or a 5xx; 0, because
            it may have had its effect.
        etag: The state that the condition is about.
        match_condition: Under which condition it is written.
    """

    pre_trigger_include: str | Sequence[str] | None
    post_trigger_include: str | Sequence[str] | None
    no_response: bool | None
    retry_write: int | None
    etag: str | None
    match_condition: MatchConditions | None


class CreateOptions(WriteOptions, total=False):
    """Keywords of a creation.

    Attributes:
        indexing_directive: 1 leaves the item out of the index, 2 takes it in.
        enable_automatic_id_generation: Whether an item without an id gets one.
    """

    indexing_directive: int | None
    enable_automatic_id_generation: bool


class PatchOptions(WriteOptions, total=False):
    """Keywords of a patch.

    Attributes:
        filter_predicate: The condition that the item has to meet, such as `from c where c.n < 3`.
    """

    filter_predicate: str | None


class ListOptions(RequestOptions, total=False):
    """Keywords of whatever answers with pages.

    Attributes:
        max_item_count: The most results of a page.
        max_integrated_cache_staleness_in_ms: How old an answer of the dedicated gateway's cache may be.
    """

    max_item_count: int | None
    max_integrated_cache_staleness_in_ms: int | None


class QueryOptions(ListOptions, total=False):
    """Keywords of a query.

    Attributes:
        parameters: Each with `name` and `value`.
        partition_key: The partition, or a prefix of a hierarchical key.
        feed_range: The range of partitions, instead.
        enable_cross_partition_query: Taken for azure-cosmos's sake: a query without a key is one.
        enable_scan_in_query: Whether what no index serves is scanned.
        continuation_token_limit: The most kilobytes of a continuation token.
        populate_query_metrics: Whether the headers tell what the query did.
        populate_index_metrics: Whether they tell which indexes it used.
    """

    parameters: Parameters | None
    partition_key: Any
    feed_range: Mapping[str, Any] | None
    enable_cross_partition_query: bool | None
    enable_scan_in_query: bool | None
    continuation_token_limit: int | None
    populate_query_metrics: bool | None
    populate_index_metrics: bool | None


class ChangeFeedOptions(RequestOptions, total=False):
    """Keywords of the change feed.

    Attributes:
        max_item_count: The most changes of a page, but for those of one batch.
        start_time: `Beginning`, `Now`, or a time; `Now` where it is not given.
        is_start_from_beginning: The older name of `start_time="Beginning"`.
        partition_key: The partition whose changes are wanted, or a prefix of a hierarchical key.
        feed_range: The range of partitions, instead.
        continuation: Where to go on: an etag that an earlier page came with.
        mode: Whether each change and deletion is wanted.
    """

    max_item_count: int | None
    start_time: datetime | Literal["Beginning", "Now"] | None
    is_start_from_beginning: bool | None
    partition_key: Any
    feed_range: Mapping[str, Any] | None
    continuation: str | None
    mode: Literal["LatestVersion", "AllVersionsAndDeletes"] | None


@dataclass(frozen=True, slots=True)
class Compiled:
    """Keywords as a request needs them.

    Attributes:
        head: Lines of headers, each with its end.
        hook: Called with the answer.
        session_token: The caller's own.
        excluded: Regions that are not asked.
        deadlines: For each attempt.
        end: When the operation has to be done, by the monotonic clock; None for whenever.
        lost_writes: How often a write whose answer was lost is sent again.
        hedging: When other regions are asked as well; None for never.
        consistency: The level of a read, where it is not the client's.
    """

    head: str
    deadlines: Deadlines
    hook: ResponseHook | None = None
    session_token: str | None = None
    excluded: frozenset[str] = frozenset()
    end: float | None = None
    lost_writes: int = 0
    hedging: HedgingRules | None = None
    consistency: str | None = None


_HEADERS: Final = {
    "priority": "x-ms-cosmos-priority-level",
    "throughput_bucket": "x-ms-cosmos-throughput-bucket",
    "pre_trigger_include": "x-ms-documentdb-pre-trigger-include",
    "post_trigger_include": "x-ms-documentdb-post-trigger-include",
    "indexing_directive": "x-ms-indexing-directive",
    "max_item_count": "x-ms-max-item-count",
    "enable_scan_in_query": "x-ms-documentdb-query-enable-scan",
    "continuation_token_limit": "x-ms-documentdb-responsecontinuationtokenlimitinkb",
    "populate_query_metrics": "x-ms-documentdb-populatequerymetrics",
    "populate_index_metrics": "x-ms-cosmos-populateindexmetrics",
    "max_integrated_cache_staleness_in_ms": "x-ms-dedicatedgateway-max-age",
}
_ELSEWHERE: Final = frozenset(
    {
        *("session_token", "excluded_locations", "timeout", "read_timeout", "connection_timeout"),
        *(
            "availability_strategy",
            "consistency_level",
            "response_hook",
            "retry_write",
            "etag",
            "match_condition",
            "initial_headers",
            "no_response",
        ),
    }
)


def header_line(name: str, value: object) -> str:
    """Write one header.

    Raises:
        ValueError: Its name or its value holds what no header can hold.
    """
    text = ",".join(value) if isinstance(value, list | tuple) else str(value)
    if _UNSAFE.search(text) or _UNSAFE.search(name) or ":" in name:
        raise ValueError(f"the header {name!r} cannot be sent: it holds more than printable ASCII")
    return f"{name}: {text}\r\n"


class OptionCompiler:
    """Turns keywords into headers, for one client's defaults.

    Args:
        reads: What holds for reads where the caller does not say.
        writes: The same for writes.
        timeout: Seconds for each operation where the caller does not say; None for as many as it takes.
        may_hedge: Whether other regions can be asked as well.
    """

    def __init__(
        self, reads: Compiled, writes: Compiled, *, timeout: float | None = None, may_hedge: bool = True
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._patches = replace(writes, lost_writes=0)
        self._timeout = timeout
        self._may_hedge = may_hedge

    def of_read(self, options: Mapping[str, Any]) -> Compiled:
        """Compile the keywords of a read, a query or a listing."""
        if not options and self._timeout is None:
            return self._reads
        return self._compile(options, self._reads)

    def of_write(self, options: Mapping[str, Any]) -> Compiled:
        """Compile the keywords of a write."""
        return self._of_write(options, self._writes)

    def of_patch(self, options: Mapping[str, Any]) -> Compiled:
        """Compile the keywords of a patch: it is sent again where its own caller says so, not the client."""
        return self._of_write(options, self._patches)

    def of_lookup(self, end: float | None) -> Compiled:
        """Return what holds for questions about the account and its containers, within an operation.

        Args:
            end: When the operation has to be done; None for whenever.
        """
        return self._reads if end is None else replace(self._reads, end=end)

    def _of_write(self, options: Mapping[str, Any], usual: Compiled) -> Compiled:
        if not options and self._timeout is None:
            return usual
        minimal = options.get("no_response")
        head = usual.head if minimal is None else MINIMAL if minimal else ""
        return self._compile(options, usual, head)

    def _compile(self, options: Mapping[str, Any], usual: Compiled, head: str = "") -> Compiled:
        lines = [head, _condition(options)]
        for name, value in options.items():
            header = _HEADERS.get(name)
            if header is None:
                if name not in _ELSEWHERE:
                    raise TypeError(f"there is no keyword {name!r} here")
            elif value is not None:
                lines.append(header_line(header, _checked(name, value)))
        lines += [header_line(*one) for one in (options.get("initial_headers") or {}).items()]
        deadlines = usual.deadlines
        read, connect = options.get("read_timeout"), options.get("connection_timeout")
        if read is not None or connect is not None:
            deadlines = type(deadlines)(
                deadlines.connect if connect is None else float(connect),
                deadlines.read if read is None else float(read),
            )
        timeout, level = options.get("timeout"), options.get("consistency_level")
        timeout = self._timeout if timeout is None else timeout
        excluded, repeats = options.get("excluded_locations"), options.get("retry_write")
        return Compiled(
            "".join(lines),
            deadlines,
            options.get("response_hook"),
            options.get("session_token"),
            usual.excluded if excluded is None else frozenset(excluded),
            None if timeout is None else time.monotonic() + float(timeout),
            usual.lost_writes if repeats is None else int(repeats),
            self._hedging(options.get("availability_strategy"), usual),
            None if level is None else _checked_level(level),
        )

    def _hedging(self, given: bool | Mapping[str, Any] | None, usual: Compiled) -> HedgingRules | None:  # noqa: FBT001 - as azure-cosmos takes it
        if given and not self._may_hedge:
            raise TypeError(HEDGING_NEEDS_ASYNCIO)
        return read_rules(given, usual.hedging)


def _checked_level(level: str) -> str:
    if level not in _LEVELS:
        raise ValueError(f"there is no consistency level {level!r}")
    return level


def _checked(name: str, value: object) -> object:
    if name == "max_integrated_cache_staleness_in_ms" and not (
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LONGEST_STALENESS_MS
    ):
        raise ValueError("Parameter 'max_integrated_cache_staleness_in_ms' can only be an integer >= 0")
    return value


def _condition(options: Mapping[str, Any]) -> str:
    """Write the header of a condition, by azure-core's rules for `etag` and `match_condition`."""
    condition, etag = options.get("match_condition"), options.get("etag")
    if condition is None:
        if etag is not None:
            raise ValueError("'etag' specified without 'match_condition'.")
        return ""
    match getattr(condition, "name", None):
        case "IfPresent":
            return "if-match: *\r\n"
        case "IfMissing":
            return "if-none-match: *\r\n"
        case "IfNotModified" | "IfModified" as name:
            if not etag:
                raise ValueError("'match_condition' specified without 'etag'.")
            return header_line("if-match" if name == "IfNotModified" else "if-none-match", etag)
        case _:
            raise TypeError(f"Invalid match condition: {condition}")
