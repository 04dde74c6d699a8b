"""Counting and cutting in the models' own encodings, from the ranks that set-up put there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import tiktoken

RANKS = Path(__file__).parents[2] / "shared" / "llm" / "ranks"


def count(encoding: str, text: str) -> int:
    """Count the tokens of a text."""
    return len(_load(encoding).encode(text, disallowed_special=()))


def pieces(encoding: str, text: str) -> tuple[tuple[str, int], ...]:
    """Split a text at its tokens, each piece with their number: a character stays whole."""
    loaded = _load(encoding)
    split: list[tuple[str, int]] = []
    pending, tokens = b"", 0
    for token in loaded.encode(text, disallowed_special=()):
        pending, tokens = pending + loaded.decode_single_token_bytes(token), tokens + 1
        try:
            split.append((pending.decode(), tokens))
        except UnicodeDecodeError:
            continue
        pending, tokens = b"", 0
    return tuple(split)


@cache
def _load(encoding: str) -> tiktoken.Encoding:
    # tiktoken looks for its ranks here and downloads them where they are missing; set-up put them there.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(RANKS)
    return tiktoken.get_encoding(encoding)
