"""Feedback as it is listed, filtered and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.unit_tests.feedback.app import ANALYSIS

if TYPE_CHECKING:
    from tests.unit_tests.feedback.app import FeedbackApp

DAY = 24 * 3600


@pytest.fixture
async def filled(app: FeedbackApp) -> FeedbackApp:
    """Three analyses on two days, and one that waits."""
    await app.deliver(id="f1")
    app.model.analysis = ANALYSIS | {"hashtag": "#positive", "category": "praise"}
    await app.deliver(id="f2", language="de-AT", text="Danke! 030 1234567")
    app.app.clock.advance(DAY)
    await app.deliver(id="f3", language="de")
    await app.accept(id="f4", language="fr")
    return app


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["f1", "f2", "f3", "f4"]),
        ("status=queued", ["f4"]),
        ("language=de", ["f2", "f3"]),
        ("hashtag=%23positive", ["f2", "f3"]),
        ("category=complaint", ["f1"]),
        ("contains_pii=true", ["f2"]),
        ("contains_pii=false", ["f1", "f3"]),
        ("from=2026-02-01", ["f3", "f4"]),
        ("to=2026-01-31&language=de", ["f2"]),
        ("limit=1&cursor=f2", ["f3"]),
    ],
)
async def test_the_list_has_what_is_asked_for(filled: FeedbackApp, query: str, found: list[str]) -> None:
    listed = (await filled.ask("list_feedback", query)).json()

    assert [item["feedback_id"] for item in listed["items"]] == found


async def test_a_list_goes_on_where_it_ended(filled: FeedbackApp) -> None:
    first = (await filled.ask("list_feedback", "limit=2&language=de&status=succeeded")).json()
    second = (await filled.ask("list_feedback", "limit=1&language=de")).json()

    assert first["next_cursor"] is None
    assert second["next_cursor"] == "f2"


async def test_counts_are_by_hashtag_category_language_and_day(filled: FeedbackApp) -> None:
    counted = (await filled.ask("summarise_feedback")).json()

    assert counted == {
        "first_day": "2026-01-03",
        "last_day": "2026-02-01",
        "total": 4,
        "contains_pii": 1,
        "by_status": {"queued": 1, "succeeded": 3},
        "by_hashtag": {"#bug": 1, "#positive": 2},
        "by_category": {"complaint": 1, "praise": 2},
        "by_language": {"de": 2, "en": 1, "fr": 1},
        "by_day": {"2026-01-31": 2, "2026-02-01": 2},
    }


async def test_only_the_days_that_are_asked_for_are_counted(filled: FeedbackApp) -> None:
    counted = (await filled.ask("summarise_feedback", "from=2026-02-01&to=2026-02-01")).json()

    assert (counted["total"], counted["by_language"]) == (2, {"de": 1, "fr": 1})


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=2026-01-01&to=2026-04-02", 200),
        ("from=2026-01-01&to=2026-04-03", 422),
        ("from=2026-02-01&to=2026-01-31", 422),
    ],
)
async def test_ninety_two_days_are_counted_at_most(app: FeedbackApp, query: str, status: int) -> None:
    assert (await app.ask("summarise_feedback", query)).status == status


async def test_a_user_sees_and_counts_their_own_feedback_alone(app: FeedbackApp) -> None:
    body = {"name": "ann's", "role": Role.USER, "user_id": "ann"}
    made = await app.app.must("create_key", Call.of(body, headers=app.app.admin, tenant_id="acme"))
    await app.accept(id="f1")
    app.user = {"authorization": f"Bearer {made.json()['key']}"}
    await app.accept(id="f2")

    listed = (await app.ask("list_feedback")).json()
    counted = (await app.ask("summarise_feedback")).json()

    assert [item["feedback_id"] for item in listed["items"]] == ["f2"]
    assert counted["total"] == 1
    assert (await app.ask("get_feedback", feedback_id="f1")).status == 404
    assert (await app.accept(id="f1")).status == 409


@pytest.mark.parametrize("feedback_id", ["summary", "import"])
async def test_the_name_of_a_route_is_no_id(app: FeedbackApp, feedback_id: str) -> None:
    answer = await app.accept(id=feedback_id)

    assert (answer.status, list(answer.json()["detail"]["fields"])) == (422, ["body.id"])
