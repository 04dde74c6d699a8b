"""The ledger of the running app: one that tells when a budget has refused a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import APIError, TokenBudgetExhaustedError
from shared.logging.logger import get_logger
from shared.tokens.alerts import BudgetAlerts, RefusedLock
from shared.tokens.ledger import TokenLedger
from shared.tokens.memory import Memory
from shared.tokens.policy import FIXED

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.tokens.lock_ids import LockIds
    from shared.tokens.policy import LedgerPolicy
    from shared.tokens.stored_models import Lock

_LOOK_AGAIN_SECONDS = 5.0
"""So often at most is it looked, per tenant, what a refusal means: refusals can come in floods."""

_logger = get_logger(__name__)


class AlertingLedger(TokenLedger):
    """A `TokenLedger` that claims the alert of a budget that is too far used up for a lock.

    What is reported may come to rest a little below the budget, since every lock that is larger than the rest
    is refused: only the refusal shows that the budget is at its end. The sweep finds all other crossings.

    Args:
        container: The container `ledger`.
        lock_ids: Makes and reads the ids of locks.
        clock: The app's time.
        policy: What tenants have set.
    """

    def __init__(
        self, container: Container, lock_ids: LockIds, clock: Clock, policy: LedgerPolicy = FIXED
    ) -> None:
        super().__init__(container, lock_ids, clock, policy)
        self._looked_at: Memory[float] = Memory()

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        """Take tokens and one request out of the tenant's budget; see `TokenLedger.lock`."""
        try:
            return await super().lock(tenant, app_id, tokens, model)
        except TokenBudgetExhaustedError:
            await self._claim(tenant, tokens)
            raise

    async def _claim(self, tenant: TenantContext, tokens: int) -> None:
        """Keep the alert, if there is one to keep; where that fails, the next refusal tries again."""
        now, looked_at = self._clock.monotonic(), self._looked_at.get(tenant.tenant_id)
        if looked_at is not None and now - looked_at < _LOOK_AGAIN_SECONDS:
            return
        self._looked_at.put(tenant.tenant_id, now)
        refused = RefusedLock(tokens, self._desk(tenant).account.charging_second())
        try:
            await BudgetAlerts(tenant, self._container, self._clock).claim(refused)
        except APIError as error:
            _logger.warning("A budget's alert could not be kept", extra={"error": type(error).__name__})
