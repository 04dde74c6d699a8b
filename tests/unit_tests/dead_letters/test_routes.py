"""Dead letters through their routes: what is listed, replayed and deleted, and by whom."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import Call
from tests.support.log_lines import kept_lines
from tests.unit_tests.dead_letters.app import TEXT
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from tests.unit_tests.dead_letters.app import DeadLetterApp


async def test_a_dead_letter_is_listed_with_its_reason_and_without_its_text(app: DeadLetterApp) -> None:
    await app.exhaust()

    [letter] = await app.listed()

    assert letter | {"quarantined_at": ""} == {
        "id": letter["id"],
        "queue": "reasoner-in",
        "tenant_id": "acme",
        "message_id": "m-1",
        "job_id": "j1",
        "reason": "DeliveriesExhaustedError",
        "fields": {},
        "is_cut": False,
        "quarantined_at": "",
    }
    assert TEXT not in json.dumps(letter)


async def test_the_fields_at_fault_are_named_and_what_the_sender_calls_a_field_is_not(
    app: DeadLetterApp,
) -> None:
    await app.refuse(variables={"secret name": 7})

    [letter] = await app.listed()

    assert (letter["tenant_id"], letter["reason"]) == ("acme", "ValidationError")
    assert list(letter["fields"]) == ["variables"]
    assert "secret name" not in json.dumps(letter)


async def test_what_is_wrong_with_a_message_as_a_whole_is_told(app: DeadLetterApp) -> None:
    await app.refuse()

    [letter] = await app.listed()

    assert letter["fields"] == {"message": "exactly one of text, messages, prompt and prompt_name is needed"}


async def test_lists_are_filtered_by_queue_reason_and_time(app: DeadLetterApp) -> None:
    await app.exhaust()
    app.app.clock.advance(3600)
    await app.exhaust("give_up_feedback", id="f1", language="en")
    await app.refuse(id="j2")
    between = "2026-01-31T10:45:00Z"

    async def found(query: str) -> list[str]:
        return sorted(letter["job_id"] for letter in await app.listed(query))

    assert await found("") == ["f1", "j1", "j2"]
    assert await found("queue=feedback-form-in") == ["f1"]
    assert await found("reason=DeliveriesExhaustedError") == ["f1", "j1"]
    assert await found(f"from={between}") == ["f1", "j2"]
    assert await found(f"to={between}") == ["j1"]


async def test_a_page_ends_where_the_next_one_begins(app: DeadLetterApp) -> None:
    for number in range(3):
        await app.exhaust(id=f"j{number}")

    first = (await app.app.must("list_dead_letters", Call(query="limit=2", headers=app.boss))).json()
    rest = await app.listed(f"limit=2&cursor={first['next_cursor']}")

    assert [letter["id"] for letter in (*first["items"], *rest)] == [one["id"] for one in await app.listed()]
    assert len(rest) == 1


async def test_another_tenant_sees_replays_and_deletes_none_of_it(app: DeadLetterApp) -> None:
    await app.exhaust()
    [letter] = await app.listed()

    assert await app.listed(headers=app.stranger) == []
    assert (await app.replay(letter["id"], app.stranger)).status == 404
    assert (await app.delete(letter["id"], app.stranger)).status == 404
    assert (await app.replay_all(app.stranger)).json()["replayed"] == []
    assert await app.listed() == [letter]


async def test_a_user_of_the_tenant_is_refused(app: DeadLetterApp) -> None:
    await app.exhaust()
    [letter] = await app.listed()

    assert (await app.replay(letter["id"], app.user)).status == 403
    assert (await app.delete(letter["id"], app.user)).status == 403


async def test_a_replayed_job_goes_on_after_its_last_finished_step_and_ends(app: DeadLetterApp) -> None:
    await app.exhaust()
    [letter] = await app.listed()
    failed = await app.job()

    answer = await app.replay(letter["id"])
    queued = await app.job()
    [again] = app.broker.on("reasoner-in")
    await app.deliver(again)

    assert (failed["status"], queued["status"], queued["error"]) == ("failed", "queued", None)
    assert answer.json() == {"id": letter["id"], "queue": "reasoner-in", "job_id": "j1"}
    assert (again.message_id, again.session_id, json.loads(again.body)["text"]) == ("acme:j1", "acme#2", TEXT)
    assert (await app.job())["status"] == "succeeded"
    assert await app.listed() == []
    assert await app.audited("deadletter.replay") == [(letter["id"], "done")]


async def test_a_replay_is_repeated_as_often_as_one_likes_and_sends_one_message(app: DeadLetterApp) -> None:
    await app.exhaust()
    [letter] = await app.listed()

    answers = [await app.replay(letter["id"]) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 404, 404]
    assert len(app.broker.on("reasoner-in")) == 1


async def test_two_replays_of_one_dead_letter_at_once_send_one_message(app: DeadLetterApp) -> None:
    await app.exhaust()
    [letter] = await app.listed()

    answers = await asyncio.gather(*(app.replay(letter["id"]) for _ in range(5)))

    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    assert {answer.json().get("error") for answer in answers} == {None, "DeadLetterInReplayError"}
    assert len(app.broker.on("reasoner-in")) == 1
    assert await app.listed() == []


async def test_a_replay_of_many_beside_one_of_the_same_sends_one_message_of_each(app: DeadLetterApp) -> None:
    for number in range(3):
        await app.exhaust(id=f"j{number}")
    letters = await app.listed()

    alone, *many = await asyncio.gather(
        app.replay(letters[0]["id"]), app.replay_all(), app.replay_all(reason="DeliveriesExhaustedError")
    )

    done = [one["id"] for answer in many for one in answer.json()["replayed"]]
    done += [letters[0]["id"]] if alone.status == 200 else []
    assert sorted(done) == sorted(letter["id"] for letter in letters)
    refused = {one["error"] for answer in many for one in answer.json()["refused"]}
    assert refused <= {"DeadLetterInReplayError", "DeadLetterNotFoundError"}
    assert sorted(message.message_id for message in app.broker.on("reasoner-in")) == [
        "acme:j0",
        "acme:j1",
        "acme:j2",
    ]


async def test_a_replay_that_dies_before_it_sends_leaves_a_dead_letter_that_is_replayed_later(
    app: DeadLetterApp,
) -> None:
    await app.exhaust()
    [letter] = await app.listed()
    await app.die_in_replay(letter["id"])

    at_once = [(await app.replay(letter["id"])).status, (await app.delete(letter["id"])).status]
    listed = await app.listed()
    app.app.clock.advance(61)
    later = await app.replay(letter["id"])
    await app.app.tick("sweep_outbox")

    assert (at_once, listed) == ([409, 409], [letter])
    assert (later.status, await app.listed()) == (200, [])
    assert len(app.broker.on("reasoner-in")) == 1


async def test_a_dead_letter_that_a_replay_did_not_give_back_is_deleted_a_minute_later(
    app: DeadLetterApp,
) -> None:
    await app.exhaust()
    [letter] = await app.listed()
    await app.die_in_replay(letter["id"])
    app.app.clock.advance(61)

    assert (await app.delete(letter["id"])).status == 204
    assert await app.listed() == []


async def test_what_a_broker_that_is_down_does_not_take_stays_a_dead_letter_and_is_sent_later(
    app: DeadLetterApp,
) -> None:
    await app.exhaust()
    [letter] = await app.listed()
    app.broker.is_down = True

    answer = await app.replay(letter["id"])
    kept = await app.listed()
    app.broker.is_down = False
    app.app.clock.advance(60)
    await app.app.tick("sweep_outbox")

    assert answer.status == 503
    assert kept == [letter]
    assert [message.message_id for message in app.broker.on("reasoner-in")] == ["acme:j1"]
    assert (await app.replay(letter["id"])).status == 200  # it is queued: another delivery does no harm


async def test_a_message_that_fails_again_while_it_is_replayed_stays_a_dead_letter(
    app: DeadLetterApp,
) -> None:
    await app.exhaust()
    [letter] = await app.listed()
    send = app.broker.send

    async def send_and_fail(*sent: object) -> None:
        await send(*sent)  # type: ignore[arg-type]  # as it is called
        app.broker.send = send  # type: ignore[method-assign]  # only once
        await app.exhaust()

    app.broker.send = send_and_fail  # type: ignore[method-assign,assignment]  # a broker that is quicker

    assert (await app.replay(letter["id"])).status == 200
    assert [one["id"] for one in await app.listed()] == [letter["id"]]


@pytest.mark.parametrize("status", ["succeeded", "cancelled"])
async def test_a_job_that_has_ended_otherwise_is_not_begun_anew(app: DeadLetterApp, status: str) -> None:
    await app.exhaust()
    [letter] = await app.listed()
    await app.replay(letter["id"])
    if status == "succeeded":
        await app.deliver(app.broker.on("reasoner-in")[0])
    else:
        await app.app.must("cancel_job", Call({"job_id": "j1"}, headers=app.boss))
    await app.exhaust()  # a copy that somebody sent
    [copy] = await app.listed()

    answer = await app.replay(copy["id"])

    assert (answer.status, answer.json()["error"]) == (409, "DeadLetterNotReplayableError")
    assert status in answer.json()["message"]
    assert await app.listed() == [copy]
    assert sorted(await app.audited("deadletter.replay")) == [
        (letter["id"], "done"),
        (copy["id"], "refused"),
    ]


async def test_another_request_under_a_jobs_id_is_not_replayed(app: DeadLetterApp) -> None:
    await app.exhaust()
    await app.exhaust(text="something else")

    answers = {one["id"]: (await app.replay(one["id"])).status for one in await app.listed()}

    assert sorted(answers.values()) == [200, 409]
    assert len(app.broker.on("reasoner-in")) == 1


async def test_a_message_that_its_queue_cannot_read_is_not_replayed(app: DeadLetterApp) -> None:
    await app.refuse(variables={"name": 7})
    [letter] = await app.listed()

    answer = await app.replay(letter["id"])

    assert (answer.status, answer.json()["detail"]["reason"]) == (409, "ValidationError")
    assert app.broker.sent == []


async def test_a_feedback_is_replayed_without_a_session(app: DeadLetterApp) -> None:
    await app.exhaust("give_up_feedback", id="f1", language="en")
    [letter] = await app.listed()

    assert (await app.replay(letter["id"])).status == 200
    [again] = app.broker.on("feedback-form-in")
    assert (again.message_id, again.session_id) == ("acme:f1", None)


async def test_a_budget_that_is_used_up_refuses_a_replay_until_it_is_there_again(app: DeadLetterApp) -> None:
    await app.exhaust()
    [letter] = await app.listed()
    limits = {"tokens_per_day": 1}
    await app.app.must("put_limits", Call.of(limits, headers=app.app.admin, tenant_id="acme"))
    body = {"app_id": "other", "token_count": 1}
    await app.app.must("lock_tokens", Call.of(body, headers=app.boss))

    refused = await app.replay(letter["id"])
    refused_all = await app.replay_all()

    assert (refused.status, refused_all.status) == (429, 429)
    assert "retry-after" in refused.headers
    assert await app.listed() == [letter]
    assert app.broker.on("reasoner-in") == []


async def test_many_are_replayed_by_reason_and_each_that_is_not_is_told(app: DeadLetterApp) -> None:
    await app.exhaust(id="j1")
    await app.exhaust(id="j2")
    await app.exhaust(id="j2", text="something else")
    await app.refuse(id="j3")

    answer = (await app.replay_all(reason="DeliveriesExhaustedError")).json()

    assert sorted(one["job_id"] for one in answer["replayed"]) == ["j1", "j2"]
    assert [one["error"] for one in answer["refused"]] == ["DeadLetterNotReplayableError"]
    assert answer["next_cursor"] is None
    assert sorted(one["job_id"] for one in await app.listed()) == ["j2", "j3"]


async def test_a_message_that_can_never_be_a_job_is_refused_and_stays(app: DeadLetterApp) -> None:
    await app.refuse()
    await app.exhaust("give_up_feedback", id="f1", language="en")
    bad = {"tenant_id": "acme", "id": "f2", "text": TEXT, "language": "no language"}
    await app.app.functions["analyse_feedback"](FakeDelivery(json.dumps(bad).encode()))
    kept = [one for one in await app.listed() if one["reason"] == "ValidationError"]

    alone = [(await app.replay(one["id"])).status for one in kept]
    many = (await app.replay_all(reason="ValidationError")).json()

    assert alone == [409, 409]
    assert (many["replayed"], [one["id"] for one in many["refused"]]) == ([], [one["id"] for one in kept])
    assert all("ValidationError" in one["message"] for one in many["refused"])
    assert [one for one in await app.listed() if one["reason"] == "ValidationError"] == kept
    assert "done" not in {outcome for _, outcome in await app.audited("deadletter.replay")}


async def test_a_selection_goes_on_by_its_cursor_and_passes_over_what_was_refused(app: DeadLetterApp) -> None:
    for number in range(3):
        await app.refuse(id=f"j{number}", variables={"name": 7})
    seen: list[str] = []
    cursor: dict[str, object] = {}
    for _ in range(3):
        answer = (await app.replay_all(app.app.admin, limit=1, **cursor)).json()
        seen += [one["id"] for one in answer["refused"]]
        cursor = {"cursor": answer["next_cursor"]}

    assert seen == [one["id"] for one in await app.listed(headers=app.app.admin)]
    assert cursor == {"cursor": None}


async def test_only_those_of_before_a_time_are_replayed(app: DeadLetterApp) -> None:
    await app.exhaust(id="j1")
    app.app.clock.advance(3600)
    await app.exhaust(id="j2")

    answer = (await app.replay_all(before="2026-01-31T10:45:00Z")).json()

    assert [one["job_id"] for one in answer["replayed"]] == ["j1"]


async def test_the_administrator_replays_for_a_tenant_and_what_names_no_active_one(
    app: DeadLetterApp,
) -> None:
    await app.exhaust()
    acting = app.app.admin | {"x-tenant-id": "acme"}
    [letter] = await app.listed(headers=acting)
    await app.suspend()
    await app.refuse(id="j9", prompt_name=None)
    [unattributed] = await app.listed(headers=app.app.admin)

    while_suspended = [
        (await app.replay(letter["id"], acting)).status,
        (await app.replay(unattributed["id"], app.app.admin)).status,
    ]
    await app.suspend(status="active")
    afterwards = [
        (await app.replay(letter["id"], acting)).status,
        (await app.replay(unattributed["id"], app.app.admin)).status,
    ]

    assert (unattributed["tenant_id"], unattributed["reason"]) == ("acme", "TenantNotFoundError")
    assert (while_suspended, afterwards) == ([409, 409], [200, 200])
    assert [message.message_id for message in app.broker.on("reasoner-in")] == ["acme:j1", "acme:j9"]
    assert await app.listed(headers=app.app.admin) == []
    assert sorted(await app.audited("deadletter.replay", app.app.admin)) == [
        (unattributed["id"], "done"),
        (unattributed["id"], "refused"),
    ]


async def test_a_job_that_lost_its_message_takes_a_place_again_and_one_whose_message_waits_has_one(
    app: DeadLetterApp,
) -> None:
    for number in range(5):
        request = {"id": f"j{number}", "text": TEXT}
        await app.app.must("accept_job", Call.of(request, headers=app.boss))
    await app.suspend()
    for job_id in ("j0", "j4"):  # four have a place, and this one waits for one
        message = json.dumps({"tenant_id": "acme", "id": job_id, "text": TEXT}).encode()
        await app.app.functions["run_job"](FakeDelivery(message, f"acme:{job_id}"))
    await app.suspend(status="active")
    letters = {one["job_id"]: one["id"] for one in await app.listed(headers=app.app.admin)}
    app.app.clock.advance(1)

    waiting = await app.replay(letters["j4"], app.app.admin)
    sent = len(app.broker.on("reasoner-in"))
    lost = await app.replay(letters["j0"], app.app.admin)

    assert (waiting.status, lost.status, sent) == (200, 200, 4)
    # The place that is free is that one's, which asked first.
    assert [message.message_id for message in app.broker.on("reasoner-in")][4:] == ["acme:j4"]


async def test_messages_that_never_became_jobs_take_places_when_they_are_replayed(app: DeadLetterApp) -> None:
    await app.suspend()
    for number in range(6):
        await app.refuse(id=f"j{number}", prompt_name=None)
    await app.suspend(status="active")

    answer = (await app.replay_all(app.app.admin)).json()
    sent = len(app.broker.on("reasoner-in"))
    statuses = [(await app.job(f"j{number}"))["status"] for number in range(6)]
    for message in list(app.broker.on("reasoner-in")):
        await app.deliver(message)

    assert (len(answer["replayed"]), sent, statuses) == (6, 4, ["queued"] * 6)
    names = sorted(message.message_id for message in app.broker.on("reasoner-in"))
    assert names == [f"acme:j{number}" for number in range(6)]
    assert await app.listed(headers=app.app.admin) == []


async def test_a_feedback_that_never_was_one_is_listed_and_counted_once_it_is_replayed(
    app: DeadLetterApp,
) -> None:
    await app.suspend()
    body = json.dumps({"tenant_id": "acme", "id": "f1", "text": TEXT, "language": "pt-BR"}).encode()
    await app.app.functions["analyse_feedback"](FakeDelivery(body))
    await app.suspend(status="active")
    [letter] = await app.listed(headers=app.app.admin)

    replayed = await app.replay(letter["id"], app.app.admin)
    found = (await app.app.must("list_feedback", Call(query="language=pt", headers=app.boss))).json()["items"]

    assert (replayed.status, [one["feedback_id"] for one in found]) == (200, ["f1"])
    assert [message.message_id for message in app.broker.on("feedback-form-in")] == ["acme:f1"]


async def test_a_replay_of_a_job_that_is_in_work_sends_one_message_more(app: DeadLetterApp) -> None:
    request = {"id": "j1", "text": TEXT, "needs_approval": True}
    await app.app.must("accept_job", Call.of(request, headers=app.boss))
    await app.deliver(app.broker.on("reasoner-in")[0])
    before = len(app.broker.on("reasoner-in"))
    await app.suspend()
    await app.refuse(id="j1", prompt_name=None, needs_approval=True)
    await app.suspend(status="active")
    [letter] = await app.listed(headers=app.app.admin)

    waiting = await app.job()
    answer = await app.replay(letter["id"], app.app.admin)
    await app.deliver(app.broker.on("reasoner-in")[-1])

    assert (waiting["status"], answer.status) == ("waiting", 200)
    assert len(app.broker.on("reasoner-in")) == before + 1
    assert (await app.job())["status"] == "waiting"


async def test_a_job_with_a_large_input_is_replayed_while_that_is_there(app: DeadLetterApp) -> None:
    for job_id in ("kept", "gone"):
        said = [{"role": "user", "content": text} for text in ("x" * 300_000, "Why?")]
        await app.app.must("accept_job", Call.of({"id": job_id, "messages": said}, headers=app.boss))
    sent = {message.message_id: message for message in app.broker.on("reasoner-in")}
    for message in sent.values():
        reason = {"DeadLetterReason": "MaxDeliveryCountExceeded"}
        dead = FakeDelivery(message.body, message.message_id, application_properties=reason)
        await app.app.functions["give_up_job"](dead)
    claim = json.loads(sent["acme:gone"].body)["content"]["digest"]
    assert await app.app.runtime.job_blobs.delete(f"acme/{claim}.json")

    answers = {letter["job_id"]: await app.replay(letter["id"]) for letter in await app.listed()}
    await app.deliver(app.broker.on("reasoner-in")[-1])

    assert {job_id: answer.status for job_id, answer in answers.items()} == {"kept": 200, "gone": 409}
    assert answers["gone"].json()["detail"]["reason"].startswith("its input was kept beside the queue")
    assert (await app.job("kept"))["status"] == "succeeded"
    assert (await app.job("gone"))["status"] == "failed"


async def test_a_deleted_dead_letter_is_gone_and_its_deletion_is_audited(app: DeadLetterApp) -> None:
    await app.exhaust()
    [letter] = await app.listed()

    assert (await app.delete(letter["id"])).status == 204
    assert (await app.delete(letter["id"])).status == 404
    assert await app.listed() == []
    assert await app.audited("deadletter.delete") == [(letter["id"], "done")]


async def test_the_timer_tells_number_and_age_of_each_tenants_and_of_the_platforms(
    app: DeadLetterApp,
) -> None:
    await app.exhaust(id="j1")
    app.app.clock.advance(7200)
    await app.exhaust(id="j2")
    await app.refuse(tenant_id="nobody")

    with kept_lines("functions.dead_letters.watching") as lines:
        await app.app.tick("watch_dead_letters")

    told = {line["tenant_id"]: (line["extra"]["count"], line["extra"]["oldest_seconds"]) for line in lines}
    assert told.keys() == {None, "acme"}
    assert told[None][0] == 1
    assert told["acme"][0] == 2
    assert told["acme"][1] >= 7200
    assert {line["message"] for line in lines} == {"Dead letters wait for a decision"}
