"""What callers send and get about token budgets."""

from __future__ import annotations

from pydantic import Field

from shared.http import ParameterModel, ReplyModel
from shared.tokens.ledger import APP_ID_PATTERN


class StatusQuery(ParameterModel):
    """`GET /tokens/status`: the application that asks."""

    app_id: str = Field(pattern=APP_ID_PATTERN)


class TokenStatusReply(ReplyModel):
    """What counts now, over the last 60 seconds.

    `debt_tokens` is by how much use that was reported beyond its locks exceeds the limit, and
    `reset_time_seconds` when the whole limit will be available again if nothing more is taken.
    """

    available_tokens: int
    used_tokens: int
    locked_tokens: int
    available_requests: int
    used_requests: int
    locked_requests: int
    reset_time_seconds: float
    limit_tokens: int
    limit_requests: int
    debt_tokens: int
