"""Settle locks exactly once: what is waiting goes into one transactional batch.

The batch marks the locks in their groups' items, on the condition that they are not marked yet, puts what was
used in the place of what was locked, and adds it to the usage. All of it is stored, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.cosmos.container import BatchFailedError, Patch, PatchOperation
from shared.errors import DependencyTimeoutError, DependencyUnavailableError, LockNotFoundError
from shared.logging.logger import get_logger
from shared.tokens.counters import (
    TENANT_SCOPE,
    WINDOW_SECONDS,
    Amount,
    Change,
    expired,
    has_bucket,
    id_part,
    operations,
    scopes_of,
)
from shared.tokens.headroom import spending_keys
from shared.tokens.stored_models import USAGE_PREFIX, LockGroup, UsageItem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from shared.contracts import Usage
    from shared.cosmos.container import BatchOperation
    from shared.tokens.counters import Scope
    from shared.tokens.lock_ids import LockClaim
    from shared.tokens.snapshot import Account

_MOST_ROUNDS = 16
_MOST_OPERATIONS = 100
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a lock.

    Attributes:
        usage: None where it is given back whole.
        future: Who waits for it; None where the ledger itself takes a lock back.
    """

    claim: LockClaim
    app_id: str
    usage: Usage | None = None
    user: str | None = None
    future: asyncio.Future[None] | None = None

    @property
    def used_tokens(self) -> int:
        """Return what counts as used."""
        return 0 if self.usage is None else self.usage.prompt_tokens + self.usage.completion_tokens

    @property
    def scopes(self) -> tuple[str, str, str]:
        """Return what the lock counts against."""
        return scopes_of(self.app_id, self.claim.model, shared=self.claim.shares_app_scope)

    @property
    def may_lack_its_group(self) -> bool:
        """Tell whether nothing may be stored of the lock: it was never counted, or perhaps never admitted."""
        return self.claim.uncounted or self.future is None

    def resolve(self) -> None:
        """Tell who waits that it is stored."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it failed."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)


class Settling:
    """Settles the locks of one tenant."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._doubtful: list[Settlement] = []

    async def exchange(self, settlements: Sequence[Settlement]) -> None:
        """Settle what is not settled yet; whatever was is answered as it was then.

        Raises:
            DependencyUnavailableError: The store is down; asking again is safe, settled or not.
        """
        account = self._account
        await account.know_the_time()
        left = self._open(settlements)
        await account.look(self._worth_a_look(left))
        for _ in range(_MOST_ROUNDS):
            if not left:
                return
            batch = _Batch.of(account, left)
            try:
                await account.write(batch.operations)
            except BatchFailedError as error:
                await self._look_again(batch, error)
            else:
                for group, bits in batch.groups.items():
                    account.groups.put(group, bits)
                for usage_id, item in batch.usages.items():
                    account.usages.put(usage_id, item)
            left = self._open(left)
        raise DependencyUnavailableError("The token ledger", "is contended")

    async def give_back(self, locks: Sequence[Settlement]) -> None:
        """Take back locks that nobody was given; while the store is down, before the next lock."""
        try:
            await self.exchange(locks)
        except (DependencyUnavailableError, DependencyTimeoutError):
            self._doubtful += locks

    def doubt(self, locks: Sequence[Settlement]) -> None:
        """Remember locks whose admission nobody learned: they are taken back before the next one."""
        self._doubtful += locks

    async def clear_doubts(self) -> None:
        """Take back what is in doubt, or make sure that it never happens.

        Raises:
            DependencyUnavailableError: The store is down (still).
        """
        if not self._doubtful:
            return
        await self._account.know_the_time()
        time = self._account.earliest()
        young = [lock for lock in self._doubtful if lock.claim.second + WINDOW_SECONDS > time]
        await self.exchange(young)
        if young:
            _logger.info("Locks in doubt were taken back", extra={"locks": len(young)})
        self._doubtful = []

    def _open(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Resolve what is settled or can never be; return what is left."""
        left = []
        groups = self._account.groups
        for one in settlements:
            bits = groups.get(one.claim.group)
            if bits is not None and bits >> one.claim.index & 1:
                one.resolve()
            elif bits is None and one.claim.group in groups and not one.may_lack_its_group:
                one.fail(LockNotFoundError())
            else:
                left.append(one)
        return left

    async def _look_again(self, batch: _Batch, error: BatchFailedError) -> None:
        """Look at what the batch took for granted and is not so, and at all of its kind."""
        disproved = batch.operations[error.index].item_id
        if disproved in batch.usages:
            await self._account.look((), usages=batch.usages)
        elif disproved in batch.scopes:
            await self._account.look(batch.scopes)
        else:
            await self._account.look((), groups=batch.groups)

    def _worth_a_look(self, settlements: Iterable[Settlement]) -> set[str]:
        """Return the scopes that are unknown, or that lack a lock that should still count in them."""
        account, time = self._account, self._account.earliest()
        found: set[str] = set()
        for one in settlements:
            second = one.claim.second
            young = second + WINDOW_SECONDS > time and not one.claim.uncounted
            for name in one.scopes:
                seen = account.scope(name)
                if name not in account.scopes or (young and (seen is None or not has_bucket(seen, second))):
                    found.add(name)
        return found


@dataclass(slots=True)
class _Batch:
    """Settlements that go into one transaction."""

    groups: dict[str, int] = field(default_factory=dict)
    usages: dict[str, UsageItem] = field(default_factory=dict)
    scopes: dict[str, Change] = field(default_factory=dict)
    operations: list[BatchOperation] = field(default_factory=list)

    @classmethod
    def of(cls, account: Account, settlements: Sequence[Settlement]) -> _Batch:
        """Take as many of the settlements, from the first on, as fit."""
        count = len(settlements)
        while True:
            batch = cls()
            size = 0
            debt_second = account.charging_second()
            for one in settlements[:count]:
                batch._add(account, one, debt_second)
                size = len(batch.groups) + len(batch.usages) + len(batch.scopes)
                if size >= _MOST_OPERATIONS:
                    break
            batch._describe(account)
            if len(batch.operations) <= _MOST_OPERATIONS:
                return batch
            count //= 2

    def _add(self, account: Account, one: Settlement, debt_second: int) -> None:
        group, bit = one.claim.group, 1 << one.claim.index
        before = self.groups.get(group)
        if before is None:
            before = account.groups.get(group) or 0
        if before & bit:
            return  # a duplicate in the same batch
        self.groups[group] = before | bit
        never_admitted = group in account.groups and account.groups.get(group) is None
        if never_admitted and not one.claim.uncounted:
            return  # marking it settled is what keeps a request that is still under way from admitting it
        for name in one.scopes:
            self._charge(name, account.scope(name), one, debt_second)
        if one.usage is None:
            return
        item = _usage_item(one, one.usage)
        known = self.usages.get(item.id)
        self.usages[item.id] = item if known is None else _sum(known, item)
        spent = self.scopes.setdefault(TENANT_SCOPE, Change()).spent
        for key in spending_keys(one.claim.second):
            spent[key] = spent.get(key, 0) + one.used_tokens

    def _charge(self, name: str, seen: Scope | None, one: Settlement, debt_second: int) -> None:
        claim, used = one.claim, one.used_tokens
        change = self.scopes.setdefault(name, Change())
        if claim.uncounted:
            if one.usage is not None:
                change.add(debt_second, Amount(used, 1, used, 1))
            return
        if seen is not None and has_bucket(seen, claim.second):
            if one.usage is None:
                change.add(claim.second, Amount(tokens=-claim.tokens, requests=-1))
            else:
                within = min(used, claim.tokens)
                change.add(claim.second, Amount(tokens=within - claim.tokens, used=within, done=1))
        if used > claim.tokens:
            debt = used - claim.tokens
            change.add(debt_second, Amount(tokens=debt, used=debt))

    def _describe(self, account: Account) -> None:
        partition = account.partition
        for group, bits in self.groups.items():
            item_id, known = LockGroup.id_of(group), account.groups.get(group)
            if known is None and group in account.groups:
                self.operations.append(partition.creating(LockGroup(id=item_id, settled=f"{bits:x}")))
            else:
                mark = PatchOperation("set", "/settled", f"{bits:x}")
                condition = f'c.settled = "{known or 0:x}"'
                self.operations.append(partition.patching(item_id, Patch((mark,), condition)))
        for name, change in self.scopes.items():
            if change.amounts or change.spent:
                seen = account.scope(name)
                change.freed = _backlog(seen, account.earliest(), change)
                self.operations += operations(partition, name, seen, change)
        for item_id, item in self.usages.items():
            if item_id in account.usages and account.usages.get(item_id) is None:
                self.operations.append(partition.creating(item))
            else:
                self.operations.append(partition.patching(item_id, _usage_patch(item)))


def _backlog(seen: Scope | None, time: float, change: Change) -> list[int]:
    """Find what locks would long have freed, had there been any: one batch must stay able to free it all."""
    fallen_out = [] if seen is None else expired(seen, time)
    if len(fallen_out) <= WINDOW_SECONDS:
        return []
    return [second for second in fallen_out if second not in change.amounts][:WINDOW_SECONDS]


def _usage_item(what: Settlement, usage: Usage) -> UsageItem:
    # The lock's day, not the report's: it is the same whenever and wherever the report is repeated.
    day = datetime.fromtimestamp(what.claim.second, UTC).date().isoformat()
    names = (id_part(what.claim.model), id_part(what.app_id), id_part(what.user or ""))
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


def _sum(one: UsageItem, other: UsageItem) -> UsageItem:
    return one.model_copy(
        update={
            "prompt_tokens": one.prompt_tokens + other.prompt_tokens,
            "completion_tokens": one.completion_tokens + other.completion_tokens,
            "requests": one.requests + other.requests,
        }
    )


def _usage_patch(item: UsageItem) -> Patch:
    counts = {
        "prompt_tokens": item.prompt_tokens,
        "completion_tokens": item.completion_tokens,
        "requests": item.requests,
    }
    return Patch(tuple(PatchOperation("incr", f"/{name}", count) for name, count in counts.items()))
