"""Parts of replies that more than one capability gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from shared.http.models import ReplyModel

if TYPE_CHECKING:
    from shared.contracts import PromptUse, Usage


class TokenUsageReply(ReplyModel):
    """The tokens that model calls used.

    Attributes:
        prompt_tokens: Tokens of the prompts.
        cached_tokens: Those of the prompts that the provider had in its cache.
        completion_tokens: Tokens of the answers, reasoning included.
        reasoning_tokens: Those of the answers that they were thought with.
        total_tokens: Prompts and answers together.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Render what was used."""
        return cls(
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            total_tokens=usage.total_tokens,
        )


class PromptUseReply(ReplyModel):
    """The version of a prompt that was used.

    Attributes:
        name: The prompt's name.
        version: The version's number.
    """

    name: str
    version: int

    @classmethod
    def of(cls, use: PromptUse | None) -> Self | None:
        """Render what was used, if anything was."""
        return None if use is None else cls(name=use.name, version=use.version)
