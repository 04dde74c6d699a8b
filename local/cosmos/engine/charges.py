"""What a request costs in request units: estimates of the service's prices, the same for the same work.

A point read of 1 KB is 1 RU and of 100 KB 10 RU, a write about five times that, each replaced item twice a
write's index work; a query pays a fixed price, a share of each item it looks at and of each kilobyte it
returns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_READ_PER_KB: Final = 1 / 11
_WRITE_FACTOR: Final = 5.5
_REPLACE_FACTOR: Final = 10.5
_QUERY_BASE: Final = 2.3
_QUERY_PER_ITEM: Final = 0.03
_QUERY_PER_KB: Final = 0.15
_FEED_BASE: Final = 1.0
KILOBYTE: Final = 1024


def read(size: int) -> float:
    """Price a point read of an item of `size` bytes."""
    return round(max(1.0, 1 + (size / KILOBYTE - 1) * _READ_PER_KB), 2)


@lru_cache(maxsize=4096)
def create(size: int) -> float:
    """Price an item's creation or deletion."""
    return round(read(size) * _WRITE_FACTOR, 2)


@lru_cache(maxsize=4096)
def replace(size: int) -> float:
    """Price a replacement or a patch."""
    return round(read(size) * _REPLACE_FACTOR, 2)


def query(items: int, returned: int) -> float:
    """Price a page of a query that looked at `items` items and returned `returned` bytes."""
    return round(_QUERY_BASE + items * _QUERY_PER_ITEM + returned / KILOBYTE * _QUERY_PER_KB, 2)


def feed(returned: int) -> float:
    """Price a page of the change feed or of a plain listing."""
    return round(_FEED_BASE + returned / KILOBYTE * _QUERY_PER_KB, 2)
