"""`GET /usage` over the edge of the whole app: sums of what was reported, and their cost."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from functions.tokens.models import UsageQuery
from functions.tokens.usage import UsageQueryLimits, UsageService
from shared.cosmos.container import Patch, PatchOperation, Query
from shared.cosmos.partition import Partition
from shared.errors import ValidationError
from shared.tenancy.context import Role
from shared.tokens.stored_models import UsageItem
from tests.support.fakes import Answer, Call, tenant_context
from tests.support.soak import SOAK, sized
from tests.support.whole_app import WholeApp, whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DIMENSIONS = ("day", "model", "app_id", "user_id")
PRICES = {
    "gpt-4o": {"prompt": "2.5", "completion": "10"},
    "tiny": {"prompt": "0.000001", "completion": "0"},
}


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with whole_app(MODEL_CURRENCY="EUR") as opened:
        await opened.new_tenant("acme", "premium")
        yield opened


@pytest.fixture
async def boss(app: WholeApp) -> dict[str, str]:
    return await app.new_key("acme", Role.TENANT_ADMIN)


async def use(app: WholeApp, headers: dict[str, str], tokens: tuple[int, int], **names: str) -> None:
    """Lock, and report what was used."""
    lock = {"app_id": names["app_id"], "token_count": max(1, sum(tokens)), "model": names["model"]}
    locked = await app.must("lock_tokens", Call.of(lock, headers=headers))
    report = {
        "app_id": names["app_id"],
        "request_id": locked.json()["request_id"],
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "cached_tokens": tokens[0] // 3,
        "reasoning_tokens": tokens[1] // 2,
    }
    if "user_id" in names:
        report["user_id"] = names["user_id"]
    for _ in range(2):
        await app.must("report_tokens", Call.of(report, headers=headers))


async def usage(app: WholeApp, headers: dict[str, str], query: str = "") -> Any:  # noqa: ANN401  # JSON
    return (await app.must("get_usage", Call(query=query, headers=headers))).json()


async def set_prices(app: WholeApp, prices: dict[str, dict[str, str]]) -> None:
    for name, price in prices.items():
        await app.must("put_model", Call.of({"price": price}, headers=app.admin, name=name))


@sized(60)
async def test_every_grouping_sums_to_what_was_reported(app: WholeApp, boss: dict[str, str]) -> None:
    chance = random.Random(3)  # noqa: S311  # repeats the same run
    reported: list[tuple[dict[str, str | None], tuple[int, int]]] = []
    for _ in range(60 if SOAK else 14):
        app.clock.advance(chance.choice((61, 40_000)))
        names = {"model": chance.choice(("gpt-4o", "o3")), "app_id": chance.choice(("a", "b", "a:b"))}
        if user := chance.choice(("u1", "ü/2", "")):
            names["user_id"] = user
        tokens = (chance.randrange(0, 500), chance.randrange(0, 500))
        await use(app, boss, tokens, **names)
        second = app.clock.now().timestamp() + 1.5  # locks are charged to a second that has not passed
        day = datetime.fromtimestamp(second, UTC).date().isoformat()
        reported.append(({"user_id": None, "day": day, **names}, tokens))

    for size in range(1, 5):
        for dimensions in combinations(DIMENSIONS, size):
            found = await usage(app, boss, f"from=2026-01-01&to=2026-12-31&group_by={','.join(dimensions)}")

            expected: dict[tuple[str | None, ...], Counter[str]] = {}
            for names_used, (prompt, completion) in reported:
                sums = expected.setdefault(tuple(names_used[one] for one in dimensions), Counter())
                sums.update(prompt_tokens=prompt, completion_tokens=completion, requests=1)
                sums.update(cached_tokens=prompt // 3, reasoning_tokens=completion // 2)
            rows = {tuple(row[one] for one in dimensions): Counter(_counts(row)) for row in found["items"]}
            assert rows == expected
            assert len(rows) == len(found["items"])
            for row in found["items"]:
                assert all(row[one] is None for one in set(DIMENSIONS) - set(dimensions))
                assert row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
            assert Counter(_counts(found["total"])) == sum(expected.values(), Counter())


def _counts(row: dict[str, int]) -> dict[str, int]:
    names = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "requests")
    return {name: row[name] for name in names}


async def test_a_range_includes_both_its_days_and_is_this_month_by_itself(
    app: WholeApp, boss: dict[str, str]
) -> None:
    for _ in range(4):  # 31 January, 1, 2 and 3 February
        await use(app, boss, (10, 0), model="m", app_id="a")
        app.clock.advance(24 * 3600)
    app.clock.advance(-24 * 3600)

    whole = await usage(app, boss, "from=2026-01-31&to=2026-02-03&group_by=day")
    assert [row["day"] for row in whole["items"]] == ["2026-01-31", "2026-02-01", "2026-02-02", "2026-02-03"]
    assert (whole["from"], whole["to"], whole["group_by"]) == ("2026-01-31", "2026-02-03", ["day"])
    one = await usage(app, boss, "from=2026-02-01&to=2026-02-01&group_by=day")
    assert [row["day"] for row in one["items"]] == ["2026-02-01"]
    month = await usage(app, boss)
    assert (month["from"], month["to"], month["total"]["requests"]) == ("2026-02-01", "2026-02-03", 3)
    to = await usage(app, boss, "to=2026-01-31")
    assert (to["from"], to["total"]["requests"]) == ("2026-01-01", 1)


@pytest.mark.slow
async def test_a_month_is_one_query(app: WholeApp, boss: dict[str, str]) -> None:
    for user in range(20):
        await use(app, boss, (1, 1), model="m", app_id="a", user_id=str(user))
    await usage(app, boss)
    seen: list[str] = []
    app.cosmos.transport.watch = lambda request: seen.append(request.url)

    await usage(app, boss)

    assert len([url for url in seen if "/colls/ledger/" in url]) == 1


async def test_cost_is_exact_and_unknown_where_a_price_is(app: WholeApp, boss: dict[str, str]) -> None:
    await use(app, boss, (1_000_000, 100_000), model="gpt-4o", app_id="a")
    app.clock.advance(120)
    await use(app, boss, (3, 7), model="gpt-4o", app_id="b")
    await use(app, boss, (1, 1), model="tiny", app_id="a")
    before = await usage(app, boss, "group_by=model")
    await set_prices(app, PRICES)

    by_model = await usage(app, boss, "group_by=model")

    assert (before["currency"], before["total"]["cost"]) == ("EUR", None)
    assert before["total"]["unpriced_models"] == ["gpt-4o", "tiny"]
    assert by_model["currency"] == "EUR"
    assert [row["cost"] for row in by_model["items"]] == ["3.5000775", "0.000000000001"]
    assert by_model["total"]["cost"] == "3.500077500001"
    assert by_model["total"]["unpriced_models"] == []

    await use(app, boss, (5, 5), model="unknown", app_id="b")
    by_app = await usage(app, boss, "group_by=app_id")
    costs = {row["app_id"]: (row["cost"], row["unpriced_models"]) for row in by_app["items"]}
    assert costs == {"a": ("3.500000000001", []), "b": (None, ["unknown"])}
    assert (by_app["total"]["cost"], by_app["total"]["unpriced_models"]) == (None, ["unknown"])


async def test_kinds_of_tokens_have_their_own_price_where_there_is_one(
    app: WholeApp, boss: dict[str, str]
) -> None:
    await use(app, boss, (300, 100), model="gpt-4o", app_id="a")
    usual = {"prompt": "2", "completion": "10"}
    costs = []
    for more in ({}, {"cached": "0.2"}, {"reasoning": "4"}, {"cached": "0", "reasoning": "0"}):
        await set_prices(app, {"gpt-4o": usual | more})
        costs.append((await usage(app, boss))["total"]["cost"])

    assert costs == ["0.0016", "0.00142", "0.0013", "0.0009"]


async def test_an_item_from_before_there_were_kinds_reads_as_none_and_takes_them_up(
    app: WholeApp, boss: dict[str, str]
) -> None:
    await use(app, boss, (300, 100), model="m", app_id="a")
    ledger = app.cosmos.container("ledger")
    old = Patch((PatchOperation("remove", "/cached_tokens"), PatchOperation("remove", "/reasoning_tokens")))
    (item,) = await ledger.query(("acme",), Query("SELECT c.id FROM c WHERE STARTSWITH(c.id, 'usage:')"))
    await ledger.patch(("acme",), str(item["id"]), old)

    before = (await usage(app, boss))["total"]
    await use(app, boss, (30, 10), model="m", app_id="a")
    after = (await usage(app, boss))["total"]

    assert _counts(before) == {
        "prompt_tokens": 300,
        "cached_tokens": 0,
        "completion_tokens": 100,
        "reasoning_tokens": 0,
        "requests": 1,
    }
    assert (after["prompt_tokens"], after["cached_tokens"], after["reasoning_tokens"]) == (330, 10, 5)


async def test_nothing_used_costs_nothing(app: WholeApp, boss: dict[str, str]) -> None:
    found = await usage(app, boss)
    assert (found["items"], found["total"]["requests"], found["total"]["cost"]) == ([], 0, "0")


async def test_usage_is_the_tenants_own_and_its_administrators(app: WholeApp, boss: dict[str, str]) -> None:
    await use(app, boss, (10, 0), model="m", app_id="a")
    await app.new_tenant("globex")
    stranger = await app.new_key("globex", Role.TENANT_ADMIN)

    assert (await usage(app, stranger))["items"] == []
    user = await app.new_key("acme", Role.USER)
    assert (await app.client.call("get_usage", Call(headers=user))).status == 403
    seen_by_the_platform = await usage(app, app.admin | {"x-tenant-id": "acme"})
    assert seen_by_the_platform["total"]["prompt_tokens"] == 10


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-02-01&to=2026-01-01",
        "from=2025-01-01&to=2026-01-31",
        "from=2026-02-30",
        "from=1700000000",
        "from=2026-1-1",
        "from=today",
        "to=10000-01-01",
        "from=0000-01-01",
        "group_by=",
        "group_by=day,",
        "group_by=tenant_id",
        "group_by=day,day,day,day,day",
        "since=2026-01-01",
        "limit=5",
    ],
)
async def test_a_malformed_question_is_refused_by_name(
    app: WholeApp, boss: dict[str, str], query: str
) -> None:
    answer = await app.client.call("get_usage", Call(query=query, headers=boss))
    assert answer.status == 422
    assert all(name.startswith("query.") for name in answer.json()["detail"]["fields"])


async def test_the_last_and_the_first_day_of_the_calendar_are_days(
    app: WholeApp, boss: dict[str, str]
) -> None:
    for query in ("from=9999-12-01&to=9999-12-31", "from=0001-01-01&to=0001-01-01"):
        assert (await usage(app, boss, query))["items"] == []


class Book:
    """A year's usage items, put where the ledger puts them."""

    def __init__(self, app: WholeApp) -> None:
        self._app = app
        self._partition = Partition.of(tenant_context("acme"), app.runtime.container("ledger"))

    async def fill(self, count: int) -> None:
        items = [
            UsageItem(
                id=f"usage:2026-01-{number % 28 + 1:02}:m:a:u{number}",
                day=f"2026-01-{number % 28 + 1:02}",
                model="m",
                app_id="a",
                user_id=f"u{number}",
                prompt_tokens=number,
                completion_tokens=1,
                requests=1,
            )
            for number in range(count)
        ]
        for start in range(0, count, 100):
            batch = items[start : start + 100]
            await self._partition.batch([self._partition.creating(item) for item in batch])

    async def ask(self, limits: UsageQueryLimits, group_by: str = "model") -> Any:  # noqa: ANN401  # a reply
        app = self._app
        container = app.runtime.container("ledger")
        service = UsageService(
            tenant_context("acme"), container, app.runtime.models.prices, app.clock, limits
        )
        return await service.usage(UsageQuery.model_validate({"group_by": group_by}))


@pytest.mark.parametrize("page", [1, 7, 99, 100, 101, 1_000])
@pytest.mark.slow
async def test_pages_of_any_size_give_the_same_sums(app: WholeApp, page: int) -> None:
    book = Book(app)
    await book.fill(100)

    found = await book.ask(UsageQueryLimits(page=page))

    assert (found.total.prompt_tokens, found.total.requests) == (sum(range(100)), 100)


async def test_what_is_too_much_for_one_answer_is_refused_and_says_how_to_ask(app: WholeApp) -> None:
    book = Book(app)
    await book.fill(100)

    assert len((await book.ask(UsageQueryLimits(rows=100), "user_id")).items) == 100
    with pytest.raises(ValidationError, match="more than 99 rows: ask for fewer days, or group by less"):
        await book.ask(UsageQueryLimits(rows=99), "user_id")
    assert (await book.ask(UsageQueryLimits(page=40, items=101))).total.requests == 100
    with pytest.raises(ValidationError, match="more than 80 items of usage"):
        await book.ask(UsageQueryLimits(page=40, items=80))


async def test_lock_records_and_scopes_are_no_usage(app: WholeApp, boss: dict[str, str]) -> None:
    await use(app, boss, (1, 1), model="m", app_id="a")
    answer: Answer = await app.must(
        "lock_tokens", Call.of({"app_id": "a", "token_count": 9, "model": "m"}, headers=boss)
    )
    release = {"app_id": "a", "request_id": answer.json()["request_id"]}
    await app.must("release_tokens", Call.of(release, headers=boss))

    assert (await usage(app, boss))["total"]["requests"] == 1
