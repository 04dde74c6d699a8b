"""Import of CSV: each row a feedback of its own, or a refusal of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.jobs.places import PLACES
from tests.support.fakes import Call

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpRequest

    from tests.support.fakes import Answer
    from tests.unit_tests.feedback.app import FeedbackApp

KEY = {"idempotency-key": "survey-7"}


async def send(app: FeedbackApp, csv: str, kind: str = "text/csv; charset=utf-8", **headers: str) -> Answer:
    call = Call({}, "", {**app.user, "content-type": kind, **headers}, csv.encode())
    return await app.app.client.call("import_feedback", call)


async def test_a_csv_file_becomes_feedback_with_a_result_per_row(app: FeedbackApp) -> None:
    csv = 'language,text,taskId\nen,"It jams, often",t1\nxx-,Never mind,t2\n\nde,Danke!\nde,Danke!,\n'
    accepted = await send(app, csv)
    before = (await app.ask("get_feedback_import", import_id=accepted.json()["import_id"])).json()
    await app.deliver_what_was_sent()

    import_id = accepted.json()["import_id"]
    shown = (await app.ask("get_feedback_import", import_id=import_id)).json()
    assert (accepted.status, accepted.json()["rows"], accepted.json()["refused"]) == (202, 4, 2)
    assert accepted.headers["location"] == f"/api/v1/feedback/import/{import_id}"
    assert (before["finished"], before["by_status"]) == (0, {"queued": 2})
    assert (shown["finished"], shown["by_status"], shown["refused"]) == (2, {"succeeded": 2}, 2)
    rows = shown["items"]
    assert [row["row"] for row in rows] == [1, 2, 3, 4]
    assert [row["status"] for row in rows] == ["succeeded", None, None, "succeeded"]
    assert rows[0]["feedback_id"] == f"{import_id}:0001"
    assert rows[0]["analysis"]["hashtag"] == "#bug"
    assert list(rows[1]["fields"]) == ["language"]
    assert rows[2]["error"] == "has 2 cells instead of 3"
    assert (await app.show(f"{import_id}:0001"))["task_id"] == "t1"


async def test_the_same_file_can_be_sent_as_json(app: FeedbackApp) -> None:
    call = Call.of({"csv": "language\ttext\nen\tIt jams; often\n"}, headers=app.user)

    accepted = await app.app.must("import_feedback", call)

    assert (accepted.json()["rows"], accepted.json()["refused"]) == (1, 0)
    assert app.broker.bodies("feedback-form-in")[0]["text"] == "It jams; often"


async def test_a_repeated_import_is_the_same_one(app: FeedbackApp) -> None:
    csv = "language,text\nen,It jams\n"

    first, second = await send(app, csv, **KEY), await send(app, csv, **KEY)

    assert first.json() == second.json()
    assert len((await app.ask("list_feedback")).json()["items"]) == 1


async def test_an_import_that_broke_off_is_gone_on_with_under_its_key(app: FeedbackApp) -> None:
    csv = "language,text\nen,One\nen,Two\nen,Three\n"
    transport = app.app.cosmos.transport
    stored = 0

    def break_off(request: HttpRequest) -> None:
        nonlocal stored
        stored += "/colls/feedback/docs" in request.url
        if stored > 1:
            transport.lose_requests = 1000

    transport.watch = break_off
    broken = await send(app, csv, **KEY)
    transport.watch, transport.lose_requests = lambda _: None, 0
    app.app.clock.advance(300)

    accepted = await send(app, csv, **KEY)

    assert broken.status == 503
    assert (accepted.status, accepted.json()["rows"]) == (202, 3)
    ids = [item["feedback_id"] for item in (await app.ask("list_feedback")).json()["items"]]
    assert ids == [f"{accepted.json()['import_id']}:000{row}" for row in (1, 2, 3)]


@pytest.mark.slow
async def test_a_large_import_takes_its_tenants_places_and_goes_through_them_in_its_order(
    app: FeedbackApp,
) -> None:
    accepted = await send(app, "language,text\n" + "en,It jams\n" * 30)
    at_once = app.broker.bodies("feedback-form-in")
    app.app.clock.advance(60)
    await app.app.tick("sweep_feedback")
    still = app.broker.bodies("feedback-form-in")

    for row in range(30):
        await app.deliver(**app.broker.bodies("feedback-form-in")[row])

    assert len(at_once) == PLACES
    assert still == at_once
    ids = [body["id"] for body in app.broker.bodies("feedback-form-in")]
    assert ids == [f"{accepted.json()['import_id']}:{row:04}" for row in range(1, 31)]
    assert len(app.broker.bodies("feedback-form-out")) == 30


async def test_an_import_whose_rows_cannot_be_sent_now_is_accepted_and_swept(app: FeedbackApp) -> None:
    app.broker.is_down = True
    accepted = await send(app, "language,text\n" + "en,It jams\n" * 2)
    app.broker.is_down = False
    app.app.clock.advance(60)

    await app.app.tick("sweep_feedback")

    assert accepted.status == 202
    assert len(app.broker.sent) == 2


async def test_pages_of_rows_go_on_where_they_ended(app: FeedbackApp) -> None:
    accepted = await send(app, "language,text\n" + "en,It jams\n" * 5)
    import_id = accepted.json()["import_id"]

    pages = []
    cursor = ""
    while True:
        page = (await app.ask("get_feedback_import", f"limit=2{cursor}", import_id=import_id)).json()
        pages.append([row["row"] for row in page["items"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert pages == [[1, 2], [3, 4], [5]]


async def test_a_page_has_fifty_rows_where_no_other_number_is_asked_for(app: FeedbackApp) -> None:
    accepted = await send(app, "language,text\n" + "nowhere-land-x,Hi\n" * 51)

    page = (await app.ask("get_feedback_import", import_id=accepted.json()["import_id"])).json()

    assert (len(page["items"]), page["next_cursor"], page["rows"]) == (50, "50", 51)


@pytest.mark.parametrize(
    ("csv", "problem"),
    [
        ("language,text\n", "has no rows"),
        ("language,words\nen,Hello\n", "has no column text"),
        ("\n\n", "has no column language and no column text"),
        ("language,text,mood\nen,Hello,bad\n", "may have each of the columns"),
        ("language,text,text\nen,Hello,bad\n", "may have each of the columns"),
        ('language,text\nen,"Hello', "is not CSV: unexpected end of data"),
        ("language,text\n" + "en,Hi\n" * 1001, "has more than 1000 rows"),
        ("language,text\n" + "\n" * 100_001, "has more than 100000 lines"),
    ],
)
async def test_what_is_no_such_file_is_refused_as_a_whole(app: FeedbackApp, csv: str, problem: str) -> None:
    answer = await send(app, csv)

    assert answer.status == 422
    assert answer.json()["detail"]["fields"]["body.csv"].startswith(problem)
    assert app.broker.sent == []


async def test_bytes_that_are_no_text_are_refused(app: FeedbackApp) -> None:
    call = Call({}, "", {**app.user, "content-type": "text/csv"}, b"language,text\nen,\xff\n")

    answer = await app.app.client.call("import_feedback", call)

    assert (answer.status, answer.json()["message"]) == (400, "The body is not UTF-8")


async def test_other_routes_take_no_csv(app: FeedbackApp) -> None:
    call = Call({}, "", {**app.user, "content-type": "text/csv"}, b"language,text\nen,Hi\n")

    assert (await app.app.client.call("accept_feedback", call)).status == 400


async def test_a_foreign_import_is_an_absent_one(app: FeedbackApp) -> None:
    answer = await app.ask("get_feedback_import", import_id="0" * 32)

    assert answer.status == 404
