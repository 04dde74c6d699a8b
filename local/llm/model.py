"""What the stand-in says: the same for the same input, within the limit, never passing for a real one."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import tiktoken

if TYPE_CHECKING:
    from collections.abc import Sequence

RANKS = Path(__file__).parents[2] / "shared" / "llm" / "ranks"
_CL100K = ("gpt-4-", "gpt-35", "gpt-3.5", "text-embedding-")
_TOKENS_PER_MESSAGE = 3
_TOKENS_BEFORE_ANSWER = 3
_QUOTED = 60
_CLOSINGS = (
    "A real model would weigh that and answer in full; I can only show that your words arrived.",
    "With a real deployment behind this endpoint you would read its answer here.",
    "Point AZURE_OPENAI_ENDPOINT at a real resource and the same call gets a real answer.",
    "Nothing left this machine to produce this sentence, and nothing was paid for it.",
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the prompt."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said, token by token, and what it is counted as."""

    pieces: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str

    @property
    def text(self) -> str:
        """Return the whole answer."""
        return "".join(self.pieces)


def answer(model: str, messages: Sequence[Message], max_tokens: int | None) -> Answer:
    """Answer a prompt in at most `max_tokens` tokens, as far as `model`'s encoding counts them."""
    encoding = _encoding(model)
    tokens = encoding.encode(_text(model, messages), disallowed_special=())
    cut = max_tokens is not None and len(tokens) > max_tokens
    kept = tokens[:max_tokens] if cut else tokens
    return Answer(
        pieces=_pieces(encoding, kept),
        prompt_tokens=count_prompt(model, messages),
        completion_tokens=len(kept),
        finish_reason="length" if cut else "stop",
    )


def count_prompt(model: str, messages: Sequence[Message]) -> int:
    """Count a prompt as OpenAI's cookbook does: each message is framed, and the answer is begun."""
    encoding = _encoding(model)
    counted = sum(
        _TOKENS_PER_MESSAGE + len(encoding.encode(text, disallowed_special=())) + 1
        for text in (message.content for message in messages)
    )
    return counted + _TOKENS_BEFORE_ANSWER


def _text(model: str, messages: Sequence[Message]) -> str:
    asked = [message for message in messages if message.role == "user"]
    last = asked[-1].content.strip() if asked else ""
    instructions = sum(len(m.content.split()) for m in messages if m.role in {"system", "developer"})
    quoted = " ".join(last.split())
    quoted = quoted if len(quoted) <= _QUOTED else quoted[: _QUOTED - 1].rstrip() + "…"
    seed = hashlib.sha256(repr([(m.role, m.content) for m in messages]).encode()).digest()
    closing = _CLOSINGS[seed[0] % len(_CLOSINGS)]
    return (
        f"[stand-in for {model}] Message {len(asked)} of this conversation has {len(last.split())} words:"
        f" “{quoted}”. My instructions have {instructions} words. {closing}"
    )


def _pieces(encoding: tiktoken.Encoding, tokens: Sequence[int]) -> tuple[str, ...]:
    """Split at tokens, joining those that only together are whole characters."""
    pieces: list[str] = []
    pending = b""
    for token in tokens:
        pending += encoding.decode_single_token_bytes(token)
        try:
            pieces.append(pending.decode())
        except UnicodeDecodeError:
            continue
        pending = b""
    return tuple(pieces)


@cache
def _encoding(model: str) -> tiktoken.Encoding:
    name = "cl100k_base" if model == "gpt-4" or model.startswith(_CL100K) else "o200k_base"
    # tiktoken looks for its ranks here and downloads them where they are missing; set-up put them there.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(RANKS)
    return tiktoken.get_encoding(name)
