"""`with_token_limit_retry`, with the call shapes of the common library document."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_TOO_MANY_REQUESTS = 429
_LONGEST_WINDOW_SECONDS = 120.0
"""A window is a minute; what cannot be had in two is refused for another reason, such as a day's budget."""

_WINDOW_JITTER_SECONDS = 0.5


class WindowStatus(Protocol):
    """Status of a token counter, as far as waiting for a rate limit needs it."""

    @property
    def reset_time_seconds(self) -> float:
        """Seconds until more is available."""
        ...


class WindowedClient(Protocol):
    """A `TokenClient`, as far as waiting for a rate limit needs it."""

    async def get_status(self) -> WindowStatus:
        """Tell what counts now."""
        ...


@runtime_checkable
class Deadlined(Protocol):
    """A `TokenClient` that knows how long its caller may wait."""

    def remaining_seconds(self) -> float | None:
        """Return how long the work at hand may still take; None where nothing bounds it."""
        ...


async def with_token_limit_retry[T](
    func: Callable[..., Awaitable[T]],
    token_client: WindowedClient,
    *args: Any,  # noqa: ANN401  # the document's signature: whatever `func` takes
    max_retries: int = 2,
    **kwargs: Any,  # noqa: ANN401  # same
) -> T:
    """Call `func(*args, **kwargs)`, and again when a rate limit's window has passed.

    The common library's document shows two shapes, and both work: what follows the client is the function's,
    as in its example; but a number that the function has no parameter for is `max_retries`, as in its
    signature.

    A rate limit is any error whose `status_code` or `status` is 429. It is waited for as long as the error
    itself says (`retry_after`, in seconds), else as the token counter's status does, unless that is longer
    than a window can be or than the client's caller may wait. Every other error is raised at once.
    """
    if args and type(args[0]) is int and not _takes(func, args, kwargs) and _takes(func, args[1:], kwargs):
        max_retries, args = args[0], args[1:]
    for retries_left in reversed(range(max_retries + 1)):
        try:
            return await func(*args, **kwargs)
        except Exception as error:
            if not retries_left or not _is_rate_limit(error):
                raise
            seconds = await _window_seconds(error, token_client)
            remaining = token_client.remaining_seconds() if isinstance(token_client, Deadlined) else None
            if seconds > _LONGEST_WINDOW_SECONDS or (remaining is not None and seconds > remaining):
                raise
        await asyncio.sleep(seconds)
    raise AssertionError("unreachable: the last failure is raised again")


def with_token_limit_retry_decorator[**P, T](
    token_client: WindowedClient, max_retries: int = 2
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Make each call of the decorated function a `with_token_limit_retry`."""

    def decorate(func: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @functools.wraps(func)
        async def retried(*args: P.args, **kwargs: P.kwargs) -> T:
            call = functools.partial(func, *args, **kwargs)
            return await with_token_limit_retry(call, token_client, max_retries=max_retries)

        return retried

    return decorate


def _takes(func: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        inspect.signature(func).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _is_rate_limit(error: Exception) -> bool:
    return _TOO_MANY_REQUESTS in (getattr(error, "status_code", None), getattr(error, "status", None))


async def _window_seconds(error: Exception, token_client: WindowedClient) -> float:
    told = getattr(error, "retry_after", None)
    if not isinstance(told, int | float) or not isfinite(told) or told < 0:
        told = (await token_client.get_status()).reset_time_seconds
    return told + random.uniform(0, _WINDOW_JITTER_SECONDS)  # noqa: S311  # spreads load, protects nothing
