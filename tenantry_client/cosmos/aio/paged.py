"""Results that come in pages, fetched as they are asked for, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenantry_client.cosmos.answers import ResponseHeaders
    from tenantry_client.cosmos.item_feed import Feed

type FeedFrom = Callable[[str | None], Feed]


class AsyncPage(AsyncIterator[Any]):
    """The results of one page."""

    def __init__(self, results: list[Any]) -> None:
        self._results: Iterator[Any] = iter(results)

    async def __anext__(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        for result in self._results:
            return result
        raise StopAsyncIteration


class AsyncPageIterator(AsyncIterator[AsyncPage]):
    """Pages, each an iterator of its results.

    Attributes:
        continuation_token: Where the next page begins.
    """

    def __init__(self, feed: Feed, continuation_token: str | None = None) -> None:
        self.feed = feed
        self.continuation_token = continuation_token

    async def __anext__(self) -> AsyncPage:
        return AsyncPage(await self.fetch())

    async def fetch(self) -> list[Any]:
        """Return the results of the next page.

        Raises:
            StopAsyncIteration: There is none.
        """
        page = await self.feed.next()
        if page is None:
            raise StopAsyncIteration
        self.continuation_token = page.continuation
        return page.results


class CosmosAsyncItemPaged(AsyncIterator[Any]):
    """Results of a query, one by one or page by page.

    Args:
        feed_from: Begins at a continuation token.
    """

    def __init__(self, feed_from: FeedFrom) -> None:
        self._feed_from = feed_from
        self._pages: AsyncPageIterator | None = None
        self._page: Iterator[Any] = iter(())

    def by_page(self, continuation_token: str | None = None) -> AsyncPageIterator:
        """Return the results page by page, from a token on."""
        self._pages = AsyncPageIterator(self._feed_from(continuation_token), continuation_token)
        return self._pages

    def get_response_headers(self) -> ResponseHeaders:
        """Return the headers of the page that came last."""
        return (self._pages or self.by_page()).feed.headers.copy()

    async def __anext__(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        pages = self._pages or self.by_page()
        while True:
            for result in self._page:
                return result
            self._page = iter(await pages.fetch())
