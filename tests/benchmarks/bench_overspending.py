"""How far concurrent callers go over a budget: LiteLLM's proxy with limits, and this app.

Run with `pytest tests/benchmarks/bench_overspending.py -s`. 64 callers ask at once, again and again, a model
that takes 300 ms; what passed is what the model served. Figures are printed; that this app never goes over is
asserted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.gateways.load import Connection, RefusedRequestError
from tests.benchmarks.gateways.processes import on_load_core
from tests.benchmarks.gateways.started import (
    UNLIMITED,
    LiteLLMBudget,
    new_key,
    running_app,
    running_litellm,
    running_stub,
    served,
)
from tests.benchmarks.gateways.stub import PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.gateways.load import Gateway

CALLERS = 64
ROUNDS = 4
ANSWER_TOKENS = 920
TOKENS = PROMPT_TOKENS + ANSWER_TOKENS
BUDGET_TOKENS = 10 * TOKENS
DELAY_MS = 300
PRICE = 0.000001


@pytest.fixture(autouse=True)
def pinned() -> Iterator[None]:
    with on_load_core():
        yield


async def spend(gateway: Gateway) -> int:
    """Let all callers ask a few times; return how many were refused."""

    async def call(number: int) -> int:
        refused = 0
        for _ in range(ROUNDS):
            connection = await Connection.open(gateway.port)
            try:
                request = gateway.request(number, stream=False, max_tokens=ANSWER_TOKENS)
                await connection.ask(request, stream=False)
            except RefusedRequestError:
                refused += 1
            await connection.close()
        return refused

    return sum(await asyncio.gather(*(call(number) for number in range(CALLERS))))


def overspend(what: str, gateway: Gateway, stub: str) -> int:
    """Spend, print and return by how many tokens the budget was exceeded."""
    before = served(stub)[1]
    refused = asyncio.run(spend(gateway))
    tokens = served(stub)[1] - before
    over = max(0, tokens - BUDGET_TOKENS)
    print(
        f"{what:<44}{BUDGET_TOKENS:>9}{tokens:>10}{over:>10}{over / BUDGET_TOKENS:>9.1%}{refused:>9}",
        flush=True,
    )
    return over


def test_how_far_64_callers_go_over_a_budget(tmp_path: Path, gateway_python: Path) -> None:
    print(f"\n{'64 callers at once':<44}{'budget':>9}{'passed':>10}{'over':>10}{'':>9}{'refused':>9}")
    with running_stub(tmp_path, delay_ms=DELAY_MS) as stub:
        with running_app(tmp_path / "app", stub, 1) as (app, platform):
            key = new_key(platform, UNLIMITED | {"tokens_per_minute": BUDGET_TOKENS})
            gateway = type(app.gateway)(app.gateway.port, app.gateway.path, (key,))
            over = overspend("this app, tokens of a minute", gateway, stub)
            day = new_key(platform, UNLIMITED | {"tokens_per_day": BUDGET_TOKENS})
            gateway = type(app.gateway)(app.gateway.port, app.gateway.path, (day,))
            over += overspend("this app, tokens of a day", gateway, stub)
        limits = LiteLLMBudget(tokens_per_minute=BUDGET_TOKENS)
        keys = ("sk-tenant",)
        with running_litellm(tmp_path, gateway_python, stub, keys=keys, budget=limits) as litellm:
            overspend("litellm, a key's tokens of a minute", litellm.gateway, stub)
        dollars = LiteLLMBudget(dollars=BUDGET_TOKENS * PRICE, dollars_per_token=PRICE)
        with running_litellm(tmp_path, gateway_python, stub, budget=dollars) as litellm:
            overspend("litellm, a deployment's dollars of a day", litellm.gateway, stub)
    assert over == 0
