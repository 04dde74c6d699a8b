"""Feed ranges: ranges of effective keys in the form in which programs keep them and hand them around."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry_client.cosmos.partition_key import KeyRange

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_feed_range(scope: KeyRange) -> dict[str, Any]:
    """Write a range as azure-cosmos does; a single key is one that has both its ends."""
    is_key = scope.low == scope.high
    return {"Range": {"min": scope.low, "max": scope.high, "isMinInclusive": True, "isMaxInclusive": is_key}}


def read_feed_range(feed_range: Mapping[str, Any]) -> KeyRange:
    """Read a feed range.

    Raises:
        ValueError: It is none.
    """
    try:
        found = normalize(feed_range["Range"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no feed range: {feed_range!r}") from error
    if found.low > found.high:
        raise ValueError(f"a feed range that ends before it begins: {feed_range!r}")
    return found


def normalize(found: Mapping[str, Any]) -> KeyRange:
    """Read a range whose ends are told; return it with its first end and without its last."""
    low, high = str(found["min"]), str(found["max"])
    return KeyRange(
        low if found.get("isMinInclusive", True) else _after(low),
        _after(high) if found.get("isMaxInclusive", False) else high,
    )


def _after(key: str) -> str:
    """Return the key that follows one of the same length."""
    return f"{int(key, 16) + 1:0{len(key)}X}"
