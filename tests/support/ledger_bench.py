"""A store on simulated time and instances of the ledger over it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

from shared.contracts import Usage
from shared.tokens.ledger import TokenLedger
from shared.tokens.limits import LimitStore
from shared.tokens.lock_ids import LockIds
from shared.tokens.policy import FIXED
from tests.support.ledger_simulation import SECRET, TENANT
from tests.support.simulated_cosmos import ProcessClock, SimulatedContainer, SimulatedStore

if TYPE_CHECKING:
    from shared.cosmos.container import Json
    from shared.tokens.limits import LimitsOverride
    from shared.tokens.policy import LedgerPolicy


class Bench:
    """A store and ways to it."""

    def __init__(self, seed: int = 1, policy: LedgerPolicy = FIXED) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # repeats the same run
        self.store = SimulatedStore()
        self.policy = policy
        self.container, self.ledger = self.instance()

    def instance(self, secret: str = SECRET) -> tuple[SimulatedContainer, TokenLedger]:
        """Start another instance."""
        container = SimulatedContainer(self.store, self.chance)
        clock = ProcessClock(began=self.chance.uniform(0, 1e6))
        return container, TokenLedger(container, LockIds([secret]), clock, self.policy)

    async def limit(self, override: LimitsOverride | None) -> None:
        """Give the tenant other limits than its tier's."""
        await LimitStore(SimulatedContainer(self.store, self.chance)).put(TENANT, override)

    def items(self, prefix: str) -> dict[str, Json]:
        """Return what the tenant has stored."""
        return self.store.items((TENANT.tenant_id,), prefix)

    async def usage_items(self) -> list[Json]:
        """Return the tenant's usage."""
        return list(self.items("usage:").values())

    def counts(self, scope: str) -> tuple[int, int]:
        """Return the tokens and requests that are stored in a scope."""
        body = self.items("scope:")[f"scope:{scope}"]
        return cast("int", body["tokens"]), cast("int", body["requests"])


def used(prompt: int, completion: int = 0) -> Usage:
    """Return what a call used."""
    return Usage(prompt_tokens=prompt, completion_tokens=completion)
