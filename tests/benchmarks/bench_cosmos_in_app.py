"""What the app's requests cost with azure-cosmos and with the Cosmos client of our own, side by side.

Run with `pytest tests/benchmarks/bench_cosmos_in_app.py -s`. Two apps that differ in `COSMOS_CLIENT` alone
run on one core, load, stores and the stub of a model on the other; they are measured in turns, and the least
of the rounds counts. Beside them is the least that forwards a chat completion at all. Figures are printed,
not asserted.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.benchmarks.bench_chat import INSTRUCTIONS, Client
from tests.benchmarks.gateways.load import load
from tests.benchmarks.gateways.processes import on_load_core
from tests.benchmarks.gateways.started import UNLIMITED, running_app, running_floor, running_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from tests.benchmarks.gateways.started import Started
    from tests.integration_tests.platform import Platform

CLIENTS: Final = ("sdk", "fast")
ROUNDS: Final = 3
TOGETHER: Final = 32
TENANTS: Final = 32

WHOLE, STREAMED = "chat completion, plain", "chat completion, 50 parts"
TURN, STREAMED_TURN, READ = "a bot's turn, plain", "a bot's turn, streamed", "GET /bots/{bot_id}"
COUNTS: Final = {WHOLE: 1_600, STREAMED: 640, TURN: 640, STREAMED_TURN: 320, READ: 3_200}
WANTED: Final = {
    WHOLE: "at most 4 times the floor",
    STREAMED: "at most 3 times the floor",
    TURN: "at most 1.2 ms",
    READ: "was 0.93 ms",
}

type Work = Callable[[int], Coroutine[object, object, object]]


@pytest.fixture(autouse=True)
def pinned() -> Iterator[None]:
    with on_load_core():
        yield


@dataclass(slots=True)
class Side:
    """One of those that are compared.

    Attributes:
        started: Its process.
        works: What is asked of it, so many times.
        best: The least CPU of each so far, in milliseconds.
    """

    started: Started
    works: dict[str, Work]
    best: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str) -> None:
        """Ask as often as this is asked, on a process that is warm; keep the cost if it is the least."""
        work, count = self.works[name], COUNTS[name]
        asyncio.run(work(count // 8))
        cpu = self.started.process.cpu_seconds()
        asyncio.run(work(count))
        cost = 1_000 * (self.started.process.cpu_seconds() - cpu) / count
        self.best[name] = min(cost, self.best.get(name, cost))


def completions(started: Started, *, stream: bool) -> Work:
    """Return what asks for chat completions."""
    return lambda count: load(started.gateway, count, TOGETHER, stream=stream)


def turns(client: Client, *, stream: bool) -> Work:
    """Return what talks to a bot, in conversations that are new each time."""

    async def work(count: int) -> None:
        left, name = iter(range(count)), time.time_ns()
        await asyncio.gather(
            *(client.converse(f"c-{name}-{at}", left, stream=stream) for at in range(TOGETHER))
        )

    return work


def reads(client: Client) -> Work:
    """Return what reads a bot."""
    request = (
        f"GET /api/v1/bots/b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.key}\r\n\r\n"
    ).encode()

    async def work(count: int) -> None:
        left = iter(range(count))

        async def some() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            for _ in left:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if not head.startswith(b"http/1.1 200"):
                    raise RuntimeError(head.decode())
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
            writer.close()

        await asyncio.gather(*(some() for _ in range(TOGETHER)))

    return work


def new_client(started: Started, app: Platform) -> Client:
    """Make a tenant with a bot, and a client of it."""
    tenant = app.new_tenant("premium")
    app.admin.must("PUT", f"/api/v1/tenants/{tenant}/limits", UNLIMITED)
    caller = app.caller(tenant)
    caller.must("PUT", "/api/v1/bots/b", {"system_prompt": INSTRUCTIONS})
    return Client(started.gateway.port, caller.key)


def side_of(started: Started, app: Platform) -> Side:
    """Return an app with all that is asked of it."""
    client = new_client(started, app)
    works = {
        WHOLE: completions(started, stream=False),
        STREAMED: completions(started, stream=True),
        TURN: turns(client, stream=False),
        STREAMED_TURN: turns(client, stream=True),
        READ: reads(client),
    }
    return Side(started, works)


def tell(sides: dict[str, Side]) -> None:
    """Print what each costs, and what was wanted."""
    print(f"\n{'CPU ms, 32 at once':<28}{'sdk':>8}{'fast':>8}{'saved':>8}{'floor':>8}{'x floor':>9}")
    for name in COUNTS:
        before, now = (sides[client].best[name] for client in CLIENTS)
        floor = sides["floor"].best.get(name)
        beside = "" if floor is None else f"{floor:>8.2f}{now / floor:>9.1f}"
        print(
            f"{name:<28}{before:>8.2f}{now:>8.2f}{1 - now / before:>8.0%}{beside:17}  {WANTED.get(name, '')}"
        )


@pytest.mark.timeout(1800)
def test_the_app_with_each_client(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stub = stack.enter_context(running_stub(tmp_path))
        floor = stack.enter_context(running_floor(tmp_path, stub))
        works = {WHOLE: completions(floor, stream=False), STREAMED: completions(floor, stream=True)}
        sides = {"floor": Side(floor, works)}
        for client in CLIENTS:
            settings = {"COSMOS_CLIENT": client}
            app = stack.enter_context(running_app(tmp_path / client, stub, TENANTS, settings))
            sides[client] = side_of(*app)
        for number in range(ROUNDS):
            for name in COUNTS:
                for side in sides.values():
                    if name in side.works:
                        side.measure(name)
            print(f"round {number + 1} of {ROUNDS}", flush=True)
        tell(sides)
