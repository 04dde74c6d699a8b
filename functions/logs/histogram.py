"""Histograms of times: their buckets are the same everywhere, so that those of many chunks can be added."""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUCKETS_TO_A_DOUBLING = 4
_LAST = 1 + 24 * _BUCKETS_TO_A_DOUBLING
"""The bucket of 2**24 ms, four and a half hours, and all that is longer."""


def bucket_of(milliseconds: float) -> int:
    """Return the bucket of a time: 0 below a millisecond, then four for each doubling."""
    if milliseconds < 1:
        return 0
    return min(_LAST, 1 + int(log2(milliseconds) * _BUCKETS_TO_A_DOUBLING))


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the time, in milliseconds, that this share of all is not above; None where there is none.

    It is the middle of a bucket, and so at most 10 % from the exact one.
    """
    total = sum(counts.values())
    passed = 0
    for bucket, count in sorted(counts.items()):
        passed += count
        if passed >= share * total:
            return _middle_of(bucket)
    return None


def _middle_of(bucket: int) -> float:
    return 0.5 if bucket == 0 else round(2 ** ((bucket - 0.5) / _BUCKETS_TO_A_DOUBLING), 1)
