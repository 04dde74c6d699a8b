"""Models of the routes `/tokens`, which the client has too, and the headers of their answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from shared.validation import text_pattern
from tenantry_client.token_models import (
    APP_ID_PATTERN,
    LONGEST_LOCK_ID,
    LONGEST_NAME,
    PRINTABLE_PATTERN,
    AppId,
    LockReply,
    LockRequest,
    ReleaseRequest,
    ReportRequest,
    SettledReply,
    TokenRequest,
)

if TYPE_CHECKING:
    from shared.tokens.stored_models import TokenStatus

__all__ = [
    "APP_ID_PATTERN",
    "LONGEST_LOCK_ID",
    "LONGEST_NAME",
    "RATE_LIMIT_HEADERS",
    "AppId",
    "LockReply",
    "LockRequest",
    "ReleaseRequest",
    "ReportRequest",
    "SettledReply",
    "TokenRequest",
    "rate_limit_headers",
]

# The client knows nothing of the app: the words of its patterns are here.
text_pattern(APP_ID_PATTERN, "1 to 128 letters, digits and . _ : -, beginning with a letter or digit")
text_pattern(PRINTABLE_PATTERN, "printable ASCII characters")

RATE_LIMIT_HEADERS = {
    "X-RateLimit-Limit-Tokens": "The most tokens of any 60 seconds",
    "X-RateLimit-Remaining-Tokens": "How many of them are left",
    "X-RateLimit-Reset-Tokens": "Seconds until all of them are again, if nothing more is taken",
    "X-RateLimit-Limit-Requests": "The most locks of any 60 seconds",
    "X-RateLimit-Remaining-Requests": "How many of them are left",
    "X-RateLimit-Reset-Requests": "Seconds until all of them are again, if nothing more is taken",
    "Retry-After": "Only where the lock is refused: seconds until it is admitted, if nothing more is taken",
}
"""Headers of `rate_limit_headers` and of a refusal, each with its meaning."""


def rate_limit_headers(status: TokenStatus) -> dict[str, str]:
    """Render what is left as the `x-ratelimit-*` headers; resets are in whole seconds."""
    reset = str(math.ceil(status.reset_time_seconds))
    return {
        "x-ratelimit-limit-tokens": str(status.limit_tokens),
        "x-ratelimit-remaining-tokens": str(status.available_tokens),
        "x-ratelimit-reset-tokens": reset,
        "x-ratelimit-limit-requests": str(status.limit_requests),
        "x-ratelimit-remaining-requests": str(status.available_requests),
        "x-ratelimit-reset-requests": reset,
    }
