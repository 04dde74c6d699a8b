"""Keys of LiteLLM's proxy, each with limits of its own: what its `custom_auth` calls for each request.

Its own store of keys needs a database that no package brings. `BENCH_KEYS` names the keys, and
`BENCH_TOKENS_PER_MINUTE` and `BENCH_REQUESTS_PER_MINUTE` what each may use.
"""

from __future__ import annotations

import os
from typing import Any

from litellm.proxy._types import (  # type: ignore[import-not-found]  # it lives in an environment of its own
    ProxyException,
    UserAPIKeyAuth,
)

_KEYS = frozenset(os.environ["BENCH_KEYS"].split(","))
_TOKENS = int(os.environ["BENCH_TOKENS_PER_MINUTE"])
_REQUESTS = int(os.environ["BENCH_REQUESTS_PER_MINUTE"])


async def check_key(request: object, api_key: str) -> Any:  # noqa: ANN401  # of its own types
    """Return what a key may use."""
    if api_key not in _KEYS:
        raise ProxyException("no such key", "auth_error", "api_key", 401)
    return UserAPIKeyAuth(
        api_key=api_key, tpm_limit=_TOKENS, rpm_limit=_REQUESTS, max_parallel_requests=100_000
    )
