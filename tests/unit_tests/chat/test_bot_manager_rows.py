"""The faults of the bot manager that this one must not have, row by row of the table in seeds/README.md.

The last row, two instances that continue one conversation, is proved with two host processes in
tests/integration_tests/chat/test_two_hosts.py, and with processes that are killed in test_processes.py there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.bots.manager import BotContext, BotManager
from shared.errors import APIError, DependencyUnavailableError
from shared.tenancy.context import acting_for
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from tests.unit_tests.chat.app import App

ACME, GLOBEX = tenant_context("acme"), tenant_context("globex")
CONFIG = {"system_prompt": "You help."}


async def test_a_tenant_with_anothers_conversation_id_begins_one_of_its_own(app: App) -> None:
    manager = BotManager(runtime=app.runtime)
    for tenant, message in ((ACME, "a secret of acme"), (GLOBEX, "hello")):
        with acting_for(tenant):
            bot = await manager.get_or_create("shared", config=CONFIG)
            await bot.chat(message, BotContext("conv-123", tenant.tenant_id))

    assert app.model.said == [("system", "You help."), ("user", "hello")]


async def test_ten_at_once_build_one_bot_and_the_cache_has_a_bound(app: App) -> None:
    loads = 0

    async def load(_: str) -> dict[str, Any]:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return CONFIG

    manager = BotManager(load, runtime=app.runtime, max_bots=3)
    with acting_for(ACME):
        bots = await asyncio.gather(*(manager.get_or_create("one") for _ in range(10)))
        assert (len({id(bot) for bot in bots}), loads) == (1, 1)
        for number in range(10):
            await manager.get_or_create(f"b{number}")
        assert manager.list_bots() == ["b7", "b8", "b9"]


async def test_a_failing_loader_during_reload_leaves_the_running_bot(app: App) -> None:
    fails = False

    def load(_: str) -> dict[str, Any]:
        if fails:
            raise OSError("the disk is gone")
        return CONFIG

    manager = BotManager(load, runtime=app.runtime)
    with acting_for(ACME):
        bot = await manager.get_or_create("b")
        fails = True
        with pytest.raises(DependencyUnavailableError):
            await manager.reload("b")
        assert await manager.get("b") is bot
        assert await bot.chat("hi", BotContext("c", "acme")) == "answer 1"


async def test_a_store_that_fails_on_resume_is_a_503_and_the_history_stays(app: App) -> None:
    manager = BotManager(runtime=app.runtime)
    with acting_for(ACME):
        bot = await manager.get_or_create("b", config=CONFIG)
        await bot.chat("one", BotContext("c", "acme"))
        before = await app.turns()
        app.trouble.at(1, requests=100)
        with pytest.raises(APIError, match="history is untouched") as refused:
            await bot.chat("two", BotContext("c", "acme"))
        app.cosmos.transport.lose_requests = 0

        assert refused.value.status == 503
        assert await app.turns() == before
        await bot.chat("three", BotContext("c", "acme"))
    assert app.model.said[1:] == [("user", "one"), ("assistant", "answer 1"), ("user", "three")]
