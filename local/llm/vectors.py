"""Embeddings without a model: a text's features hashed into a unit vector, so that like texts are near."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = re.compile(r"\w+")
_SLOTS = 8
_SLOT_BYTES = 4
_SIGN = 1 << (8 * _SLOT_BYTES - 1)
_LEAST_RANGE = 8
_LETTERS = 3


def embed(text: str, dimensions: int, shortened_to: int | None = None) -> list[float]:
    """Make the vector of a text.

    Each feature has a slot in the whole vector, in its first half, its first quarter and so on: what is left
    when a vector is shortened still says what it is about, as with the models that can be shortened.

    Args:
        text: What to embed.
        dimensions: The length of the model's own vectors.
        shortened_to: How many of them to keep.
    """
    vector = [0.0] * dimensions
    for feature, count in Counter(_features(text)).items():
        encoded = feature.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(encoded, digest_size=_SLOTS * _SLOT_BYTES).digest()
        weight = 1.0 + math.log(count)
        for slot in range(_SLOTS):
            number = int.from_bytes(digest[slot * _SLOT_BYTES : (slot + 1) * _SLOT_BYTES])
            index = number % max(_LEAST_RANGE, dimensions >> slot)
            vector[index] += weight if number & _SIGN else -weight
    return _normalise(vector[:shortened_to])


def _features(text: str) -> Iterator[str]:
    """Give the words of a text, their pairs, and each three neighbouring letters; at least one of them."""
    folded = text.casefold()
    words = _WORD.findall(folded)
    yield from words
    yield from (f"{first} {second}" for first, second in itertools.pairwise(words))
    framed = f" {' '.join(folded.split())} "
    yield from (framed[start : start + _LETTERS] for start in range(max(1, len(framed) - _LETTERS + 1)))


def _normalise(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0:  # what is left of it says nothing
        return [1.0, *([0.0] * (len(vector) - 1))]
    return [value / length for value in vector]
