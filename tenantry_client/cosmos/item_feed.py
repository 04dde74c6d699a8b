"""Pages of a query or a listing, asked for in the way that the question needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tenantry_client.cosmos.answers import ResponseHeaders
from tenantry_client.cosmos.exceptions import CosmosHttpResponseError
from tenantry_client.cosmos.feed_ranges import read_feed_range
from tenantry_client.cosmos.merged_pages import MergedPages, fetch_plan, needs_plan
from tenantry_client.cosmos.partition_key import KeyRange
from tenantry_client.cosmos.query_pages import DirectPages, FeedQuestion, RangePages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenantry_client.cosmos.container_operations import ContainerState
    from tenantry_client.cosmos.query_pages import FeedPage, PageSource

_OF_THE_FEED = frozenset(
    {"parameters", "partition_key", "feed_range", "enable_cross_partition_query", "continuation"}
)


class Feed(Protocol):
    """Pages from a given place on.

    Attributes:
        headers: Of the answer that came last.
    """

    headers: ResponseHeaders

    async def next(self) -> FeedPage | None:
        """Fetch a page; None after the last one."""
        ...


class ItemFeed:
    """Pages of a query over a container, or of all its items.

    Args:
        state: The container.
        text: The query; None for all items.
        options: The caller's keywords.
        continuation: Where to begin.

    Raises:
        ValueError: Both a partition key and a feed range are given.
    """

    def __init__(
        self,
        state: ContainerState,
        text: str | None,
        options: Mapping[str, Any],
        continuation: str | None = None,
    ) -> None:
        if options.get("partition_key") is not None and options.get("feed_range") is not None:
            raise ValueError(
                "'feed_range' and 'partition_key' are exclusive parameters, set only one of them."
            )
        plain = {name: value for name, value in options.items() if name not in _OF_THE_FEED}
        self._state = state
        self._question = FeedQuestion(state, state.compiler.of_read(plain), text, options.get("parameters"))
        self._options = options
        self._continuation = continuation
        self._source: PageSource | None = None
        self._is_over = False
        self.headers = ResponseHeaders()

    async def next(self) -> FeedPage | None:
        """Fetch a page that has results; None after the last one."""
        while not self._is_over:
            page = await self._fetch()
            self._is_over = page.is_last
            self.headers = page.headers
            if page.results:
                return page
        return None

    async def _fetch(self) -> FeedPage:
        if self._source is None:
            self._source = await self._choose()
        try:
            return await self._source.next()
        except CosmosHttpResponseError as error:
            if not needs_plan(error) or not isinstance(self._source, DirectPages):
                raise
        self._source = await self._merged(KeyRange())
        return await self._source.next()

    async def _choose(self) -> PageSource:
        options, question = self._options, self._question
        feed_range, key = options.get("feed_range"), options.get("partition_key")
        if feed_range is not None:
            return await self._over(read_feed_range(feed_range))
        if key is None:
            return DirectPages(question, None, self._continuation)
        definition = (await self._state.facts(question.compiled.end)).definition
        if definition.is_prefix(key):
            return await self._over(definition.range_of(key))
        return DirectPages(question, definition.header_of(key), self._continuation)

    async def _over(self, scope: KeyRange) -> PageSource:
        """Ask about a range: where several physical partitions have of it, as the query's plan says."""
        routing = await self._state.routing(self._question.compiled.end)
        if self._question.text is not None and self._continuation is None and len(routing.within(scope)) > 1:
            plan = await fetch_plan(self._question)
            if plan.merges:
                return MergedPages(self._question, plan, scope, self._options.get("max_item_count"))
        return RangePages(self._question, scope, self._continuation)

    async def _merged(self, scope: KeyRange) -> PageSource:
        plan = await fetch_plan(self._question)
        return MergedPages(self._question, plan, scope, self._options.get("max_item_count"))
