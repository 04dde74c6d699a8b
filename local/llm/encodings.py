"""Counting and cutting in the models' own encodings, from the ranks that set-up put there."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import tiktoken

RANKS = Path(__file__).parents[2] / "shared" / "llm" / "ranks"

_LONGEST_RUN = 50_000
_LONG_RUN = re.compile(rf"(\s{{{_LONGEST_RUN}}})")


def count(encoding: str, text: str) -> int:
    """Count the tokens of a text."""
    return len(_encode(_load(encoding), text))


def encode(encoding: str, text: str) -> list[int]:
    """Return the tokens of a text."""
    return _encode(_load(encoding), text)


def pieces(encoding: str, text: str) -> tuple[tuple[str, int], ...]:
    """Split a text at its tokens, each piece with their number: a character stays whole."""
    loaded = _load(encoding)
    split: list[tuple[str, int]] = []
    pending, tokens = b"", 0
    for token in _encode(loaded, text):
        pending, tokens = pending + loaded.decode_single_token_bytes(token), tokens + 1
        try:
            split.append((pending.decode(), tokens))
        except UnicodeDecodeError:
            continue
        pending, tokens = b"", 0
    return tuple(split)


def decode(encoding: str, tokens: list[int]) -> str | None:
    """Give the text of tokens; None where one of them is none of the encoding's."""
    try:
        return _load(encoding).decode(tokens)
    except (KeyError, OverflowError):
        return None


def _encode(loaded: tiktoken.Encoding, text: str) -> list[int]:
    # The encoder's own expressions give up on a run of blanks that is longer than their stack is deep.
    parts = _LONG_RUN.split(text) if len(text) > _LONGEST_RUN else [text]
    return [token for part in parts for token in loaded.encode(part, disallowed_special=())]


@cache
def _load(encoding: str) -> tiktoken.Encoding:
    # tiktoken looks for its ranks here and downloads them where they are missing; set-up put them there.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(RANKS)
    return tiktoken.get_encoding(encoding)
