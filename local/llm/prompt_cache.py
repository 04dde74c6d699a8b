"""The cache of prompts: a long beginning that came before is counted as cached.

https://platform.openai.com/docs/guides/prompt-caching: prompts of 1,024 tokens or more, the longest beginning
in steps of 128 tokens, kept for some minutes after its last use, those of another `prompt_cache_key` apart.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cachetools import TTLCache

from local.llm.encodings import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.llm.request import ChatRequest

_SHORTEST = 1_024
_STEP = 128
_SECONDS = 600.0
_MOST_BEGINNINGS = 50_000


class PromptCache:
    """The beginnings of the prompts of the last minutes.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._known: TTLCache[bytes, None] = TTLCache(_MOST_BEGINNINGS, _SECONDS, timer=clock)

    def clear(self) -> None:
        """Forget all prompts."""
        self._known.clear()

    def count_cached(self, request: ChatRequest, prompt_tokens: int) -> int:
        """Count the tokens of a prompt that came before, and keep it for the next one."""
        if prompt_tokens < _SHORTEST:
            return 0
        cached = 0
        tokens = encode(request.family.encoding, _text(request))
        digest = hashlib.sha256(f"{request.model}\0{request.cache_key}".encode())
        for end in range(_STEP, len(tokens) + 1, _STEP):
            digest.update(repr(tokens[end - _STEP : end]).encode())
            if end < _SHORTEST:
                continue
            if (beginning := digest.digest()) in self._known:
                cached = end
            self._known[beginning] = None
        return min(cached, prompt_tokens)


def _text(request: ChatRequest) -> str:
    """Write what a prompt is made of, what changes least first."""
    tools = (tool.definition for tool in request.tools.functions)
    said = (
        f"{message.role}: {message.content} {[(call.name, call.arguments) for call in message.calls]}"
        for message in request.messages
    )
    return "\n".join((*tools, str(request.format.schema), *said))
