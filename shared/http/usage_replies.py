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
        completion_tokens: Tokens of the answers.
        total_tokens: Both together.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Render what was used."""
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
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
