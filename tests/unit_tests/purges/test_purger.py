"""The purger over many purges at once, with what it works on under control."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from functions.purges.purger import Purger
from shared.tenancy.purges import PurgeItem
from shared.tenancy.store import Tier
from tests.support.fakes import EPOCH, FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.purges.purger import OwnedPlace
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.context import TenantId
    from shared.tenancy.purges import Purges
    from shared.tenancy.store import TenantStore


class KilledError(BaseException):
    """The process is gone."""


@dataclass
class World:
    """Purges that are closed and settled, of tenants that own nothing any more."""

    purges: list[str]
    killed_at: str = ""
    opened: list[str] = field(default_factory=list)
    pages: list[str | None] = field(default_factory=list)
    over: list[str] = field(default_factory=list)

    def purger(self) -> Purger:
        world = self
        return Purger(
            cast("Purges", world),
            cast("TenantStore", world),
            self.open_owned,
            cast("AuditTrail", world),
            FakeClock(),
            0.0,
        )

    async def list_unfinished(self, after: str | None, limit: int) -> list[PurgeItem]:
        self.pages.append(after)
        found = [name for name in self.purges if name > (after or "")]
        return [
            PurgeItem(
                id=name, purged=name, tier=Tier.FREE, created_at=EPOCH, requested_at=EPOCH, closed_at=EPOCH
            )
            for name in found[:limit]
        ]

    def open_owned(self, tenant_id: TenantId, *, with_tenant: bool) -> Mapping[str, OwnedPlace]:
        assert with_tenant
        self.opened.append(tenant_id)
        if tenant_id == self.killed_at:
            raise KilledError
        return {}

    async def forget_name(self, tenant_id: TenantId) -> None: ...

    async def record(self, *_: object, **__: object) -> None: ...

    async def note_counts(self, purge: PurgeItem, counts: dict[str, int]) -> None:
        assert counts == {}
        self.over.append(purge.purged)


@pytest.mark.parametrize("count", [0, 1, 20, 21, 45])
async def test_every_purge_is_worked_on_once_however_many_there_are(count: int) -> None:
    names = [f"t{number:03}" for number in range(count)]
    world = World(names)
    await world.purger().run()

    assert sorted(world.opened) == sorted(world.over) == names
    assert world.pages == ["", *names[19::20]]


async def test_a_run_whose_process_is_ended_goes_no_further() -> None:
    world = World([f"t{number:03}" for number in range(45)], killed_at="t007")
    with pytest.raises(KilledError):
        await world.purger().run()

    assert world.pages == [""]
