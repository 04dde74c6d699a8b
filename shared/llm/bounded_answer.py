"""Bounds of a model's whole answer, and of its errors: a hostile one has no end, or unfolds to one.

Streams have bounds of their own (`shared.llm.openai_stream`).
"""

from __future__ import annotations

MOST_BYTES = 8 * 1024 * 1024
"""The longest answer of any model has some 128,000 tokens, of which few take 20 bytes."""

MOST_BYTES_OF_EMBEDDINGS = 48 * 1024 * 1024
"""2,048 vectors of 3,072 dimensions have 34 MB in base64; as numbers, those of 1,536 have 40."""
