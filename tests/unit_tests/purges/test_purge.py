"""A purge leaves nothing, whatever fails meanwhile, and proves it; other tenants lose nothing."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from functions.purges.purger import WORK_SECONDS
from shared.blob.store import BlobInfo, BlobPage
from shared.cosmos.container import BatchFailedError, BatchFailure, Query
from shared.errors import APIError, DependencyUnavailableError
from shared.resilience.deadlines import no_deadline
from shared.tenancy.context import Role, parse_tenant_id
from shared.tenancy.owned_data import OwnedBlobs, OwnedItems
from shared.tenancy.store import Tier
from tests.support.fakes import Answer, Call
from tests.support.soak import SOAK, sized
from tests.support.whole_app import EchoModel, WholeApp, whole_app
from tests.unit_tests.messaging.deliveries import FakeDelivery
from tests.unit_tests.tenants.owners import (
    BLOB_CONTAINERS,
    KEY_LEVELS,
    everything,
    fill,
    nothing,
    split,
    world,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from azure.core.pipeline.transport import HttpRequest

    from shared.cosmos.container import BatchOperation, Json, Key
    from shared.llm.chat_model import ChatPrompt, Completion
    from tests.support.memory_cosmos import MemoryCosmos

SETTLE_SECONDS = 660.0
SIZE = sized(120)
TIMER = "go_on_purging"
ZEROS = dict.fromkeys(
    [*KEY_LEVELS, "quarantine:unattributed", *(f"blobs:{name}" for name in BLOB_CONTAINERS)], 0
)


class KilledError(BaseException):
    """The process is gone."""


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with world() as opened:
        yield opened


async def ask(app: WholeApp, tenant_id: str = "acme", **headers: str) -> Answer:
    return await app.client.call("purge_tenant", Call({"tenant_id": tenant_id}, headers=app.admin | headers))


async def shown(app: WholeApp, tenant_id: str = "acme") -> dict[str, Any]:
    answer = await app.client.call("get_tenant", Call({"tenant_id": tenant_id}, headers=app.admin))
    assert answer.status == 200
    found: dict[str, Any] = answer.json()
    return found


async def finish(app: WholeApp, tenant_id: str = "acme", most_rounds: int = 6) -> dict[str, Any]:
    """Let time pass and the timer run until the purge is over."""
    for _ in range(most_rounds):
        await app.tick(TIMER)
        state = await shown(app, tenant_id)
        if state["status"] == "purged":
            return state
        app.clock.advance(SETTLE_SECONDS)
    raise AssertionError(f"it is not over: {state}")


async def proofs(app: WholeApp) -> list[dict[str, Any]]:
    """Return the entries of the platform's trail that say that nothing is left."""
    trail = (await app.must("list_platform_audit", Call(query="limit=100", headers=app.admin))).json()
    return [entry for entry in trail["items"] if entry["detail"].get("left") == "0"]


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.slow
async def test_a_purge_leaves_nothing_and_proves_it_and_others_lose_nothing(
    app: WholeApp, *, is_split: bool
) -> None:
    if is_split:
        await split(app, "acme")
    neighbour = await everything(app, "acme-eu")
    asked = await ask(app)
    state = await finish(app)

    assert (asked.status, asked.json()["status"]) == (202, "purging")
    assert asked.headers["location"] == asked.json()["status_url"] == "/api/v1/tenants/acme"
    assert await everything(app, "acme") == nothing()
    assert await everything(app, "acme-eu") == neighbour
    assert state["purge"]["counts"] == ZEROS
    assert state["purge"]["counted_at"] >= state["purge"]["closed_at"]
    assert state["purge"]["removed"]["conversations"] == 2
    assert (state["name"], state["status"]) == ("", "purged")


async def test_an_id_is_never_used_again_in_any_spelling(app: WholeApp) -> None:
    await ask(app)
    during = [await create(app, tenant_id) for tenant_id in ("acme", "ACME")]
    await finish(app)
    after = [await create(app, tenant_id) for tenant_id in ("acme", "ACME", "aCmE")]

    assert during + after == [409] * 5
    listed = (await app.must("list_tenants", Call(headers=app.admin))).json()["items"]
    assert [tenant["tenant_id"] for tenant in listed] == ["acme-eu"]


async def create(app: WholeApp, tenant_id: str) -> int:
    body = {"tenant_id": tenant_id, "name": "again"}
    return (await app.client.call("create_tenant", Call.of(body, headers=app.admin))).status


@pytest.mark.slow
async def test_a_purge_goes_by_the_id_as_it_is_spelled(app: WholeApp) -> None:
    await app.new_tenant("MixedCase")
    await fill(app, "MixedCase")

    assert (await ask(app, "mixedcase")).status == 404
    await ask(app, "MixedCase")
    state = await finish(app, "MixedCase")

    assert (state["tenant_id"], state["purge"]["counts"]) == ("MixedCase", ZEROS)
    assert await everything(app, "MixedCase") == nothing()
    other = await app.client.call("get_tenant", Call({"tenant_id": "mixedcase"}, headers=app.admin))
    assert other.status == 404
    assert [await create(app, tenant_id) for tenant_id in ("MixedCase", "mixedcase")] == [409, 409]


@pytest.mark.slow
async def test_nothing_of_the_tenant_is_left_in_the_platforms_own_partitions_but_its_id(
    app: WholeApp,
) -> None:
    body = {"tenant_id": "initech", "name": "A name that tells of a customer"}
    await app.must("create_tenant", Call.of(body, headers=app.admin))
    await ask(app, "initech")
    await finish(app, "initech")

    for name in KEY_LEVELS:
        for partition in ("tenants", "purges", "platform", "settings", "quarantine", "logs", "idempotency"):
            query = Query("SELECT VALUE c FROM c", {}, 1000)
            found = await app.cosmos.container(name).query((f"global:{partition}",), query)
            assert "A name" not in str(found)


async def test_its_credentials_are_refused_and_nobody_can_act_for_it(app: WholeApp) -> None:
    key = await app.new_key("acme", Role.TENANT_ADMIN)
    await ask(app)

    as_admin = app.admin | {"x-tenant-id": "acme"}
    statuses = {
        "its own key": (await app.client.call("list_bots", Call(headers=key))).status,
        "acting for it": (await app.client.call("list_bots", Call(headers=as_admin))).status,
        "a new key": (
            await app.client.call("create_key", Call.of({"name": "x"}, headers=app.admin, tenant_id="acme"))
        ).status,
        "reviving it": (
            await app.client.call(
                "update_tenant", Call.of({"status": "active"}, headers=app.admin, tenant_id="acme")
            )
        ).status,
    }

    assert statuses == {"its own key": 401, "acting for it": 404, "a new key": 404, "reviving it": 409}


@pytest.mark.slow
async def test_what_is_written_while_it_goes_on_does_not_survive_it(app: WholeApp) -> None:
    await ask(app)
    for seconds in (0.0, 29.0, 300.0, 330.0):  # up to a second before nothing can write any more
        app.clock.advance(seconds)
        await app.tick(TIMER)
        assert (await shown(app))["status"] == "purging"
        await fill(app, "acme", 1)
    app.clock.advance(1.0)
    await app.tick(TIMER)

    assert (await shown(app))["purge"]["counts"] == ZEROS
    assert await everything(app, "acme") == nothing()


@pytest.mark.slow
async def test_it_is_not_over_while_anything_is_left(app: WholeApp) -> None:
    await ask(app)
    await app.tick(TIMER)
    app.clock.advance(SETTLE_SECONDS)
    late = iter([True])

    def write_before_the_count(request: HttpRequest) -> None:
        if b"COUNT(1)" in str(request.data).encode() and next(late, False):
            app.blobs["acme/late"] = b"x"

    app.cosmos.transport.watch = write_before_the_count
    await app.tick(TIMER)
    state = await shown(app)

    assert state["status"] == "purging"
    assert state["purge"]["counts"] == ZEROS | {"blobs:logs": 1}
    assert await proofs(app) == []
    assert (await finish(app))["purge"]["counts"] == ZEROS
    assert len(await proofs(app)) == 1
    assert await everything(app, "acme") == nothing()


@dataclass
class PurgingModel(EchoModel):
    """Takes so long that its tenant's purge is asked for, and has begun, before it answers."""

    app: WholeApp | None = None

    async def complete(self, prompt: ChatPrompt) -> Completion:
        assert self.app is not None
        if not self.prompts:
            runtime, acme = self.app.runtime, parse_tenant_id("acme")
            with no_deadline():  # it is the administrator's, not this work's
                await runtime.purges.request(acme, tier=Tier.FREE, created_at=self.app.clock.now())
                await self.app.tick(TIMER)
                assert (await everything(self.app, "acme"))["bots"] == []
        return await super().complete(prompt)


@pytest.mark.parametrize("work", ["a chat", "a job"])
@pytest.mark.slow
async def test_work_that_was_under_way_brings_nothing_back(app: WholeApp, work: str) -> None:
    key = await app.new_key("acme", Role.TENANT_ADMIN)
    await app.must("save_bot", Call.of({"system_prompt": "Be brief."}, headers=key, bot_id="b"))
    await app.load_tokenizer()
    await app.runtime.models.deployments()  # at hand, too: heartbeats move the clock meanwhile
    model = PurgingModel(app=app)
    app.runtime.__dict__["chat_model"] = model

    if work == "a chat":
        await app.client.call("chat", Call.of({"message": "hi"}, headers=key, bot_id="b"))
    else:
        message = FakeDelivery(b'{"tenant_id": "acme", "id": "j1", "text": "Why?"}')
        with suppress(APIError):
            await app.functions["run_job"](message)
        await app.functions["run_job"](message)  # the broker's next delivery, if the first one failed
    state = await finish(app)

    assert model.prompts
    assert state["purge"]["counts"] == ZEROS
    assert await everything(app, "acme") == nothing()


async def requests_of_a_purge() -> int:
    async with world() as app:
        await ask(app)
        start = app.cosmos.transport.requests
        await finish(app)
        return app.cosmos.transport.requests - start


@SIZE
@pytest.mark.parametrize("when", ["watch", "watch_done"])
async def test_a_kill_at_any_request_keeps_nothing_of_the_tenant_and_harms_nobody(when: str) -> None:
    total = await requests_of_a_purge()
    assert total > 3 * len(KEY_LEVELS)
    kills = range(1 + (when == "watch" and not SOAK), total + 1, 1 if SOAK else 11)
    for nth in kills:
        async with world() as app:
            neighbour = await everything(app, "acme-eu")
            await ask(app)
            await killed_at(app, nth, when)
            state = await finish(app)

            assert state["purge"]["counts"] == ZEROS, nth
            assert await everything(app, "acme") == nothing(), nth
            assert await everything(app, "acme-eu") == neighbour, nth
    if SOAK:
        print(f"purges killed at each of their requests: {len(kills)}; items left: 0")  # noqa: T201  # the soak's sum


async def killed_at(app: WholeApp, nth: int, when: str) -> None:
    """Let the process die at its n-th request to the store."""
    start = app.cosmos.transport.requests
    dead = False

    def kill(_: object) -> None:
        nonlocal dead
        if dead or app.cosmos.transport.requests == start + nth:
            dead = True
            raise KilledError

    setattr(app.cosmos.transport, when, kill)
    try:
        while not dead:
            await app.tick(TIMER)
            # Dying in a request, it gives its caller no answer; here the edge renders what would be lost.
            await app.client.call("get_tenant", Call({"tenant_id": "acme"}, headers=app.admin))
            app.clock.advance(SETTLE_SECONDS)
    except KilledError:
        pass
    finally:
        setattr(app.cosmos.transport, when, lambda _: None)
    assert dead


@SIZE
@pytest.mark.parametrize("trouble", ["lose_answers", "lose_requests"])
@pytest.mark.parametrize("times", [1, 100])
async def test_a_lost_answer_or_an_outage_at_any_request_keeps_nothing_and_harms_nobody(
    trouble: str, times: int
) -> None:
    total = await requests_of_a_purge()
    for nth in range(1 + times % 7, total + 1, 1 if SOAK else 29):
        async with world() as app:
            neighbour = await everything(app, "acme-eu")
            await ask(app)
            start = app.cosmos.transport.requests

            def lose(_: object, app: WholeApp = app, nth: int = start + nth) -> None:
                if app.cosmos.transport.requests == nth:
                    setattr(app.cosmos.transport, trouble, times)

            app.cosmos.transport.watch = lose
            for _ in range(2):  # the runs during which it happens
                with suppress(APIError):
                    await app.tick(TIMER)
                app.clock.advance(SETTLE_SECONDS)
            app.cosmos.transport.watch = lambda _: None
            setattr(app.cosmos.transport, trouble, 0)
            state = await finish(app)

            assert state["purge"]["counts"] == ZEROS, nth
            assert await everything(app, "acme") == nothing(), nth
            assert await everything(app, "acme-eu") == neighbour, nth


@pytest.mark.parametrize("when", ["watch", "watch_done"])
@pytest.mark.slow
async def test_a_kill_while_it_is_asked_for_is_cured_by_asking_again(when: str) -> None:
    for nth in range(1, 9):
        async with world() as app:
            start = app.cosmos.transport.requests

            def kill(_: object, app: WholeApp = app, last: int = start + nth) -> None:
                if app.cosmos.transport.requests >= last:
                    raise KilledError

            setattr(app.cosmos.transport, when, kill)
            assert (await ask(app)).status == 500  # the edge's word for a caller who would hear nothing
            setattr(app.cosmos.transport, when, lambda _: None)
            await app.tick(TIMER)
            assert (await ask(app)).status == 202
            await finish(app)

            assert await everything(app, "acme") == nothing()


async def test_an_outage_half_way_is_waited_for(app: WholeApp) -> None:
    await ask(app)
    start = app.cosmos.transport.requests

    def down(_: object) -> None:
        if app.cosmos.transport.requests > start + 12:
            app.cosmos.transport.lose_requests = 1

    app.cosmos.transport.watch = down
    await app.tick(TIMER)
    half_way = await everything_when_up(app)
    app.clock.advance(60)
    state = await finish(app)

    assert half_way != nothing()
    assert state["purge"]["counts"] == ZEROS


async def everything_when_up(app: WholeApp) -> dict[str, list[Any]]:
    app.cosmos.transport.watch, app.cosmos.transport.lose_requests = lambda _: None, 0
    app.clock.advance(30)
    return await everything(app, "acme")


async def test_a_purge_that_cannot_go_on_keeps_no_other_waiting(app: WholeApp) -> None:
    for tenant_id in ("acme", "acme-eu"):
        await ask(app, tenant_id)

    def break_acme(request: HttpRequest) -> None:
        if '"acme"' in str(request.headers.get("x-ms-documentdb-partitionkey", "")):
            raise RuntimeError("a defect")

    app.cosmos.transport.watch = break_acme
    with pytest.RaisesGroup(RuntimeError):
        await app.tick(TIMER)
    app.clock.advance(SETTLE_SECONDS)
    with pytest.RaisesGroup(RuntimeError):
        await app.tick(TIMER)
    app.cosmos.transport.watch = lambda _: None

    assert (await shown(app, "acme-eu"))["status"] == "purged"
    assert (await shown(app, "acme"))["status"] == "purging"
    assert await everything(app, "acme-eu") == nothing()


@pytest.mark.slow
async def test_long_conversations_are_removed_in_batches() -> None:
    async with whole_app() as app:
        await app.new_tenant("acme")
        await fill(app, "acme", 230, ["conversations"])
        await ask(app)
        start = app.cosmos.transport.requests
        await finish(app)

        assert await everything(app, "acme") == nothing()
        assert (await shown(app))["purge"]["removed"]["conversations"] == 230
        assert app.cosmos.transport.requests - start < 100


async def test_a_run_ends_in_time_and_the_next_one_goes_on(app: WholeApp) -> None:
    await ask(app)

    def slow(_: object) -> None:
        app.clock.advance(WORK_SECONDS / 10)

    app.cosmos.transport.watch = slow
    start = app.clock.monotonic()
    await app.tick(TIMER)
    took = app.clock.monotonic() - start
    app.cosmos.transport.watch = lambda _: None

    assert took < 2 * WORK_SECONDS
    assert await everything(app, "acme") != nothing()
    assert (await finish(app))["purge"]["counts"] == ZEROS


async def test_asking_again_shows_how_far_it_is_and_begins_nothing_new(app: WholeApp) -> None:
    first = (await ask(app)).json()["purge"]
    app.clock.advance(5)
    again = (await ask(app)).json()["purge"]
    state = await finish(app)
    over = await ask(app)

    assert again == first
    assert (over.status, over.json()["purge"]) == (202, state["purge"])


@pytest.mark.parametrize("tenant_id", ["nobody", "ACME", "global:tenants"])
async def test_an_absent_tenant_cannot_be_purged(app: WholeApp, tenant_id: str) -> None:
    assert (await ask(app, tenant_id)).status == 404
    assert (await shown(app))["status"] == "active"


async def test_a_tenant_in_another_state_than_the_seen_one_is_not_purged(app: WholeApp) -> None:
    refused = await ask(app, **{"if-match": '"another"'})
    etag = (await shown(app))["etag"]

    assert refused.status == 412
    assert (await shown(app))["purge"] is None
    assert (await ask(app, **{"if-match": etag})).status == 202


async def test_who_asked_and_when_it_was_over_is_in_the_platforms_trail(app: WholeApp) -> None:
    await ask(app)
    app.clock.advance(1)
    await finish(app)

    entries = (await app.must("list_platform_audit", Call(headers=app.admin))).json()["items"]
    told = [
        (entry["actor"]["kind"], entry["outcome"], entry["detail"])
        for entry in entries
        if entry["action"] == "tenant.purge"
    ]
    assert told[1] == ("administrator", "done", {})
    assert told[0][0] == "platform"
    assert told[0][2]["left"] == "0"


async def test_messages_that_were_refused_while_it_was_suspended_do_not_outlive_it(app: WholeApp) -> None:
    quarantine = app.cosmos.container("quarantine")

    async def unattributed() -> list[Any]:
        query = Query("SELECT c.named, c.body FROM c ORDER BY c.named")
        return [item["named"] for item in await quarantine.query(("global:quarantine",), query)]

    suspend = Call.of({"status": "suspended"}, headers=app.admin, tenant_id="acme")
    await app.must("update_tenant", suspend)
    for body in ('{"tenant_id": "acme", "id": "j1", "text": "x"}', '{"tenant_id": "acme", "id": 5}'):
        await app.functions["run_job"](FakeDelivery(body.encode()))
    for body in ('{"tenant_id": "nobody", "id": "j1"}', "{", "[]", '{"tenant_id": 5}'):
        await app.functions["run_job"](FakeDelivery(body.encode()))
    assert await unattributed() == [None, None, None, "acme", "acme", "nobody"]

    await ask(app)
    state = await finish(app)

    assert await unattributed() == [None, None, None, "nobody"]
    assert state["purge"]["removed"]["quarantine:unattributed"] == 2


@pytest.mark.slow
async def test_two_instances_that_purge_at_once_do_no_harm(app: WholeApp) -> None:
    neighbour = await everything(app, "acme-eu")
    await ask(app)
    for _ in range(2):
        await asyncio.gather(app.tick(TIMER), app.tick(TIMER))
        app.clock.advance(SETTLE_SECONDS)

    assert (await shown(app))["purge"]["counts"] == ZEROS
    assert await everything(app, "acme") == nothing()
    assert await everything(app, "acme-eu") == neighbour


class SparseBlobs:
    """A container of blobs whose pages are short, and may be empty, as the service's may be."""

    def __init__(self, pages: list[list[str]]) -> None:
        self.pages = pages

    async def page(self, prefix: str, cursor: str | None, limit: int) -> BlobPage:
        number = int(cursor or 0)
        blobs = tuple(BlobInfo(name, 1) for name in self.pages[number][:limit] if name.startswith(prefix))
        return BlobPage(blobs, str(number + 1) if number + 1 < len(self.pages) else None)

    async def delete(self, name: str) -> bool:
        for page in self.pages:
            if name in page:
                page.remove(name)
                return True
        return False


async def test_an_empty_page_of_blobs_is_not_taken_for_the_last_one() -> None:
    blobs = SparseBlobs([[], ["acme/1"], [], ["acme/2", "acme/3"]])
    owned = OwnedBlobs(parse_tenant_id("acme"), blobs)

    assert await owned.count() == 3
    assert [await owned.remove_some() for _ in range(3)] == [1, 2, 0]
    assert await owned.count() == 0


class StubbornBlobs(SparseBlobs):
    """Blobs of which the service does not take some names."""

    def __init__(self, pages: list[list[str]], refused: set[str]) -> None:
        super().__init__(pages)
        self.refused = refused

    async def delete(self, name: str) -> bool:
        if name in self.refused:
            raise DependencyUnavailableError("Blob Storage", "refused the request with 400")
        return await super().delete(name)


async def test_a_name_that_the_service_does_not_take_costs_that_blob_alone_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = "acme/\x01"
    blobs = StubbornBlobs([[bad, "acme/1"], ["acme/2"]], {bad})
    owned = OwnedBlobs(parse_tenant_id("acme"), blobs)

    with caplog.at_level(logging.WARNING):
        assert [await owned.remove_some() for _ in range(3)] == [1, 1, 0]

    assert blobs.pages == [[bad], []]
    assert await owned.count() == 1  # so the purge is not over, and says so
    assert [getattr(record, "blobs", None) for record in caplog.records] == [[bad], [bad], [bad]]


@pytest.mark.slow
async def test_a_place_that_fails_costs_no_other_place_its_removal(
    app: WholeApp, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(*_: object) -> BlobPage:
        raise DependencyUnavailableError("Blob Storage", "refused the request with 500")

    blobs = app.runtime.__dict__["blobs"]
    await ask(app)
    blobs.page, page = refuse, blobs.page
    with caplog.at_level(logging.WARNING):
        await app.tick(TIMER)
    left = await everything(app, "acme")

    assert {name for name, items in left.items() if items} <= {"blobs", "tenants", "audit"}
    (told,) = [record for record in caplog.records if getattr(record, "place", None) == "blobs:logs"]
    assert "refused the request with 500" in str(vars(told)["problem"])
    blobs.page = page
    await finish(app)
    assert await everything(app, "acme") == nothing()


async def test_a_count_sums_up_all_physical_partitions_though_the_first_of_them_is_empty(
    app: WholeApp,
) -> None:
    await split(app, "acme")
    owned = OwnedItems(parse_tenant_id("acme"), app.cosmos.container("jobs"), ("id",))
    first = str((await app.cosmos.container("jobs").query(("acme",), Query("SELECT VALUE c.id FROM c")))[0])
    await app.cosmos.container("jobs").delete(("acme", first), first, None)

    assert await owned.count() == 1


class Aggregates:
    """A container that answers an aggregate once for each physical partition, merged by nobody."""

    def __init__(self, *results: object) -> None:
        self._results = list(results)

    async def query(self, _key: Key, query: Query) -> list[Any]:
        return self._results[: query.limit]


async def test_an_aggregate_that_nobody_merged_is_of_all_physical_partitions() -> None:
    def owned(*results: object) -> OwnedItems:
        return OwnedItems(parse_tenant_id("acme"), Aggregates(*results), ("id",))  # type: ignore[arg-type]  # what is used of it

    assert await owned(0, 3, 1).count() == 4
    assert await owned().count() == 0
    assert await owned({}, "b", "a").least((), "id", "") == "a"
    assert await owned({}).least((), "id", "") is None


class Contested:
    """A container in which somebody else removes items at the same time."""

    def __init__(self, cosmos: MemoryCosmos, reason: BatchFailure) -> None:
        self._container = cosmos.container("bots")
        self._reason = reason
        self.query, self.delete = self._container.query, self._container.delete

    async def batch(
        self,
        _key: Key,
        _operations: Sequence[BatchOperation],
        *,
        minimal: bool = False,  # noqa: ARG002  # it fails
    ) -> list[Json]:
        raise BatchFailedError(0, self._reason)


async def test_items_that_expire_meanwhile_do_not_hold_up_the_others(app: WholeApp) -> None:
    owned = OwnedItems(parse_tenant_id("acme"), Contested(app.cosmos, BatchFailure.MISSING))  # type: ignore[arg-type]  # what is used of it

    assert await owned.remove_some() == 2
    assert await owned.count() == 0


async def test_a_batch_that_is_refused_for_another_reason_is_not_taken_for_done(app: WholeApp) -> None:
    owned = OwnedItems(parse_tenant_id("acme"), Contested(app.cosmos, BatchFailure.REFUSED))  # type: ignore[arg-type]  # same

    with pytest.raises(BatchFailedError):
        await owned.remove_some()
    assert await owned.count() == 2


async def test_items_of_one_partition_are_removed_a_hundred_at_once() -> None:
    async with whole_app() as app:
        await app.new_tenant("acme")
        await fill(app, "acme", 230, ["bots"])
        batches = 0

        def count(request: HttpRequest) -> None:
            nonlocal batches
            batches += "x-ms-cosmos-is-batch-request" in request.headers

        app.cosmos.transport.watch = count
        owned = OwnedItems(parse_tenant_id("acme"), app.cosmos.container("bots"))

        assert [await owned.remove_some() for _ in range(2)] == [230, 0]
        assert batches == 3


async def test_a_purge_that_is_over_is_not_worked_on_again(app: WholeApp) -> None:
    await ask(app)
    await finish(app)
    before = app.cosmos.transport.requests
    await app.tick(TIMER)

    assert app.cosmos.transport.requests - before == 1  # it asks what is left to do, and that is nothing
    assert len(await proofs(app)) == 1
