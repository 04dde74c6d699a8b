"""`SecondLevel` on Dragonfly or Redis, behind the one retry layer. Imported when it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy, Transient

if TYPE_CHECKING:
    from shared.clock import Clock

PATIENCE_SECONDS = 0.25
POLICY = Policy(attempts=1, attempt_seconds=PATIENCE_SECONDS, total_seconds=PATIENCE_SECONDS)
"""It saves a read of some milliseconds: it is asked once, and not waited for."""

_MOST_CONNECTIONS = 32


def classify(error: BaseException) -> Transient | None:
    """Tell that every failure means that it cannot be used now."""
    return Transient() if isinstance(error, RedisError | OSError) else None


class RedisLevel:
    """One server.

    Args:
        url: Where it is, with its password if it has one.
        clock: Times the breaker.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MOST_CONNECTIONS,
            timeout=PATIENCE_SECONDS,
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self.dependency = Dependency("The second cache level", classify, POLICY, clock)

    async def get(self, key: str) -> bytes | None:
        """Return a value, or None where there is none (any more)."""
        found = await self.dependency.call(lambda: self._redis.get(key))
        return found.encode() if isinstance(found, str) else found

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for so long."""
        milliseconds = max(1, int(seconds * 1000))
        await self.dependency.call(lambda: self._redis.set(key, value, px=milliseconds))

    async def remove(self, key: str) -> None:
        """Drop a value."""
        await self.dependency.call(lambda: self._redis.delete(key))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
