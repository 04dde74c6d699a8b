"""A setting's value: typed, and the tenant's before the global one before the default."""

from __future__ import annotations

import ast
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import pytest
from pydantic import Field, TypeAdapter

from shared.caching.region import Cache
from shared.cosmos.container import ItemChangedError
from shared.errors import ConflictError, DependencyUnavailableError, PreconditionFailedError, ValidationError
from shared.llm.settings import CHAT_DEFAULT_MODEL
from shared.runtime import SETTINGS
from shared.tenancy.settings import (
    About,
    Setting,
    SettingRegistry,
    SettingScope,
    SettingSource,
    TenantSettings,
    boolean,
    choice,
    document,
    integer,
    resolve,
    text,
)
from shared.tenancy.settings_store import UNSET_ETAG, OwnSettings, settings_of
from tests.support.fakes import FakeClock, tenant_context
from tests.support.memory_cosmos import MemoryCosmos, memory_cosmos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.cosmos.container import Container, Json, Key, Patch
    from shared.tenancy.context import TenantContext

ROOT = Path(__file__).parents[3]
ACME, GLOBEX = tenant_context("acme"), tenant_context("globex")


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def about(key: str = "a.b", scope: SettingScope = SettingScope.TENANT) -> About:
    return About(key=key, label="A label", description="What it decides.", scope=scope)


NUMBERS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, Annotated[int, Field(strict=True, ge=0)]])
BOOL = boolean(about(), default=True)
CHOICE = choice(about(), default=Colour.RED)
INT = integer(about(), default=5, minimum=1, maximum=10)
TEXT = text(about(), default="", max_length=4, pattern="^[a-z]*$")
JSON = document(about(), NUMBERS, default={})


class Overtaken:
    """A container in which somebody else is always faster."""

    def __init__(self, container: Container) -> None:
        self.read = container.read

    async def patch(self, _key: Key, item_id: str, _patch: Patch) -> Json:
        raise ItemChangedError(item_id)


@pytest.fixture
async def cosmos() -> AsyncIterator[MemoryCosmos]:
    async with memory_cosmos() as opened:
        yield opened


@pytest.fixture
def own(cosmos: MemoryCosmos) -> OwnSettings:
    return settings_of(ACME, cosmos.container("tenants"), FakeClock())


@pytest.mark.parametrize(
    ("setting", "value"),
    [(BOOL, False), (CHOICE, "blue"), (INT, 1), (INT, 10), (TEXT, "abcd"), (TEXT, ""), (JSON, {"a": 0})],
)
def test_what_fits_comes_back_as_it_went_in(setting: Setting[Any], value: object) -> None:
    assert setting.render(setting.parse(value)) == value


@pytest.mark.parametrize(
    ("setting", "value", "field"),
    [
        (BOOL, 1, "body.value"),
        (BOOL, "true", "body.value"),
        (CHOICE, "green", "body.value"),
        (CHOICE, 1, "body.value"),
        (INT, 0, "body.value"),
        (INT, 11, "body.value"),
        (INT, "5", "body.value"),
        (INT, True, "body.value"),
        (INT, 5.0, "body.value"),
        (TEXT, "abcde", "body.value"),
        (TEXT, "A", "body.value"),
        (TEXT, None, "body.value"),
        (JSON, {"a": -1}, "body.value.a"),
        (JSON, [], "body.value"),
        (JSON, {str(number): -1 for number in range(101)}, "body.value"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_fields_name(
    setting: Setting[Any], value: object, field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        setting.parse(value)

    assert list(cast("dict[str, str]", refused.value.detail["fields"])) == [field]


def test_a_choice_is_read_as_a_member_of_its_enumeration() -> None:
    assert CHOICE.parse("blue") is Colour.BLUE


def test_a_form_knows_choices_bounds_and_lengths() -> None:
    assert CHOICE.form()["enum"] == ["red", "blue"]
    assert (INT.form()["minimum"], INT.form()["maximum"]) == (1, 10)
    assert TEXT.form()["maxLength"] == 4


async def test_the_tenants_value_comes_before_the_global_one_before_the_default(
    cosmos: MemoryCosmos, own: OwnSettings
) -> None:
    clock = FakeClock()
    read = TenantSettings(SETTINGS, cosmos.container("tenants"), clock, Cache(clock))
    key = CHAT_DEFAULT_MODEL.key

    async def in_force(tenant: TenantContext = ACME) -> str:
        clock.advance(20)
        return await read.value(tenant, CHAT_DEFAULT_MODEL)

    assert await in_force() == CHAT_DEFAULT_MODEL.default
    await read.everybodys.put(key, "everybodys", "admin", None)
    assert await in_force() == "everybodys"
    await own.put(key, "ours", "key", None)
    assert await in_force() == "ours"
    assert await in_force(GLOBEX) == "everybodys"
    assert await own.remove(key, None)
    assert await in_force() == "everybodys"


async def test_a_setting_of_the_platform_alone_ignores_what_a_tenant_has_stored(own: OwnSettings) -> None:
    stored = {"a.b": await own.put("a.b", 7, "key", None)}
    alone = integer(about(scope=SettingScope.GLOBAL), default=5, minimum=1, maximum=10)

    assert resolve(alone, stored, {}).value == 5
    assert resolve(INT, stored, {}).source is SettingSource.TENANT
    assert resolve(alone, {}, stored).source is SettingSource.GLOBAL


async def test_a_stored_value_of_another_release_counts_as_not_set(own: OwnSettings) -> None:
    newer = {"a.b": await own.put("a.b", "violet", "key", None)}
    known = {"a.b": await own.put("a.b", "blue", "key", None)}

    assert resolve(CHOICE, newer, known) == resolve(CHOICE, {}, known)
    assert resolve(CHOICE, newer, {}).source is SettingSource.DEFAULT


@pytest.fixture
def in_memory(cosmos: MemoryCosmos) -> tuple[TenantSettings, FakeClock]:
    clock = FakeClock()
    return TenantSettings(SETTINGS, cosmos.container("tenants"), clock, Cache(clock)), clock


async def test_a_warm_tenants_settings_cost_no_request(
    cosmos: MemoryCosmos, in_memory: tuple[TenantSettings, FakeClock]
) -> None:
    read, clock = in_memory
    await read.value(ACME, CHAT_DEFAULT_MODEL)
    start = cosmos.transport.requests

    clock.advance(11)
    for setting in SETTINGS:
        await read.value(ACME, setting)

    assert cosmos.transport.requests == start
    await read.value(GLOBEX, CHAT_DEFAULT_MODEL)
    assert cosmos.transport.requests == start + 2


async def test_a_change_that_is_made_here_is_in_force_here_at_once(
    own: OwnSettings, in_memory: tuple[TenantSettings, FakeClock]
) -> None:
    read, _ = in_memory
    await read.value(ACME, CHAT_DEFAULT_MODEL)
    await own.put(CHAT_DEFAULT_MODEL.key, "ours", "key", None)

    read.forget(ACME)

    assert await read.value(ACME, CHAT_DEFAULT_MODEL) == "ours"


async def test_the_last_known_value_stands_in_while_the_store_is_down(
    cosmos: MemoryCosmos, own: OwnSettings, in_memory: tuple[TenantSettings, FakeClock]
) -> None:
    read, clock = in_memory
    await own.put(CHAT_DEFAULT_MODEL.key, "ours", "key", None)
    await read.value(ACME, CHAT_DEFAULT_MODEL)
    cosmos.transport.lose_requests = 1000
    clock.advance(3600)

    assert await read.value(ACME, CHAT_DEFAULT_MODEL) == "ours"
    with pytest.raises(DependencyUnavailableError):
        await read.value(GLOBEX, CHAT_DEFAULT_MODEL)


async def test_a_change_is_refused_over_a_state_that_is_no_longer_there(own: OwnSettings) -> None:
    first = await own.put("a.b", 1, "key", UNSET_ETAG)
    second = await own.put("a.b", 2, "key", first.etag)

    for stale in (first.etag, UNSET_ETAG, "junk"):
        with pytest.raises(PreconditionFailedError):
            await own.put("a.b", 3, "key", stale)
        with pytest.raises(PreconditionFailedError):
            await own.remove("a.b", stale)
    assert (await own.read())["a.b"] == second
    assert await own.remove("a.b", second.etag)
    assert not await own.remove("a.b", None)


async def test_another_settings_change_is_no_conflict(own: OwnSettings) -> None:
    first = await own.put("a.b", 1, "key", None)
    await own.put("c.d", 2, "key", None)

    await own.put("a.b", 3, "key", first.etag)

    assert {key: stored.value for key, stored in (await own.read()).items()} == {"a.b": 3, "c.d": 2}


@pytest.mark.parametrize("request_number", range(1, 5))
async def test_a_change_whose_answer_was_lost_is_done_once_and_said_to_be_done(
    cosmos: MemoryCosmos, own: OwnSettings, request_number: int
) -> None:
    transport = cosmos.transport
    first = await own.put("a.b", 1, "key", None)
    start = transport.requests

    def lose(_: object) -> None:
        transport.lose_answers = int(transport.requests == start + request_number)

    transport.watch = lose
    second = await own.put("a.b", 2, "key", first.etag)

    assert (await own.read())["a.b"] == second
    assert await own.remove("a.b", second.etag)


async def test_a_removal_whose_answer_was_lost_is_done(cosmos: MemoryCosmos, own: OwnSettings) -> None:
    first = await own.put("a.b", 1, "key", None)
    start = cosmos.transport.requests

    def lose(_: object) -> None:
        cosmos.transport.lose_answers = int(cosmos.transport.requests == start + 2)

    cosmos.transport.watch = lose

    assert await own.remove("a.b", first.etag)
    assert await own.read() == {}


async def test_who_never_gets_his_turn_is_told_to_come_back(cosmos: MemoryCosmos, own: OwnSettings) -> None:
    await own.put("a.b", 1, "key", None)
    overtaken = settings_of(ACME, cast("Container", Overtaken(cosmos.container("tenants"))), FakeClock())

    for change in (overtaken.put("a.b", 2, "key", None), overtaken.remove("a.b", None)):
        with pytest.raises(ConflictError) as refused:
            await change
        assert refused.value.retry_after is not None
    assert (await own.read())["a.b"].value == 1


def declarations() -> dict[str, Setting[Any]]:
    """Return the settings that the domains declare, by the names of their constants."""
    found: dict[str, Setting[Any]] = {}
    for folder in ("functions", "shared"):
        for file in (ROOT / folder).rglob("settings.py"):
            module = import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
            found |= {name: value for name, value in vars(module).items() if isinstance(value, Setting)}
    return found


@pytest.mark.slow
def test_every_setting_that_a_domain_declares_is_registered_and_read() -> None:
    read = {
        node.args[1].id
        for folder in ("functions", "shared")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "value"
        and len(node.args) == 2
        and isinstance(node.args[1], ast.Name)
    }
    declared = declarations()

    assert {setting.key for setting in declared.values()} == {setting.key for setting in SETTINGS}
    assert len(declared) > 3
    assert [name for name in declared if name not in read] == []


def test_tenancy_declares_no_domains_setting() -> None:
    import shared.tenancy.settings as tenancy  # noqa: PLC0415  # the module itself is looked at

    assert [name for name, value in vars(tenancy).items() if isinstance(value, Setting)] == []


def test_two_settings_of_one_key_are_refused() -> None:
    with pytest.raises(ValueError, match="there is a setting"):
        SettingRegistry([BOOL, INT])
