"""`BotManager`: each tenant's bots apart, made once, bounded, and served with the last good configuration."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from functions.chat.bots.configurations import LOADED_FRESHNESS
from functions.chat.bots.errors import BotCreationError, BotNotFoundError
from functions.chat.bots.loaders import LoaderCall
from functions.chat.bots.manager import BotContext, BotManager, DynaBot
from shared.errors import (
    ConflictError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    PermissionDeniedError,
    ValidationError,
)
from shared.telemetry.spans import start_telemetry, stop_telemetry
from shared.tenancy.context import acting_for, ambient_tenant
from tests.support.fakes import tenant_context, user_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from functions.chat.bots.loaders import ConfigLoader
    from shared.telemetry.spans import Attributes, SpanFacts
    from tests.support.fakes import FakeClock
    from tests.unit_tests.chat.app import App

ACME, GLOBEX = tenant_context("acme"), tenant_context("globex")
CONFIG = {"llm": {"provider": "openai", "model": "gpt-4o"}, "system_prompt": "You help."}
SECONDS_IN_FORCE = LOADED_FRESHNESS.ttl_seconds + LOADED_FRESHNESS.stale_seconds


def config(text: str) -> dict[str, Any]:
    return {"system_prompt": text}


def context(tenant_id: str = "acme", conversation_id: str = "c", user_id: str | None = None) -> BotContext:
    return BotContext(conversation_id=conversation_id, client_id=tenant_id, user_id=user_id)


class Loader:
    """Loads what it has, or fails, and counts how often it is asked."""

    def __init__(self, **configs: object) -> None:
        self.configs: dict[str, Any] = dict(configs)
        self.failure: Exception | None = None
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def load(self, bot_id: str) -> Mapping[str, Any] | None:
        self.asked.append(bot_id)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self.configs.get(bot_id)


def manager_of(app: App, loader: ConfigLoader | None = None, max_bots: int = 100) -> BotManager:
    return BotManager(loader, runtime=app.runtime, max_bots=max_bots)


@pytest.fixture
def acme() -> Iterator[None]:
    with acting_for(ACME):
        yield


@pytest.mark.usefixtures("acme")
class TestOneTenant:
    async def test_a_bot_with_a_given_configuration_answers_and_is_the_same_bot_next_time(
        self, app: App
    ) -> None:
        manager = manager_of(app)
        bot = await manager.get_or_create("helper", config=CONFIG)

        assert await bot.chat("hello", context()) == "answer 1"
        assert app.model.said == [("system", "You help."), ("user", "hello")]
        assert app.model.callers == [("acme", "bot:helper")]
        assert await manager.get_or_create("helper") is bot is await manager.get("helper")
        assert isinstance(bot, DynaBot)

    async def test_its_turns_are_those_that_the_routes_show(self, app: App) -> None:
        manager = manager_of(app)
        bot = await manager.get_or_create("b")
        await bot.chat("one", context())
        await app.chat("two")

        assert [(message, response) for _, _, message, response in await app.turns()] == [
            ("one", "answer 1"),
            ("two", "answer 2"),
        ]

    async def test_without_a_loader_the_stored_bot_answers_and_else_the_global_one(self, app: App) -> None:
        await app.save_bot("g", headers=app.admin, query="scope=global", system_prompt="everybody's")
        manager = manager_of(app)

        for bot_id, text in (("b", "Be brief."), ("g", "everybody's")):
            await (await manager.get_or_create(bot_id)).chat("hi", context())
            assert app.model.said[0] == ("system", text)
        with pytest.raises(BotNotFoundError):
            await manager.get_or_create("nowhere")

    async def test_the_lifecycle_is_the_documents(self, app: App) -> None:
        manager = manager_of(app, Loader(a=CONFIG, b=CONFIG))

        assert await manager.get("a") is None
        made = [await manager.get_or_create(bot_id) for bot_id in ("b", "a")]
        assert (manager.list_bots(), manager.get_bot_count()) == (["a", "b"], 2)
        assert (await manager.remove("a"), await manager.remove("a")) == (True, False)
        assert await manager.get("a") is None
        assert await manager.reload("b") is made[0]
        await manager.clear_all()
        assert (manager.list_bots(), manager.get_bot_count()) == ([], 0)

    async def test_ten_who_ask_at_once_get_one_bot_by_one_load(self, app: App) -> None:
        loader = Loader(a=CONFIG)
        loader.gate = asyncio.Event()
        manager = manager_of(app, loader)
        asking = [asyncio.create_task(manager.get_or_create("a")) for _ in range(10)]
        await asyncio.sleep(0.01)
        loader.gate.set()

        bots = await asyncio.gather(*asking)

        assert len({id(bot) for bot in bots}) == 1
        assert loader.asked == ["a"]

    async def test_a_failed_load_fails_for_all_who_wait_and_the_next_one_is_tried_again(
        self, app: App
    ) -> None:
        loader = Loader(a=CONFIG)
        loader.failure = OSError("no disk")
        manager = manager_of(app, loader)

        failed = await asyncio.gather(*(manager.get_or_create("a") for _ in range(3)), return_exceptions=True)
        loader.failure = None

        assert {type(error) for error in failed} == {DependencyUnavailableError}
        assert len(loader.asked) == 1
        assert await (await manager.get_or_create("a")).chat("hi", context()) == "answer 1"

    async def test_a_failing_loader_leaves_the_last_good_bot_serving(
        self, app: App, clock: FakeClock
    ) -> None:
        loader = Loader(a=config("good"))
        manager = manager_of(app, loader)
        bot = await manager.get_or_create("a")
        for failure in (OSError("no disk"), ValueError("half a file"), RuntimeError("bug")):
            loader.failure = failure
            with pytest.raises((BotCreationError, DependencyUnavailableError)):
                await manager.reload("a")
            for _ in range(2):
                clock.advance(SECONDS_IN_FORCE + 1)
                assert await manager.get("a") is bot
                await bot.chat("hi", context())
                assert app.model.said[0] == ("system", "good")

    async def test_an_invalid_configuration_is_no_reason_to_lose_the_last_good_one(
        self, app: App, clock: FakeClock
    ) -> None:
        loader = Loader(a=config("good"))
        manager = manager_of(app, loader)
        bot = await manager.get_or_create("a")
        loader.configs["a"] = {"system_prompt": "bad", "llm": {"api_key": "x"}}

        with pytest.raises(BotCreationError, match=r"config\.llm\.api_key"):
            await manager.reload("a")
        clock.advance(SECONDS_IN_FORCE + 1)
        await bot.chat("hi", context())
        assert app.model.said[0] == ("system", "good")

    async def test_a_changed_configuration_is_picked_up_within_its_time_or_by_a_reload(
        self, app: App, clock: FakeClock
    ) -> None:
        loader = Loader(a=config("first"))
        manager = manager_of(app, loader)
        bot = await manager.get_or_create("a")
        loader.configs["a"] = config("second")

        await bot.chat("hi", context())
        assert app.model.said[0] == ("system", "first")
        clock.advance(SECONDS_IN_FORCE)
        await bot.chat("hi", context())
        assert app.model.said[0] == ("system", "second")

        loader.configs["a"] = config("third")
        assert await manager.reload("a") is bot
        await bot.chat("hi", context())
        assert app.model.said[0] == ("system", "third")

    async def test_a_reload_makes_a_loaded_bot_of_a_given_one(self, app: App) -> None:
        manager = manager_of(app, Loader(a=config("loaded")))
        given = await manager.get_or_create("a", config=config("given"))

        reloaded = await manager.reload("a")

        assert reloaded is not given
        assert await manager.get("a") is reloaded
        await reloaded.chat("hi", context())
        assert app.model.said[0] == ("system", "loaded")

    async def test_a_warm_bot_asks_its_loader_nothing(self, app: App) -> None:
        loader = Loader(a=CONFIG)
        bot = await manager_of(app, loader).get_or_create("a")
        for _ in range(3):
            await bot.chat("hi", context())

        assert loader.asked == ["a"]

    async def test_beyond_the_bound_the_least_recently_used_bot_goes_and_none_that_is_answering(
        self, app: App
    ) -> None:
        manager = manager_of(app, max_bots=2)
        used, other = [await manager.get_or_create(bot_id, CONFIG) for bot_id in ("used", "other")]
        await manager.get_or_create("used")
        await manager.get_or_create("third", CONFIG)
        assert manager.list_bots() == ["third", "used"]

        answering = asyncio.Event()

        async def watch() -> None:
            assert (used.in_use, other.in_use) == (True, False)
            await manager.get_or_create("fourth", CONFIG)
            await manager.get_or_create("fifth", CONFIG)
            answering.set()

        app.model.before_answering = watch
        await used.chat("hi", context())

        assert answering.is_set()
        assert manager.list_bots() == ["fifth", "used"]
        assert not used.in_use

    async def test_where_all_are_answering_there_is_one_too_many_until_they_are_done(self, app: App) -> None:
        manager = manager_of(app, max_bots=1)
        busy = await manager.get_or_create("busy", CONFIG)
        app.model.before_answering = lambda: manager.get_or_create("second", CONFIG)
        await busy.chat("hi", context())
        assert manager.list_bots() == ["busy", "second"]

        await manager.get_or_create("third", CONFIG)
        assert manager.list_bots() == ["third"]

    @pytest.mark.parametrize(
        ("configuration", "field"),
        [
            ({}, "config"),
            ({"system_prompt": "x", "secret": "y"}, "config.secret"),
            ({"system_prompt": "x", "llm": {"provider": "mars"}}, "config.llm.provider"),
        ],
    )
    async def test_an_invalid_given_configuration_is_refused_by_field(
        self, app: App, configuration: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(ValidationError) as refused:
            await manager_of(app).get_or_create("a", config=configuration)

        assert list(refused.value.detail["fields"]) == [field]  # type: ignore[arg-type]  # it is a mapping

    @pytest.mark.parametrize("bot_id", ["", "a/b", ".a", "x" * 125])
    async def test_an_id_is_as_plain_as_a_saved_bots(self, app: App, bot_id: str) -> None:
        with pytest.raises(ValidationError):
            await manager_of(app).get_or_create(bot_id, config=CONFIG)

    async def test_what_is_wrong_with_a_message_is_told_by_field(self, app: App) -> None:
        bot = await manager_of(app).get_or_create("a", config=CONFIG)

        with pytest.raises(ValidationError, match="conversation_id"):
            await bot.chat("hi", context(conversation_id="a/b"))
        with pytest.raises(ValidationError, match="message"):
            await bot.chat("", context())

    async def test_bots_failures_and_reloads_are_counted(self, app: App) -> None:
        loader = Loader(a=CONFIG)
        async with counting() as counts:
            manager = manager_of(app, loader)
            bot = await manager.get_or_create("a")
            await manager.reload("a")
            await bot.chat("hi", context())
            await bot.chat("again", context())
            app.model.failure = ConflictError("busy")
            with pytest.raises(ConflictError):
                await bot.chat("hi", context())
            with pytest.raises(BotNotFoundError):
                await manager.get_or_create("nowhere")
            await manager.remove("a")

        assert counts == {
            "tenantry.bots event=created": 1,
            "tenantry.bots event=reloaded": 1,
            "tenantry.bots event=destroyed": 1,
            "tenantry.bots.errors error.type=ConflictError": 1,
            "tenantry.bots.errors error.type=BotNotFoundError": 1,
            "tenantry.conversations event=begun": 1,
        }


class TestTenants:
    async def test_without_a_tenant_nothing_is_done(self, app: App) -> None:
        manager = manager_of(app, Loader(a=CONFIG))
        with acting_for(ACME):
            bot = await manager.get_or_create("a")

        for call in (
            manager.get_or_create("a"),
            manager.get("a"),
            manager.remove("a"),
            manager.reload("a"),
            manager.clear_all(),
            bot.chat("hi", context()),
        ):
            with pytest.raises(ValueError, match="tenant_id is required"):
                await call
        for look in (manager.list_bots, manager.get_bot_count):
            with pytest.raises(ValueError, match="tenant_id is required"):
                look()

    async def test_a_client_that_is_not_the_ambient_tenant_looks_absent(self, app: App) -> None:
        manager = manager_of(app)
        with acting_for(ACME):
            bot = await manager.get_or_create("a", config=CONFIG)
            with pytest.raises(BotNotFoundError):
                await bot.chat("hi", context("globex"))
        with acting_for(GLOBEX), pytest.raises(BotNotFoundError):
            await bot.chat("hi", context("globex"))
        with acting_for(GLOBEX), pytest.raises(BotNotFoundError):
            await bot.chat("hi", context("acme"))
        assert app.model.prompts == []

    async def test_each_tenant_has_bots_of_its_own(self, app: App) -> None:
        manager = manager_of(app)
        with acting_for(ACME):
            ours = await manager.get_or_create("a", config=config("ours"))
        with acting_for(GLOBEX):
            assert (await manager.get("a"), manager.list_bots()) == (None, [])
            theirs = await manager.get_or_create("a", config=config("theirs"))
            assert await manager.remove("b") is False
            await theirs.chat("hi", context("globex"))
            assert app.model.said[0] == ("system", "theirs")
            await manager.clear_all()
        with acting_for(ACME):
            assert await manager.get("a") is ours is not theirs

    async def test_a_conversations_name_is_another_conversation_for_another_tenant(self, app: App) -> None:
        manager = manager_of(app)
        for tenant in (ACME, GLOBEX):
            with acting_for(tenant):
                bot = await manager.get_or_create("shared", config=CONFIG)
                await bot.chat(f"from {tenant.tenant_id}", context(tenant.tenant_id))

        assert app.model.said == [("system", "You help."), ("user", "from globex")]

    async def test_a_users_token_says_who_speaks(self, app: App) -> None:
        manager = manager_of(app)
        with acting_for(user_context("ann")):
            bot = await manager.get_or_create("a", config=CONFIG)
            with pytest.raises(PermissionDeniedError):
                await bot.chat("hi", context(user_id="bob"))
            await bot.chat("hi", context())

        assert app.model.prompts[-1].user == "ann"

    async def test_a_tenant_with_many_bots_pushes_out_its_own(self, app: App) -> None:
        manager = manager_of(app, max_bots=3)
        with acting_for(GLOBEX):
            await manager.get_or_create("only", config=CONFIG)
        with acting_for(ACME):
            for number in range(5):
                await manager.get_or_create(f"b{number}", config=CONFIG)
            assert manager.list_bots() == ["b3", "b4"]
        with acting_for(GLOBEX):
            assert manager.list_bots() == ["only"]

    async def test_a_loader_can_tell_for_whom_it_loads(self, app: App) -> None:
        def load(_: str) -> dict[str, Any]:
            return config(f"for {ambient_tenant().tenant_id}")

        manager = manager_of(app, load)
        for tenant in (ACME, GLOBEX):
            with acting_for(tenant):
                bot = await manager.get_or_create("a")
                await bot.chat("hi", context(tenant.tenant_id))
                assert app.model.said[0] == ("system", f"for {tenant.tenant_id}")

    async def test_managers_do_not_share_what_they_loaded(self, app: App) -> None:
        managers = [manager_of(app, Loader(a=config(text))) for text in ("left", "right")]
        with acting_for(ACME):
            for manager, text in zip(managers, ("left", "right"), strict=True):
                await (await manager.get_or_create("a")).chat("hi", context())
                assert app.model.said[0] == ("system", text)


class TestLoaders:
    async def test_a_loader_that_blocks_does_not_block_the_loop(self) -> None:
        release = threading.Event()
        main = threading.current_thread()

        def load(_: str) -> dict[str, Any]:
            assert threading.current_thread() is not main
            assert release.wait(5)
            return CONFIG

        loading = asyncio.create_task(LoaderCall(load).load("a"))
        await asyncio.sleep(0)  # the loop is free
        release.set()

        assert (await loading).llm.model == "gpt-4o"

    async def test_any_kind_of_loader_is_taken(self) -> None:
        class Blocking:
            def load(self, bot_id: str) -> dict[str, Any]:
                return config(bot_id)

        class Awaiting:
            async def load(self, bot_id: str) -> dict[str, Any]:
                return config(bot_id)

        class Calling:
            async def __call__(self, bot_id: str) -> dict[str, Any]:
                return config(bot_id)

        async def function(bot_id: str) -> dict[str, Any]:
            return config(bot_id)

        loaders: list[ConfigLoader] = [config, function, Blocking(), Awaiting(), Calling()]
        for loader in loaders:
            assert (await LoaderCall(loader).load("a")).system_prompt == "a"

    @pytest.mark.parametrize(
        ("failure", "error"),
        [
            (KeyError("a"), BotNotFoundError),
            (FileNotFoundError("a.yaml"), BotNotFoundError),
            (ValueError("Unknown bot: a"), BotCreationError),
            (OSError("down"), DependencyUnavailableError),
            (RuntimeError("postgres://user:password@host"), DependencyUnavailableError),
            (ConflictError("mine"), ConflictError),
        ],
    )
    async def test_how_a_loader_ends_is_told_without_its_words(
        self, failure: Exception, error: type[Exception]
    ) -> None:
        def load(_: str) -> dict[str, Any]:
            raise failure

        with pytest.raises(error) as raised:
            await LoaderCall(load).load("a")

        assert "password" not in str(raised.value)

    async def test_a_loader_that_gives_nothing_knows_no_such_bot(self) -> None:
        with pytest.raises(BotNotFoundError):
            await LoaderCall(lambda _: None).load("a")

    @pytest.mark.parametrize("given", ["text", 7, [CONFIG]])
    async def test_a_loader_that_gives_no_configuration_makes_no_bot(self, given: Any) -> None:  # noqa: ANN401  # whatever it is
        with pytest.raises(BotCreationError):
            await LoaderCall(lambda _: given).load("a")

    async def test_a_loader_that_takes_too_long_is_left(self) -> None:
        async def load(_: str) -> dict[str, Any]:
            await asyncio.Event().wait()
            return CONFIG

        with pytest.raises(DependencyTimeoutError):
            await LoaderCall(load, seconds=0.01).load("a")


class _Counting:
    """An exporter that counts."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}

    @contextmanager
    def work(
        self,
        name: str,
        facts: SpanFacts,  # noqa: ARG002  # nothing is timed
        headers: Mapping[str, str] | None,  # noqa: ARG002  # same
    ) -> Iterator[None]:
        assert name
        yield

    def add(self, name: str, amount: float, attributes: Attributes) -> None:
        said = " ".join(f"{key}={value}" for key, value in attributes.items())
        self.counts[f"{name} {said}"] = self.counts.get(f"{name} {said}", 0) + amount

    async def stop(self) -> None:
        """Nothing is left."""


@asynccontextmanager
async def counting() -> AsyncIterator[dict[str, float]]:
    exporter = _Counting()
    assert start_telemetry(lambda: exporter)
    try:
        yield exporter.counts
    finally:
        await stop_telemetry()
