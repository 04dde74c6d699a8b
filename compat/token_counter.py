"""Token budget that a token counter elsewhere keeps, as the common library's document has it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import (
    BudgetExceededError,
    ConfigurationError,
    DependencyUnavailableError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from shared.resilience.deadlines import remaining_seconds
from tenantry_client.errors import (
    CredentialError,
    ForbiddenError,
    InvalidRequestError,
    MissingExtraError,
    MissingKeyError,
    NoSuchLockError,
    TenantryError,
    TooManyRequestsError,
)
from tenantry_client.token_client import KEY_VARIABLES, NAME, TokenClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.contracts import Usage
    from shared.errors import APIError
    from shared.tenancy.context import TenantContext

_REFUSED_CREDENTIAL = (CredentialError, ForbiddenError, MissingExtraError, MissingKeyError)


class RequestTokenClient(TokenClient):
    """`TokenClient` that waits for no window longer than the request at hand may take."""

    def remaining_seconds(self) -> float | None:
        """Return how long the work at hand may still take."""
        return remaining_seconds()


@dataclass(frozen=True, slots=True)
class CounterLock:
    """Lock of a token counter."""

    lock_id: str
    status: None = None


class TokenCounterBudget:
    """`TokenBudget` of a token counter that is reached by its client.

    Whose budget it is, the client's credential says: it is the same for all tenants of this process.

    Args:
        client: The client of one application.
    """

    def __init__(self, client: TokenClient) -> None:
        self._client = client

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> CounterLock:  # noqa: ARG002  # the client has both
        """Take tokens out of the budget.

        Raises:
            BudgetExceededError: It does not admit them now.
            ValidationError: It never admits so many at once.
            ConfigurationError: The counter does not take the credential.
            DependencyUnavailableError: The counter cannot be reached: nothing is admitted.
        """
        with _as_own_errors():
            outcome = await self._client.lock_tokens(tokens, model)
            if outcome.request_id is not None:
                return CounterLock(outcome.request_id)
            status = await self._client.get_status()
        reason = outcome.error or "The token counter gave no lock"
        raise BudgetExceededError(reason, retry_after=status.reset_time_seconds)

    async def report(
        self,
        tenant: TenantContext,  # noqa: ARG002  # the client has it
        app_id: str,  # noqa: ARG002  # same
        lock_id: str,
        usage: Usage,
        *,
        user: str | None = None,
    ) -> None:
        """Tell what a lock's call used.

        Raises:
            NotFoundError: The lock is older than 24 hours.
            DependencyUnavailableError: The counter cannot be reached.
        """
        with _as_own_errors():
            await self._client.report_usage(
                lock_id,
                usage.prompt_tokens,
                usage.completion_tokens,
                user,
                cached_tokens=usage.cached_tokens,
                reasoning_tokens=usage.reasoning_tokens,
            )

    async def release(self, tenant: TenantContext, app_id: str, lock_id: str) -> None:  # noqa: ARG002  # the client has both
        """Give a lock back whole: its call used nothing.

        Raises:
            NotFoundError: The lock is older than 24 hours.
            DependencyUnavailableError: The counter cannot be reached.
        """
        with _as_own_errors():
            await self._client.release_tokens(lock_id)


@contextmanager
def _as_own_errors() -> Iterator[None]:
    try:
        yield
    except TenantryError as error:
        raise _translate(error) from error


def _translate(error: TenantryError) -> APIError:
    if isinstance(error, InvalidRequestError):
        return ValidationError(error.message, error.detail)
    if isinstance(error, NoSuchLockError):
        return NotFoundError(error.message)
    if isinstance(error, TooManyRequestsError):
        return RateLimitError(error.message, retry_after=error.retry_after)
    if isinstance(error, _REFUSED_CREDENTIAL):
        return ConfigurationError(KEY_VARIABLES)
    return DependencyUnavailableError(NAME, retry_after=error.retry_after or 1.0)
