"""`python -m tests.benchmarks.ratios`: the cost of the app's paths in pieces of fixed work, and what rose.

Times differ from machine to machine, ratios of CPU much less: CI compares them with `ratios.json`, whose
figures `--write` renews. What is more than a fifth above its figure is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from tests.support.whole_app import WholeApp

TABLE = Path(__file__).with_name("ratios.json")
WORSE = 1.2
ROUNDS = 9
CALLS = 60
_DOCUMENT = {"name": "unit", "values": list(range(200)), "texts": {str(n): "text " * 8 for n in range(60)}}


def fixed_work() -> None:
    """Do what depends on the machine alone: JSON, hashes and a loop, about a millisecond of them."""
    total = 0
    for _ in range(8):
        text = json.dumps(_DOCUMENT)
        total += len(json.loads(text)["values"]) + hashlib.sha256(text.encode()).digest()[0]
        total += sum(number * number % 7 for number in range(1_000))
    if total < 0:
        raise AssertionError("a sum of what is not negative")


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect garbage before the block, and not within it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def measure() -> dict[str, float]:
    """Return the cost of each path in pieces of fixed work; of both the best of some rounds."""
    unit, best = float("inf"), dict[str, float]()
    async with whole_app() as app:
        paths = await open_paths(app)
        for _ in range(ROUNDS):
            with no_collections():
                began = time.process_time()
                for _ in range(CALLS):
                    fixed_work()
                unit = min(unit, time.process_time() - began)
            for name, call in paths.items():
                with no_collections():
                    began = time.process_time()
                    for _ in range(CALLS):
                        await call()
                    best[name] = min(best.get(name, float("inf")), time.process_time() - began)
    return {name: cost / unit for name, cost in best.items()}


async def open_paths(app: WholeApp) -> dict[str, Callable[[], Awaitable[object]]]:
    """Make what the paths need; return one call of each."""
    await app.new_tenant("acme")
    key = await app.new_key("acme", Role.TENANT_ADMIN)
    await app.must("save_prompt", Call.of({"template": "Hello {name}."}, headers=key, name="greeting"))
    await app.must("save_bot", Call.of({"system_prompt": "You help."}, headers=key, bot_id="helper"))
    numbers = iter(range(10**9))

    def chat() -> Awaitable[object]:
        body = {"message": "Hello?", "conversation_id": f"c{next(numbers)}"}
        return app.must("chat", Call.of(body, headers=key, bot_id="helper"))

    def lock() -> Awaitable[object]:
        body = {"app_id": "bench", "token_count": 1}
        return app.must("lock_tokens", Call.of(body, headers=key))

    return {
        "liveness": lambda: app.must("health_live", Call()),
        "read a prompt": lambda: app.must("get_prompt", Call(headers=key, path={"name": "greeting"})),
        "render a prompt": lambda: app.must(
            "render_prompt", Call.of({"variables": {"name": "you"}}, headers=key, name="greeting")
        ),
        "list bots": lambda: app.must("list_bots", Call(headers=key)),
        "lock tokens": lock,
        "one turn of a bot": chat,
    }


def name_worse(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Name each path that costs more than a fifth above its figure, and each that only one side has."""
    lines = [
        f"{name}: {now[name]:.2f}, was {before[name]:.2f}: {now[name] / before[name] - 1:+.0%}"
        for name in before
        if name in now and now[name] > before[name] * WORSE
    ]
    lines += [f"{name}: has no figure in ratios.json" for name in now if name not in before]
    return lines + [f"{name}: is not measured any more" for name in before if name not in now]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and name what became worse."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ratios", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the figures")
    write = parser.parse_args(arguments).write
    now = asyncio.run(measure())
    before: dict[str, float] = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    print(f"{'path':24}{'now':>8}{'before':>8}")
    for name, cost in now.items():
        print(f"{name:24}{cost:8.2f}{before.get(name, 0):8.2f}")
    if write:
        TABLE.write_text(json.dumps({name: round(cost, 3) for name, cost in now.items()}, indent=2) + "\n")
        return 0
    worse = name_worse(before, now)
    for line in worse:
        print(f"worse: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
