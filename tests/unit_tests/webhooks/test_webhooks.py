"""Webhooks through their routes and their timer, on the app in memory, with a real receiver."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from shared.cosmos.container import Patch, PatchOperation, Query
from shared.errors import DependencyUnavailableError
from shared.tenancy.context import Role
from shared.webhooks.deliveries import MOST_ATTEMPTS
from tests.support.fakes import Call
from tests.support.receiver import answer, receiving
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fakes import Answer
    from tests.support.receiver import Received
    from tests.support.whole_app import WholeApp

BODY_FIELDS = {
    "delivery_id",
    "event",
    "tenant_id",
    "job_id",
    "task_id",
    "status",
    "status_url",
    "created_at",
}


@dataclass
class Tenant:
    """A tenant of the app, as its administrator."""

    app: WholeApp
    headers: dict[str, str]

    async def call(self, name: str, body: dict[str, Any] | None = None, /, **path: str) -> Answer:
        return await self.app.client.call(name, Call.of(body or {}, headers=self.headers, **path))

    async def read(self, name: str, /, **path: str) -> Any:  # noqa: ANN401  # JSON
        answered = await self.app.must(name, Call(headers=self.headers, path=path))
        return answered.json()

    async def hook(self, url: str, **fields: object) -> dict[str, Any]:
        added = await self.call("create_webhook", {"url": url, **fields})
        assert added.status == 201, added.body
        shown: dict[str, Any] = added.json()
        return shown

    async def end_job(self, job_id: str, url: str) -> None:
        """Let a job come to its end, the quickest one: it is cancelled."""
        accepted = await self.call("accept_job", {"id": job_id, "text": "Why?", "callback_url": url})
        assert accepted.status == 202, accepted.body
        await self.app.must("cancel_job", Call(headers=self.headers, path={"job_id": job_id}))

    async def deliveries(self, webhook_id: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = (await self.read("list_webhook_deliveries", webhook_id=webhook_id))[
            "items"
        ]
        return listed


@asynccontextmanager
async def tenant(**environment: str) -> AsyncIterator[Tenant]:
    async with whole_app(**{"WEBHOOKS_ALLOW_LOOPBACK": "true"} | environment) as app:
        await app.new_tenant("acme")
        yield Tenant(app, await app.new_key("acme", Role.TENANT_ADMIN))


def is_signed(request: Received, secret: str) -> bool:
    """Check a signature as a receiver does."""
    timestamp, *signatures = request.headers["x-tenantry-signature"].split(",")
    signed = timestamp.removeprefix("t=").encode() + b"." + request.body
    expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected, one) for one in signatures)


async def test_the_end_of_a_job_that_names_a_webhooks_url_is_told_once_and_signed() -> None:
    async with tenant() as acme, receiving() as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        await acme.app.tick("deliver_webhooks")
        await acme.app.tick("deliver_webhooks")
        (delivery,) = await acme.deliveries(hook["webhook_id"])

    (request,) = receiver.received
    told = json.loads(request.body)
    assert told.keys() == BODY_FIELDS
    assert (told["event"], told["tenant_id"], told["job_id"]) == ("job.cancelled", "acme", "j1")
    assert told["status_url"] == "/api/v1/reasoning/jobs/j1"
    assert is_signed(request, hook["secret"])
    assert not is_signed(request, "whsec_of-somebody-else")
    assert (delivery["status"], delivery["status_code"], delivery["attempts"]) == ("delivered", 204, 1)
    assert (delivery["delivery_id"], delivery["next_attempt_at"]) == (told["delivery_id"], None)


async def test_a_job_may_name_no_url_that_is_not_a_webhooks_character_by_character() -> None:
    async with tenant() as acme:
        await acme.hook("https://hooks.example.com/jobs")
        for other in ("https://hooks.example.com/jobs?a=b", "https://hooks.example.com/jobs/x"):
            refused = await acme.call("accept_job", {"text": "Why?", "callback_url": other})

            assert refused.status == 422
            assert refused.json()["detail"]["fields"].keys() == {"body.callback_url"}


async def test_another_tenants_webhook_is_on_nobody_elses_list() -> None:
    async with tenant() as acme:
        hook = await acme.hook("https://hooks.example.com/jobs")
        await acme.app.new_tenant("globex")
        globex = Tenant(acme.app, await acme.app.new_key("globex", Role.TENANT_ADMIN))

        refused = await globex.call(
            "accept_job", {"text": "Why?", "callback_url": "https://hooks.example.com/jobs"}
        )
        seen = await globex.call("rotate_webhook", webhook_id=hook["webhook_id"])

    assert (refused.status, seen.status) == (422, 404)


async def test_a_receiver_that_fails_is_tried_again_with_growing_pauses_and_the_same_body() -> None:
    async with tenant() as acme, receiving(answer(500), answer(302), answer(200)) as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        waits = []
        for _ in range(3):
            await acme.app.tick("deliver_webhooks")
            await acme.app.tick("deliver_webhooks")  # too early for another one
            (delivery,) = await acme.deliveries(hook["webhook_id"])
            waits.append((delivery["status"], delivery["problem"], len(receiver.received)))
            acme.app.clock.advance(135)

    assert waits == [
        ("pending", "answered 500", 1),
        ("pending", "a redirect is not followed", 2),
        ("delivered", None, 3),
    ]
    assert len({request.body for request in receiver.received}) == 1
    assert len({request.headers["x-tenantry-signature"] for request in receiver.received}) == 3


@pytest.mark.slow
async def test_a_receiver_that_never_takes_it_is_given_up_after_eight_attempts() -> None:
    async with tenant() as acme, receiving(*[answer(500)] * 20) as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        for _ in range(MOST_ATTEMPTS + 3):
            await acme.app.tick("deliver_webhooks")
            acme.app.clock.advance(14 * 3600)
        (delivery,) = await acme.deliveries(hook["webhook_id"])

    assert len(receiver.received) == MOST_ATTEMPTS == 8
    assert (delivery["status"], delivery["attempts"]) == ("failed", 8)


async def test_the_time_that_a_receiver_asks_for_is_kept_up_to_an_hour() -> None:
    async with tenant() as acme, receiving(answer(429, "retry-after: 999999")) as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        await acme.app.tick("deliver_webhooks")
        acme.app.clock.advance(3599)
        await acme.app.tick("deliver_webhooks")
        early = len(receiver.received)
        acme.app.clock.advance(2)
        await acme.app.tick("deliver_webhooks")
        (delivery,) = await acme.deliveries(hook["webhook_id"])

    assert (early, delivery["status"]) == (1, "delivered")


async def test_a_receiver_that_fails_is_asked_once_in_a_round_and_keeps_no_other_one_waiting() -> None:
    async with tenant() as acme, receiving(*[answer(500)] * 9) as broken, receiving() as sound:
        for receiver in (broken, sound):
            await acme.hook(receiver.url())
            for number in range(3):
                await acme.end_job(f"j{number}-{receiver.port}", receiver.url())
        await acme.app.tick("deliver_webhooks")

    assert (len(broken.received), len(sound.received)) == (1, 3)


async def test_an_event_that_a_webhook_leaves_out_is_not_told() -> None:
    async with tenant() as acme, receiving() as receiver:
        hook = await acme.hook(receiver.url(), events=["job.succeeded"])
        await acme.end_job("j1", receiver.url())
        await acme.app.tick("deliver_webhooks")

        assert await acme.deliveries(hook["webhook_id"]) == []
    assert receiver.received == []


async def test_nothing_is_sent_to_a_webhook_that_was_removed_meanwhile() -> None:
    async with tenant() as acme, receiving() as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        await acme.app.must(
            "delete_webhook", Call(headers=acme.headers, path={"webhook_id": hook["webhook_id"]})
        )
        await acme.app.tick("deliver_webhooks")
        again = await acme.call("accept_job", {"text": "Why?", "callback_url": receiver.url()})

    assert receiver.received == []
    assert again.status == 422


async def test_during_the_overlap_deliveries_are_signed_with_both_secrets_then_with_the_new_one() -> None:
    async with tenant() as acme, receiving() as receiver:
        old = await acme.hook(receiver.url())
        new = (
            await acme.call("rotate_webhook", {"overlap_seconds": 600}, webhook_id=old["webhook_id"])
        ).json()
        await acme.end_job("j1", receiver.url())
        await acme.app.tick("deliver_webhooks")
        acme.app.clock.advance(600)
        await acme.end_job("j2", receiver.url())
        await acme.app.tick("deliver_webhooks")
        (listed,) = (await acme.read("list_webhooks"))["items"]

    both, after = receiver.received
    assert is_signed(both, old["secret"])
    assert is_signed(both, new["secret"])
    assert is_signed(after, new["secret"])
    assert not is_signed(after, old["secret"])
    assert listed["old_secret_until"] is None


async def test_a_secret_that_has_leaked_ends_at_once() -> None:
    async with tenant() as acme, receiving() as receiver:
        old = await acme.hook(receiver.url())
        await acme.call("rotate_webhook", {"overlap_seconds": 0}, webhook_id=old["webhook_id"])
        await acme.end_job("j1", receiver.url())
        await acme.app.tick("deliver_webhooks")

    assert not is_signed(receiver.received[0], old["secret"])


async def test_a_secret_is_in_no_list_no_export_and_not_readable_in_the_store() -> None:
    async with tenant() as acme:
        hook = await acme.hook("https://hooks.example.com/jobs")
        listed = await acme.read("list_webhooks")
        exported = await acme.read("export_tenant", tenant_id="acme")
        stored = await acme.app.runtime.container("webhooks").query(
            ("acme",), Query("SELECT * FROM c", {}, 10)
        )

    assert hook["secret"] not in json.dumps([listed, exported, stored])
    (shown,) = [one["item"] for one in exported["items"] if one["container"] == "webhooks"]
    assert "hooks" in shown
    assert "secrets" not in shown


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hooks.example.com/", "must begin with https://"),
        ("https://10.0.0.1/", "must lead to a public address"),
        ("https://[fd00:ec2::254]/", "must lead to a public address"),
    ],
)
async def test_a_url_that_leads_inside_is_refused_by_its_field(url: str, problem: str) -> None:
    async with tenant(WEBHOOKS_ALLOW_LOOPBACK="false") as acme:
        refused = await acme.call("create_webhook", {"url": url})

    assert refused.status == 422
    assert refused.json()["detail"]["fields"] == {"body.url": problem}


@pytest.mark.parametrize(
    "url",
    [
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com\\@10.0.0.1/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\n",
        "ftp://hooks.example.com/",
        "//hooks.example.com/",
        "https://",
    ],
)
async def test_a_url_that_clients_read_differently_is_refused(url: str) -> None:
    async with tenant() as acme:
        assert (await acme.call("create_webhook", {"url": url})).status == 422


async def test_without_the_switch_a_stored_loopback_url_is_told_nothing() -> None:
    """As where a name is pointed elsewhere after it was stored."""
    async with tenant() as acme, receiving() as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        acme.app.runtime.environment = {}
        acme.app.runtime.__dict__["settings"] = acme.app.runtime.settings.model_copy(
            update={"webhooks_allow_loopback": False}
        )
        await acme.app.tick("deliver_webhooks")
        (delivery,) = await acme.deliveries(hook["webhook_id"])

    assert receiver.received == []
    assert (delivery["status"], delivery["problem"]) == ("failed", "the address is not public")


async def test_there_are_twenty_webhooks_at_most_and_one_for_each_url() -> None:
    async with tenant() as acme:
        for number in range(20):
            await acme.hook(f"https://hooks.example.com/{number}")
        twice = await acme.call("create_webhook", {"url": "https://hooks.example.com/7"})
        beyond = await acme.call("create_webhook", {"url": "https://hooks.example.com/20"})
        listed = await acme.read("list_webhooks")

    assert (twice.status, twice.json()["error"]) == (409, "WebhookExistsError")
    assert (beyond.status, beyond.json()["error"]) == (409, "TooManyWebhooksError")
    assert len(listed["items"]) == 20


async def test_where_no_key_is_set_the_setting_is_named_and_nothing_stored() -> None:
    async with tenant() as acme:
        acme.app.runtime.__dict__["settings"] = acme.app.runtime.settings.model_copy(
            update={"webhook_key": None}
        )
        refused = await acme.call("create_webhook", {"url": "https://hooks.example.com/jobs"})
        listed = await acme.read("list_webhooks")

    assert refused.status == 503
    assert refused.json()["detail"]["settings"] == ["WEBHOOK_KEY"]
    assert listed["items"] == []


async def test_a_user_sees_and_changes_no_webhooks() -> None:
    async with tenant() as acme:
        user = Tenant(acme.app, await acme.app.new_key("acme", Role.USER))

        assert (await user.call("create_webhook", {"url": "https://hooks.example.com/"})).status == 403


async def test_a_suspended_tenants_webhooks_are_told_nothing() -> None:
    async with tenant() as acme, receiving() as receiver:
        await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        suspended = Call.of({"status": "suspended"}, headers=acme.app.admin, tenant_id="acme")
        await acme.app.must("update_tenant", suspended)
        acme.app.clock.advance(60)
        await acme.app.tick("deliver_webhooks")

    assert receiver.received == []


async def test_two_instances_that_deliver_at_once_send_one_request() -> None:
    async with tenant() as acme, receiving() as receiver:
        await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        other = acme.app.another_instance()
        await asyncio.gather(acme.app.tick("deliver_webhooks"), other.tick("deliver_webhooks"))
        await other.runtime.close()

    assert len(receiver.received) == 1


async def test_a_crash_between_the_delivery_and_the_outboxs_mark_tells_once() -> None:
    """The sweeper sends the job's message again, and announces the same delivery."""
    async with tenant() as acme, receiving() as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        jobs = acme.app.runtime.container("jobs")
        again = Patch((PatchOperation("set", "/outbox_pending", value=True),))
        await jobs.patch(("acme", "j1"), "j1", again)
        acme.app.clock.advance(60)
        await acme.app.tick("sweep_outbox")
        await acme.app.tick("deliver_webhooks")
        deliveries = await acme.deliveries(hook["webhook_id"])

    assert len(deliveries) == len(receiver.received) == 1


async def test_a_crash_during_an_attempt_is_an_attempt_and_the_next_comes_in_its_time() -> None:
    """What is taken and not noted comes again, under the same id."""

    async def fail() -> None:
        raise DependencyUnavailableError("Cosmos DB")

    async with tenant() as acme, receiving() as receiver:
        hook = await acme.hook(receiver.url())
        await acme.end_job("j1", receiver.url())
        receiver.on_request = lambda: setattr(acme.app.cosmos.transport, "fault", fail)
        await acme.app.tick("deliver_webhooks")
        acme.app.cosmos.transport.fault = None
        receiver.on_request = lambda: None
        acme.app.clock.advance(34)
        await acme.app.tick("deliver_webhooks")
        (delivery,) = await acme.deliveries(hook["webhook_id"])

    assert len({request.body for request in receiver.received}) == 1
    assert (delivery["status"], delivery["attempts"], len(receiver.received)) == ("delivered", 2, 2)


async def test_a_purge_leaves_no_webhook_and_no_delivery() -> None:
    async with tenant() as acme:
        hook = await acme.hook("https://hooks.example.com/jobs")
        await acme.end_job("j1", "https://hooks.example.com/jobs")
        assert len(await acme.deliveries(hook["webhook_id"])) == 1

        await acme.app.must("purge_tenant", Call(headers=acme.app.admin, path={"tenant_id": "acme"}))
        acme.app.clock.advance(700)
        await acme.app.tick("go_on_purging")

        rows = [row for row in acme.app.cosmos.rows_of("acme") if row[0] == "webhooks"]
    assert rows == []


async def test_deliveries_are_listed_by_pages_the_newest_first() -> None:
    async with tenant() as acme:
        hook = await acme.hook("https://hooks.example.com/jobs")
        for number in range(3):
            await acme.end_job(f"j{number}", "https://hooks.example.com/jobs")
            acme.app.clock.advance(1)
        path = {"webhook_id": hook["webhook_id"]}
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            query = f"limit=2&cursor={quote(cursor)}" if cursor else "limit=2"
            call = Call(headers=acme.headers, path=path, query=query)
            page = (await acme.app.must("list_webhook_deliveries", call)).json()
            seen += [one["job_id"] for one in page["items"]]
            cursor = page["next_cursor"]

    assert seen == ["j2", "j1", "j0"]
