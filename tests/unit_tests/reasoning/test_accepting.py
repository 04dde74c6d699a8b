"""Accepting a job: once per id, whatever the broker does, and nobody else's business."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from functions.reasoning.messages import SESSIONS_PER_TENANT, session_of
from shared.jobs.places import PLACES
from shared.jobs.repository import SWEEP_AFTER_SECONDS
from shared.prompts.models import PromptDraft
from shared.resilience.deadlines import remaining_seconds
from tests.support.fakes import Call, every_page, host_limit_seconds
from tests.unit_tests.reasoning.app import message

if TYPE_CHECKING:
    from tests.unit_tests.reasoning.app import App


async def test_an_accepted_job_is_stored_and_sent(app: App) -> None:
    answer = await app.accept(id="j1", task_id="t1", text="Why?")

    assert answer.status == 202
    assert answer.headers["location"] == "/api/v1/reasoning/jobs/j1"
    [(queue, sent)] = app.sender.sent
    assert (queue, sent.message_id, sent.session_id) == ("reasoner-in", "acme:j1", session_of("acme", "j1"))
    assert json.loads(sent.body) == {
        "tenant_id": "acme",
        "id": "j1",
        "schema_version": 1,
        "taskId": "t1",
        "text": "Why?",
    }
    shown = (await app.show("j1")).json()
    assert (shown["status"], shown["task_id"], shown["steps"], shown["result"]) == ("queued", "t1", [], None)


async def test_a_job_without_an_id_gets_one(app: App) -> None:
    first, second = await app.accept(text="Why?"), await app.accept(text="Why?")

    assert first.json()["job_id"] != second.json()["job_id"]


async def test_the_same_job_again_is_the_same_job_and_sent_once(app: App) -> None:
    answers = [await app.accept(id="j1", text="Why?") for _ in range(3)]

    assert {answer.status for answer in answers} == {202}
    assert len(app.sender.sent) == 1


async def test_the_same_id_for_something_else_is_a_conflict(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    answer = await app.accept(id="j1", text="How?")

    assert (answer.status, answer.json()["detail"]) == (409, {"job_id": "j1"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "a", "prompt_name": "p"},
        {"text": "a", "messages": [{"role": "user", "content": "b"}]},
        {"text": "a", "variables": {}},
        {"text": "a", "prompt": {"name": "p"}},
        {"prompt_name": "p", "prompt": {"name": "p"}},
        {"prompt": {"name": "p", "label": "a", "version": 1}},
        {"prompt": {"name": "p", "version": "1"}},
        {"text": ""},
        {"text": "a", "strategy": "tree"},
        {"text": "a", "id": "no spaces"},
        {"text": "a", "tenant_id": "globex"},
    ],
)
async def test_what_is_no_single_input_is_refused_and_nothing_is_stored(
    app: App, body: dict[str, object]
) -> None:
    answer = await app.accept(None, **body)

    assert answer.status == 422
    assert app.sender.sent == []
    assert await app.jobs.page(None, 10) == []


@pytest.mark.parametrize(
    ("asked", "field", "told"),
    [
        ({"prompt_name": "gone"}, "body.prompt_name", "Prompt 'gone' not found"),
        ({"prompt": {"name": "gone"}}, "body.prompt.name", "Prompt 'gone' not found"),
        (
            {"prompt": {"name": "ask", "label": "draft"}},
            "body.prompt.label",
            "Prompt 'ask' with the label 'draft' not found",
        ),
        (
            {"prompt": {"name": "ask", "version": 2}},
            "body.prompt.version",
            "Prompt 'ask' in version 2 not found",
        ),
        ({"prompt_name": "ask"}, "body.variables", "topic"),
        ({"prompt_name": "ask", "variables": {"topic": "tea", "more": "x"}}, "body.variables", "more"),
    ],
)
async def test_a_prompt_with_which_a_job_could_only_fail_is_refused_by_its_field(
    app: App, asked: dict[str, Any], field: str, told: str
) -> None:
    await app.prompts.save("ask", PromptDraft(template="About {topic}?"), None)

    answer = await app.accept(id="j1", **asked)

    assert answer.status == 422
    [(named, problem)] = answer.json()["detail"]["fields"].items()
    assert (named, told in problem) == (field, True)
    assert (await app.show("j1")).status == 404


async def test_another_tenants_prompt_looks_like_none(app: App) -> None:
    await app.prompts.save("ask", PromptDraft(template="About tea?"), None)

    answers = [await app.accept(headers, prompt_name="ask") for headers in (app.user, app.stranger)]

    assert [answer.status for answer in answers] == [202, 422]


async def test_a_job_is_accepted_while_the_broker_is_down_and_swept_later(app: App) -> None:
    app.sender.is_down = True
    accepted = await app.accept(id="j1", text="Why?")
    swept_down = await app.outbox.sweep()
    app.clock.advance(SWEEP_AFTER_SECONDS + 1)
    swept_still_down = await app.outbox.sweep()
    app.sender.is_down = False
    app.clock.advance(SWEEP_AFTER_SECONDS + 1)

    assert accepted.status == 202
    assert (swept_down, swept_still_down) == (0, 0)
    assert await app.outbox.sweep() == 1
    assert await app.outbox.sweep() == 0
    assert [sent.message_id for _, sent in app.sender.sent] == ["acme:j1"]


async def test_the_sweeper_serves_every_tenant_whatever_befalls_one(app: App) -> None:
    app.sender.is_down = True
    await app.accept(id="j1", text="Why?")
    await app.accept(app.stranger, id="j2", text="How?")
    app.sender.is_down = False
    app.clock.advance(SWEEP_AFTER_SECONDS + 1)
    app.directory.also = ("suspended-meanwhile",)
    unreadable = {"id": "j0", "tenant_id": "acme", "outbox_pending": True, "outbox_since": 0, "outbox": "?"}
    await app.cosmos.container("jobs").create(("acme", "j0"), unreadable)

    with pytest.raises(ExceptionGroup, match="could not be swept"):
        await app.sweep()
    assert [sent.message_id for _, sent in app.sender.sent] == ["globex:j2"]

    await app.cosmos.container("jobs").delete(("acme", "j0"), "j0", None)
    await app.sweep()
    await app.sweep()
    assert [sent.message_id for _, sent in app.sender.sent] == ["globex:j2", "acme:j1"]


async def test_a_round_ends_before_the_host_ends_the_worker(app: App) -> None:
    left: list[float | None] = []
    app.sender.after_sending = lambda: left.append(remaining_seconds())
    app.sender.is_down = True
    await app.accept(id="j1", text="Why?")
    app.sender.is_down = False
    app.clock.advance(60)

    await app.sweep()

    assert len(left) == 1
    assert left[0] is not None
    assert left[0] < host_limit_seconds()


async def test_a_store_that_is_down_while_sweeping_is_left_to_the_next_round(app: App) -> None:
    app.sender.is_down = True
    await app.accept(id="j1", text="Why?")
    app.sender.is_down = False
    app.clock.advance(SWEEP_AFTER_SECONDS + 1)
    app.cosmos.transport.lose_requests = 100
    await app.sweep()
    app.cosmos.transport.lose_requests = 0
    app.clock.advance(60)

    await app.sweep()

    assert [sent.message_id for _, sent in app.sender.sent] == ["acme:j1"]


async def test_a_job_that_is_accepted_while_the_store_stops_is_sent_when_asked_for_again(app: App) -> None:
    app.sender.after_sending = lambda: setattr(app.cosmos.transport, "lose_requests", 3)
    first = await app.accept(id="j1", text="Why?")
    app.sender.after_sending = lambda: None
    app.clock.advance(60)

    again = await app.accept(id="j1", text="Why?")

    assert (first.status, again.status) == (202, 202)
    assert [sent.message_id for _, sent in app.sender.sent] == ["acme:j1", "acme:j1"]
    assert (await app.jobs.read("j1")).outbox_pending is False


async def test_a_fresh_message_is_left_to_its_own_sender(app: App) -> None:
    app.sender.is_down = True
    await app.accept(id="j1", text="Why?")
    app.sender.is_down = False

    assert await app.outbox.sweep() == 0


async def test_jobs_are_listed_a_page_at_a_time(app: App) -> None:
    for name in ("a", "b", "c"):
        await app.accept(id=name, text="Why?")

    first = (await app.client.call("list_jobs", Call(query="limit=2", headers=app.user))).json()
    second = (await app.client.call("list_jobs", Call(query="limit=2&cursor=b", headers=app.user))).json()
    strangers = (await app.client.call("list_jobs", Call(headers=app.stranger))).json()

    assert ([job["job_id"] for job in first["items"]], first["next_cursor"]) == (["a", "b"], "b")
    assert ([job["job_id"] for job in second["items"]], second["next_cursor"]) == (["c"], None)
    assert strangers == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("status", "listed"),
    [("queued", ["a", "d"]), ("succeeded", ["b"]), ("failed", ["c"]), ("running", [])],
)
async def test_jobs_are_listed_by_status_a_page_at_a_time(app: App, status: str, listed: list[str]) -> None:
    for name in ("a", "b", "c", "d"):
        await app.accept(id=name, text="Why?")
    await app.deliver(message(id="b"))
    await app.give_up(message(id="c"))

    pages = await every_page(
        lambda query: app.client.call("list_jobs", Call(query=f"status={status}&{query}", headers=app.user)),
        1,
    )
    odd = await app.client.call("list_jobs", Call(query="status=odd", headers=app.user))

    assert [job["job_id"] for page in pages for job in page.json()["items"]] == listed
    assert odd.status == 422


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 30])
@pytest.mark.slow
async def test_jobs_in_several_physical_partitions_are_each_listed_once_in_order(
    app: App, limit: int
) -> None:
    names = [f"j{number:02}" for number in range(24)]
    for name in names:
        await app.accept(id=name, text="Why?")
        await app.accept(app.stranger, id=name, text="How?")
    app.cosmos.split("jobs", [("acme", name) for name in names], parts=3)

    pages = await every_page(
        lambda query: app.client.call("list_jobs", Call(query=query, headers=app.user)), limit
    )

    assert [job["job_id"] for page in pages for job in page.json()["items"]] == names


async def test_another_tenants_job_looks_like_none(app: App) -> None:
    await app.accept(id="j1", text="Why?")

    foreign, absent = await app.show("j1", app.stranger), await app.show("j2", app.stranger)

    assert (foreign.status, absent.status) == (404, 404)
    assert foreign.json()["message"].replace("j1", "j2") == absent.json()["message"]


async def test_two_tenants_jobs_of_one_id_are_two_jobs(app: App) -> None:
    await app.accept(id="j1", text="Why?")
    await app.accept(app.stranger, id="j1", text="How?")

    assert len(app.sender.sent) == 2


def test_sessions_are_the_tenants_own_and_few() -> None:
    sessions = {session_of("acme", f"job-{number}") for number in range(200)}

    assert sessions == {f"acme#{number}" for number in range(4)}


def test_two_instances_work_on_all_places_of_32_tenants_at_once_and_keep_no_idle_session() -> None:
    """So that whoever comes beside 32 floods waits for no more than the first of them to end (ADR 52)."""
    options = json.loads((Path(__file__).parents[3] / "host.json").read_text())["extensions"]["serviceBus"]

    assert 2 * options["maxConcurrentSessions"] >= 32 * SESSIONS_PER_TENANT
    assert 2 * options["maxConcurrentCalls"] >= 32 * PLACES
    assert options["sessionIdleTimeout"] == "00:00:01"
