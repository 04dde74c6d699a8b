"""Settle a lock exactly once: its record, its scope and the usage change in one transactional batch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.cosmos.container import BatchFailedError, Patch, PatchOperation
from shared.errors import DependencyUnavailableError
from shared.tokens.exchange import giving_back, late_settlement, settlement
from shared.tokens.models import SCOPE_ID, USAGE_PREFIX, LockRecord, ScopeItem, UsageItem

if TYPE_CHECKING:
    from shared.contracts import Usage
    from shared.cosmos.container import BatchOperation
    from shared.tokens.accounts import Account
    from shared.tokens.lock_ids import LockClaim

_NOT_FOUND, _CONFLICT, _PRECONDITION_FAILED = 404, 409, 412
_MOST_ROUNDS = 8
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a lock: `usage` is None where it is given back whole."""

    claim: LockClaim
    app_id: str
    usage: Usage | None
    user: str | None

    @property
    def used_tokens(self) -> int:
        """Return what counts as used."""
        return 0 if self.usage is None else self.usage.prompt_tokens + self.usage.completion_tokens


@dataclass(frozen=True, slots=True)
class _Assumed:
    """What the batch takes for granted; each failure of it disproves one."""

    still_counts: bool = True
    scope_exists: bool = True
    usage_exists: bool = True


async def settle(account: Account, what: Settlement, debt_second: int) -> None:
    """Settle a lock, or find that it was.

    Raises:
        DependencyUnavailableError: The store is down; asking again is safe, settled or not.
    """
    assumed = _Assumed()
    for _ in range(_MOST_ROUNDS):
        steps = _steps(account, what, debt_second, assumed)
        sent = account.now()
        try:
            bodies = await account.partition.batch([operation for _, operation in steps])
        except BatchFailedError as error:
            failed = steps[error.index][0]
            if failed == "record" and error.cause_status == _CONFLICT:
                return
            assumed = _corrected(assumed, failed, error)
        else:
            for (name, _), body in zip(steps, bodies, strict=True):
                if name == "scope":
                    account.saw(ScopeItem.from_json(body), sent)
            return
    raise DependencyUnavailableError("The token ledger", "is contended")


def _steps(
    account: Account, what: Settlement, debt_second: int, assumed: _Assumed
) -> list[tuple[str, BatchOperation]]:
    partition = account.partition
    steps = [("record", partition.creating(_record(what)))]
    patch = _scope_patch(what, debt_second, assumed)
    if patch is not None:
        steps.append(("scope", partition.patching(SCOPE_ID, patch)))
    if what.usage is not None:
        item = _usage_item(what, what.usage)
        if assumed.usage_exists:
            steps.append(("usage", partition.patching(item.id, _usage_patch(item))))
        else:
            steps.append(("usage", partition.creating(item)))
    return steps


def _scope_patch(what: Settlement, debt_second: int, assumed: _Assumed) -> Patch | None:
    claim = what.claim
    if not assumed.scope_exists:
        return None
    if what.usage is None:
        return giving_back(claim.second, claim.tokens) if assumed.still_counts else None
    if assumed.still_counts:
        return settlement(claim.second, claim.tokens, what.used_tokens, debt_second)
    return late_settlement(claim.tokens, what.used_tokens, debt_second)


def _corrected(assumed: _Assumed, failed: str, error: BatchFailedError) -> _Assumed:
    match failed, error.cause_status:
        case "scope", status if status == _PRECONDITION_FAILED:
            return replace(assumed, still_counts=False)
        case "scope", status if status == _NOT_FOUND:
            return replace(assumed, scope_exists=False)
        case "usage", status if status == _NOT_FOUND:
            return replace(assumed, usage_exists=False)
        case "usage", status if status == _CONFLICT:
            return replace(assumed, usage_exists=True)
        case _:
            raise DependencyUnavailableError(
                "The token ledger", f"refused to settle: {error.message}"
            ) from error


def _record(what: Settlement) -> LockRecord:
    return LockRecord(
        id=f"lock:{what.claim.nonce}",
        app_id=what.app_id,
        model=what.claim.model,
        locked_tokens=what.claim.tokens,
        used_tokens=what.used_tokens,
        released=what.usage is None,
    )


def _usage_item(what: Settlement, usage: Usage) -> UsageItem:
    # The lock's day, not the report's: it is the same whenever and wherever the report is repeated.
    day = datetime.fromtimestamp(what.claim.second, UTC).date().isoformat()
    names = (_id_part(what.claim.model), _id_part(what.app_id), _id_part(what.user or ""))
    return UsageItem(
        id=USAGE_PREFIX + ":".join((day, *names)),
        day=day,
        model=what.claim.model,
        app_id=what.app_id,
        user_id=what.user,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        requests=1,
    )


def _usage_patch(item: UsageItem) -> Patch:
    counts = {
        "prompt_tokens": item.prompt_tokens,
        "completion_tokens": item.completion_tokens,
        "requests": item.requests,
    }
    return Patch(tuple(PatchOperation("incr", f"/{name}", count) for name, count in counts.items()))


def _id_part(name: str) -> str:
    """Write a name as part of an item's id: bounded, without slashes and such, no two names becoming one."""
    written = quote(name, safe="@").replace("%", "=")
    if len(written) <= _LONGEST_NAME:
        return written
    return "==" + hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
