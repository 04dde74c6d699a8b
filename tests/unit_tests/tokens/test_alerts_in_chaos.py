"""Instances spend, sweep and die at random: what arrives is compared with what the books say in the end."""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from shared.cosmos.partition import Partition
from shared.errors import DependencyUnavailableError
from shared.tenancy.context import Role
from shared.tokens.counters import TENANT_COUNTER, WindowCounter
from shared.tokens.limits import LimitsOverride, LimitStore
from tests.support.budget_alerts import ACME, Broker, Instance, KilledError
from tests.support.fakes import Call
from tests.support.soak import SOAK, sized
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.support.fakes import Answer

BUDGET = 1_000
LARGEST = 200
RUNS = range(50 if SOAK else 2)
STEPS = 400 if SOAK else 50

pytestmark = sized(60)


class Chaos:
    """One run: an instance that is replaced whenever it is killed, and the faults that befall it."""

    def __init__(self, chance: random.Random, first: Instance, headers: dict[str, str]) -> None:
        self.chance = chance
        self.instance = first
        self.headers = headers
        self.clock = first.app.clock
        self.transport = first.app.cosmos.transport
        self.kills = 0
        self.spent: dict[str, int] = {}
        self.calm = False
        self.transport.watch = self.transport.watch_done = self._perhaps_kill
        first.broker.after_sending = lambda: self._perhaps_kill(None)

    def _perhaps_kill(self, request: Any) -> None:  # noqa: ANN401  # azure-core's
        if not self.calm and self.chance.random() < 0.02:
            self.kills += 1
            raise KilledError
        if request is not None and not self.calm and self.chance.random() < 0.01:
            self.transport.lose_answers = 1

    async def survive(self, work: Awaitable[object]) -> None:
        """Do something that may end the instance, and start another one if it has."""
        try:
            await work
        except KilledError:
            self.transport.lose_answers = 0
            self.instance = Instance(self.instance.app.another_instance(), self.instance.broker)
        except DependencyUnavailableError:
            pass

    async def step(self) -> None:
        """Let something happen."""
        self.clock.advance(self.chance.uniform(1, 30))
        self.instance.broker.is_down = self.chance.random() < 0.2
        kind = self.chance.choices(("use", "sweep", "day"), (10, 4, 0.3))[0]
        if kind == "use":
            await self.survive(self._use(self.chance.randrange(1, LARGEST)))
        elif kind == "sweep":
            await self.survive(self.instance.sweep())
        else:
            self.clock.advance(12 * 3600)

    async def look_into_the_books(self) -> None:
        """Remember what was reported by day: the ledger forgets days that are long over."""
        calm, self.calm = self.calm, True
        partition = Partition.of(ACME, self.instance.app.runtime.container("ledger"))
        books = await partition.read(WindowCounter, TENANT_COUNTER)
        assert books is not None
        self.spent |= {key: used for key, used in books.spent.items() if key.startswith("d")}
        self.calm = calm

    async def settle(self) -> bool:
        """Let nothing more go wrong, and everything be told; tell whether a last lock was refused."""
        self.calm, self.instance.broker.is_down = True, False
        self.transport.lose_answers = 0
        self.clock.advance(61)  # locks of the dead end, and so does an open breaker
        refused = not await self._use(LARGEST)
        for _ in range(2):
            await self.instance.sweep()
        return refused

    async def _use(self, tokens: int) -> bool:
        """Lock and report, as far as the store lets itself be asked; tell whether the lock was admitted."""
        body: dict[str, object] = {"app_id": "bot", "token_count": tokens}
        lock = await self._call("lock_tokens", body)
        admitted = lock.status == 200 and bool(lock.json()["allowed"])
        if admitted:
            body = {"app_id": "bot", "request_id": lock.json()["request_id"], "prompt_tokens": tokens}
            lock = await self._call("report_tokens", body | {"completion_tokens": 0})
        assert lock.status in {200, 503, 504}, lock.body
        return admitted

    async def _call(self, name: str, body: dict[str, object]) -> Answer:
        """Send a request; an instance that is killed meanwhile gives no answer, whatever its edge renders."""
        kills = self.kills
        answer = await self.instance.app.client.call(name, Call.of(body, headers=self.headers))
        if self.kills > kills:
            raise KilledError
        return answer


@pytest.mark.parametrize("seed", RUNS)
async def test_what_arrives_is_what_the_books_say(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # repeats the same run
    async with whole_app() as app:
        await app.new_tenant("acme", "standard")
        await LimitStore(app.runtime.container("ledger")).put(ACME, LimitsOverride(tokens_per_day=BUDGET))
        chaos = Chaos(chance, Instance(app, Broker()), await app.new_key("acme", Role.USER))
        for _ in range(STEPS):
            await chaos.step()
            await chaos.look_into_the_books()
        refused, today = await chaos.settle(), f"d{app.clock.now():%Y%m%d}"
        await chaos.look_into_the_books()
        told = chaos.instance.broker.received().values()

    spent = chaos.spent
    assert chaos.kills > STEPS / 40
    sys.stdout.write(f"seed {seed}: {chaos.kills} kills, {len(spent)} days, {len(told)} alerts\n")
    by_day = Counter((one["starts"].replace("-", ""), one["percent"]) for one in told)
    assert set(by_day.values()) <= {1}
    assert {f"d{day}" for day, percent in by_day if percent == 80} == {
        day for day, used in spent.items() if used * 100 >= BUDGET * 80
    }
    ended = {f"d{day}" for day, percent in by_day if percent == 100}
    assert ended >= {day for day, used in spent.items() if used >= BUDGET}
    assert ended <= {day for day, used in spent.items() if used + LARGEST > BUDGET}
    if refused and spent[today] * 100 >= BUDGET * 80:
        assert today in ended, "an undisturbed refusal was its end"
