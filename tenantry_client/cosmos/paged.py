"""Results that come in pages, fetched as they are asked for, for programs without asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tenantry_client.cosmos.blocking_pool import run_to_end

if TYPE_CHECKING:
    from tenantry_client.cosmos.answers import ResponseHeaders
    from tenantry_client.cosmos.item_feed import Feed

type FeedFrom = Callable[[str | None], Feed]


class PageIterator(Iterator[Iterator[Any]]):
    """Pages, each an iterator of its results.

    Attributes:
        continuation_token: Where the next page begins.
    """

    def __init__(self, feed: Feed, continuation_token: str | None = None) -> None:
        self.feed = feed
        self.continuation_token = continuation_token

    def __next__(self) -> Iterator[Any]:
        page = run_to_end(self.feed.next())
        if page is None:
            raise StopIteration
        self.continuation_token = page.continuation
        return iter(page.results)


class CosmosItemPaged(Iterator[Any]):
    """Results of a query, one by one or page by page.

    Args:
        feed_from: Begins at a continuation token.
    """

    def __init__(self, feed_from: FeedFrom) -> None:
        self._feed_from = feed_from
        self._pages: PageIterator | None = None
        self._page: Iterator[Any] = iter(())

    def by_page(self, continuation_token: str | None = None) -> PageIterator:
        """Return the results page by page, from a token on."""
        self._pages = PageIterator(self._feed_from(continuation_token), continuation_token)
        return self._pages

    def get_response_headers(self) -> ResponseHeaders:
        """Return the headers of the page that came last."""
        return (self._pages or self.by_page()).feed.headers.copy()

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        if self._pages is None:
            self.by_page()
        assert self._pages is not None  # noqa: S101 - the line above has set it, or raised
        while True:
            for result in self._page:
                return result
            self._page = next(self._pages)
