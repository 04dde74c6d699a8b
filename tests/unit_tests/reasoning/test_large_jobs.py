"""Jobs that no message holds: their input is kept beside the queue, up to a megabyte, and is the tenant's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import DependencyUnavailableError
from tests.support.fakes import Call
from tests.support.whole_app import MemoryBlobs
from tests.unit_tests.reasoning.app import App, message

LARGE = "x" * 900_000


def claimed(app: App) -> dict[str, Any]:
    """Return the message that was sent last."""
    sent: dict[str, Any] = json.loads(app.sender.sent[-1][1].body)
    return sent


async def test_a_large_job_is_accepted_worked_on_whole_and_leaves_no_blob(app: App) -> None:
    accepted = await app.accept(id="j1", text=LARGE, task_id="t7")
    _, sent = app.sender.sent[-1]
    kept = dict(app.blobs.blobs)

    await app.deliver(sent.body)

    assert (accepted.status, len(sent.body) < 1_000, len(kept)) == (202, True, 1)
    assert all(name.startswith("acme/") for name in kept)
    assert app.model.prompts[0].messages[-1].content == LARGE
    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert app.sender.results()[0]["taskId"] == "t7"
    assert app.blobs.blobs == {}


async def test_a_small_job_keeps_nothing_beside_the_queue(app: App) -> None:
    await app.accept(id="j1", text="x" * 190_000)

    assert (app.blobs.blobs, claimed(app).get("content")) == ({}, None)


async def test_a_large_job_of_an_id_is_the_same_job_twice_and_a_conflict_with_another_content(
    app: App,
) -> None:
    answers = [await app.accept(id="j1", text=text) for text in (LARGE, LARGE, LARGE + "y")]
    await app.deliver(app.sender.sent[0][1].body)

    assert [answer.status for answer in answers] == [202, 202, 409]
    assert (await app.accept(id="j1", text=LARGE)).status == 202
    assert (len(app.model.prompts), len(app.sender.results())) == (2, 1)
    assert len(app.blobs.blobs) == 1  # what the conflict left, until its tenant, or its time, is over


async def test_more_than_a_megabyte_is_too_large(app: App) -> None:
    refused = await app.accept(id="j1", text="x" * 1_048_577)

    assert (refused.status, app.blobs.blobs, app.sender.sent) == (413, {}, [])


async def test_a_large_conversation_with_its_own_bounds_keeps_them_in_the_message(app: App) -> None:
    conversation = [{"role": "user", "content": "x" * 100_000}] * 5

    await app.accept(id="j1", messages=conversation, strategy="direct", max_output_tokens=7)

    sent = claimed(app)
    assert {"text", "messages"}.isdisjoint(sent)
    assert (sent["strategy"], sent["max_output_tokens"]) == ("direct", 7)
    await app.deliver(app.sender.sent[-1][1].body)
    assert len(app.model.prompts[0].messages) == 6


async def test_a_content_that_is_not_there_fails_the_job_by_name(app: App) -> None:
    await app.accept(id="j1", text=LARGE)
    app.blobs.blobs.clear()

    await app.deliver(app.sender.sent[-1][1].body)

    assert (await app.show("j1")).json()[
        "error"
    ] == "ContentMissingError: The content of job 'j1' is not there"


async def test_a_claim_leads_to_no_content_of_another_job_or_tenant(app: App) -> None:
    await app.accept(app.stranger, id="j1", text=LARGE)
    of_another_tenant = claimed(app)
    await app.accept(id="j1", text=LARGE)
    of_another_job = claimed(app)

    await app.deliver(of_another_tenant | {"tenant_id": "acme", "id": "j3"})
    await app.deliver(of_another_job | {"id": "j2"})

    for job_id in ("j2", "j3"):
        assert "ContentMissingError" in (await app.show(job_id)).json()["error"]
    assert app.model.prompts == []


@pytest.mark.parametrize(
    "claim",
    [
        {"digest": "../globex/x", "bytes": 1},
        {"digest": "A" * 64, "bytes": 1},
        {"digest": "a" * 64, "bytes": -1},
    ],
)
async def test_a_claim_that_is_none_is_kept_in_the_quarantine(app: App, claim: dict[str, object]) -> None:
    await app.deliver(message(text=None, content=claim))

    assert (app.model.prompts, (await app.show("j1")).status) == ([], 404)


async def test_a_claim_beside_an_input_is_no_job(app: App) -> None:
    claim = {"digest": "a" * 64, "bytes": 1}

    await app.deliver(message(content=claim))

    assert [entry["reason"] for entry in await app.quarantined()] == ["ValidationError"]


async def test_a_message_that_is_larger_than_the_apps_own_is_kept_and_not_worked_on(app: App) -> None:
    await app.deliver(message(text="x" * 200_001))

    assert [entry["reason"] for entry in await app.quarantined()] == ["PayloadTooLargeError"]
    assert (await app.show("j1")).status == 404


async def test_a_cancelled_large_job_leaves_no_blob(app: App) -> None:
    await app.accept(id="j1", text=LARGE)

    await app.client.call("cancel_job", Call({"job_id": "j1"}, headers=app.user))

    assert app.blobs.blobs == {}


class BrokenBlobs(MemoryBlobs):
    """Blobs of which none can be stored or removed."""

    async def write(self, name: str, content: bytes) -> None:
        assert content
        raise DependencyUnavailableError("Blob Storage", name)

    async def delete(self, name: str) -> bool:
        raise DependencyUnavailableError("Blob Storage", name)


async def test_a_large_job_is_not_accepted_while_its_input_cannot_be_kept(app: App) -> None:
    app.runtime.job_blobs = BrokenBlobs()

    assert (await app.accept(id="j1", text=LARGE)).status == 503
    assert (await app.accept(id="j2", text="Why?")).status == 202
    assert (await app.show("j1")).status == 404


async def test_an_input_that_cannot_be_removed_changes_nothing_of_the_result(app: App) -> None:
    await app.accept(id="j1", text=LARGE)
    app.runtime.job_blobs = BrokenBlobs(app.blobs.blobs)

    await app.deliver(app.sender.sent[-1][1].body)

    assert (await app.show("j1")).json()["status"] == "succeeded"
    assert len(app.blobs.blobs) == 1
