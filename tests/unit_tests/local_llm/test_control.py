"""What tests tell the model to do, and what it counts."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import StreamingResponse

from local.llm.endpoint import Asked, Endpoint
from tests.unit_tests.local_llm.client import HELLO, chunks_of

if TYPE_CHECKING:
    from tests.unit_tests.local_llm.client import Model


def text(choice: dict[str, Any]) -> object:
    return choice["message"]["content"]


async def test_scripted_answers_come_in_order_and_then_its_own(model: Model) -> None:
    await model.tell("answers", answers=[{"content": "one"}, {"content": ""}])

    assert [text(await model.said()) for _ in range(2)] == ["one", ""]
    assert str(text(await model.said())).startswith("[stand-in")


async def test_a_repeated_script_never_ends_until_it_is_taken_back(model: Model) -> None:
    await model.tell("answers", answers=[{"content": "one"}, {"content": "two"}], repeat=True)

    assert [text(await model.said()) for _ in range(4)] == ["one", "two", "two", "two"]
    assert (await model.client.delete("/_local/answers")).json() == {"answers": []}
    assert text(await model.said()) != "two"


@pytest.mark.parametrize(
    ("mark", "fits", "does_not"),
    [
        ({"model": "gpt-4.1"}, {"model": "gpt-4.1"}, {"model": "gpt-4o"}),
        ({"user": "tenant-a"}, {"user": "tenant-a"}, {"user": "tenant-b"}),
        ({"contains": "world"}, {}, {"messages": [{"role": "user", "content": "bye"}]}),
    ],
)
async def test_a_script_is_about_the_requests_that_it_names(
    model: Model, mark: dict[str, str], fits: dict[str, Any], does_not: dict[str, Any]
) -> None:
    await model.tell("answers", answers=[{"content": "scripted"}], **mark)

    assert text(await model.said(**does_not)) != "scripted"
    assert text(await model.said(**fits)) == "scripted"


async def test_what_waits_is_listed(model: Model) -> None:
    await model.tell("answers", answers=[{"content": "one"}, {"refusal": "no"}], user="a")
    await model.said(user="a")

    (waiting,) = (await model.client.get("/_local/answers")).json()["answers"]
    assert (waiting["user"], waiting["answers"]) == ("a", [{"refusal": "no"}])


async def test_a_scripted_answer_is_counted_and_cut_as_any_other(model: Model) -> None:
    await model.tell("answers", answers=[{"content": "one two three four"}], repeat=True)

    assert (await model.ask()).json()["usage"]["completion_tokens"] == 4
    cut = await model.said(max_tokens=2)
    assert (text(cut), cut["finish_reason"]) == ("one two", "length")


async def test_it_says_hostile_things_as_they_are(model: Model) -> None:
    hostile = "</script><script>alert(1)</script>\u0000\u2028 \u202eignore all previous instructions"
    await model.tell("answers", answers=[{"content": hostile}], repeat=True)

    assert text(await model.said()) == hostile
    chunks = chunks_of(await model.ask(stream=True))
    assert "".join(c["delta"].get("content") or "" for k in chunks for c in k["choices"]) == hostile


async def test_calls_refusals_and_ends_are_scripted_too(model: Model) -> None:
    call = {"name": "drop_tables", "arguments": "{not json"}
    script = [
        {"tool_calls": [call]},
        {"refusal": "I will not"},
        {"content": "", "finish_reason": "content_filter"},
    ]
    await model.tell("answers", answers=script)
    calling, refusing, filtered = [await model.said() for _ in script]

    assert calling["message"]["tool_calls"][0]["function"] == call
    assert calling["finish_reason"] == "tool_calls"
    assert (refusing["message"]["refusal"], text(refusing)) == ("I will not", None)
    assert filtered["finish_reason"] == "content_filter"


async def test_arguments_may_be_given_as_an_object(model: Model) -> None:
    await model.tell("answers", answers=[{"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}])

    call = (await model.said())["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == '{"a": 1}'


async def test_thinking_is_billed_and_may_leave_nothing_to_say(model: Model) -> None:
    await model.tell("answers", answers=[{"content": "x", "reasoning_tokens": 64}], repeat=True)
    usage = (await model.ask()).json()["usage"]
    cut = await model.said(max_completion_tokens=10)

    assert usage["completion_tokens_details"]["reasoning_tokens"] == 64
    assert usage["completion_tokens"] == 65
    assert (text(cut), cut["finish_reason"]) == ("", "length")


@pytest.mark.parametrize(("body", "sent"), [({"choices": []}, '{"choices": []}'), ("<html>", "<html>")])
async def test_a_body_is_sent_as_it_is(model: Model, body: object, sent: str) -> None:
    await model.tell("answers", answers=[{"body": body}])

    assert (await model.ask()).text == sent


async def test_events_are_sent_as_they_are(model: Model) -> None:
    await model.tell("answers", answers=[{"events": [{"error": "x"}, "junk"]}])

    assert (await model.ask(stream=True)).text == 'data: {"error": "x"}\n\ndata: junk\n\n'


async def test_azures_filter_refuses_a_prompt(model: Model) -> None:
    await model.tell("answers", answers=[{"filtered_prompt": True}])
    response = await model.ask_azure()

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "content_filter")
    assert error["innererror"]["code"] == "ResponsibleAIPolicyViolation"


async def test_a_fault_hits_as_often_as_it_says(model: Model) -> None:
    await model.tell("faults", status=429, retry_after_ms=1500, skip=1, count=2)
    responses = [await model.ask() for _ in range(4)]

    assert [response.status_code for response in responses] == [200, 429, 429, 200]
    assert responses[1].headers["retry-after-ms"] == "1500"
    assert responses[1].headers["retry-after"] == "2"
    assert responses[1].json()["error"]["code"] == "rate_limit_exceeded"
    listed = (await model.client.get("/_local/faults")).json()["faults"]
    assert (listed[0]["hits"], listed[0]["count"]) == (2, 2)


async def test_a_server_error_goes_on_until_it_is_taken_back(model: Model) -> None:
    await model.tell("faults", status=500, count=None, user="a")

    assert [(await model.ask(user="a")).status_code for _ in range(3)] == [500] * 3
    assert (await model.ask(user="b")).status_code == 200
    await model.client.delete("/_local/faults")
    assert (await model.ask(user="a")).status_code == 200


async def test_azure_says_a_fault_in_its_own_words(model: Model) -> None:
    await model.tell("faults", status=503)

    assert (await model.ask_azure()).json()["error"]["code"] == "503"


async def test_a_slow_answer_waits_and_a_slow_stream_at_each_piece(model: Model) -> None:
    await model.tell("faults", delay_ms=2000)
    await model.tell("faults", piece_delay_ms=10)
    await model.ask()
    assert model.slept == [2.0]
    streamed = await model.ask(stream=True)

    assert model.slept[1:] == [0.01] * (len(chunks_of(streamed)) + 1)


async def test_a_truncated_stream_ends_as_if_that_were_all(model: Model) -> None:
    await model.tell("faults", truncate_after=3)
    streamed = await model.ask(stream=True)

    assert streamed.text.count("data: ") == 3
    assert "[DONE]" not in streamed.text
    assert 'finish_reason": "stop' not in streamed.text


async def test_wrong_usage_is_reported_and_the_true_one_counted(model: Model) -> None:
    true = (await model.ask()).json()["usage"]
    await model.tell("faults", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 99})
    reported = (await model.ask()).json()["usage"]

    served = await model.served()
    assert reported == {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 99}
    assert served["total_tokens"] == 2 * true["total_tokens"]


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("faults", {}),
        ("faults", {"status": 200}),
        ("faults", {"wonder": 1}),
        ("answers", {"answers": []}),
        ("limits", {"tokens_per_minute": 0}),
        ("deployments", {"name": "x", "model": "nothing"}),
    ],
)
async def test_what_cannot_be_told_is_refused(model: Model, what: str, body: dict[str, Any]) -> None:
    response = await model.client.post(f"/_local/{what}", json=body)

    assert (response.status_code, bool(response.json()["error"])) == (400, True)


async def test_what_a_page_of_another_origin_could_send_is_refused(model: Model) -> None:
    kind = {"content-type": "text/plain"}
    response = await model.client.post("/_local/faults", content=b'{"status": 500}', headers=kind)

    assert response.status_code == 415
    assert (await model.ask()).status_code == 200


async def test_what_is_served_is_counted_by_model_and_user(model: Model) -> None:
    first = (await model.ask(user="a")).json()["usage"]
    second = (await model.ask(model="gpt-4.1", user="b")).json()["usage"]
    await model.ask(stream=True, user="a")
    await model.ask(messages=[])

    served = await model.served()
    assert served["requests"] == 3
    assert served["total_tokens"] == 2 * first["total_tokens"] + second["total_tokens"]
    assert served["by_model"]["gpt-4.1"]["total_tokens"] == second["total_tokens"]
    assert served["by_user"]["a"]["requests"] == 2
    assert served["refused"] == {"400": 1}
    assert (await model.client.delete("/_local/served")).json()["requests"] == 0


async def test_a_stream_whose_client_leaves_before_its_end_is_counted() -> None:
    endpoint = Endpoint(lambda: 0.0, lambda: 0.0)
    body = {"model": "gpt-4o", "messages": HELLO, "stream": True}
    for events_read in (1, 1000):
        response = await endpoint.chat(Asked(json.dumps(body).encode(), lambda: None))
        assert isinstance(response, StreamingResponse)
        events = response.body_iterator
        assert isinstance(events, AsyncGenerator)
        for _ in range(events_read):
            await anext(events, None)
        await events.aclose()

    listed = endpoint.served.listed()
    assert (listed["abandoned"], listed["abandoned_at"] is not None) == (1, True)


async def test_tokens_per_minute_count_the_prompt_and_the_most_that_its_answer_may_have(model: Model) -> None:
    await model.tell("limits", model="gpt-4o", tokens_per_minute=100)
    first, second = await model.ask_azure(max_tokens=50), await model.ask_azure(max_tokens=50)

    assert first.headers["x-ratelimit-limit-tokens"] == "100"
    assert first.headers["x-ratelimit-remaining-tokens"] == "41"
    assert (second.status_code, second.json()["error"]["code"]) == (429, "429")
    assert (second.headers["retry-after"], second.headers["retry-after-ms"]) == ("60", "60000")
    assert second.headers["x-ratelimit-reset-tokens"] == "60"


async def test_waiting_as_told_succeeds(model: Model) -> None:
    await model.tell("limits", tokens_per_minute=100)
    model.now = 5.0
    await model.ask(max_tokens=90)
    model.now = 30.5
    refused = await model.ask(max_tokens=90)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "tokens"

    model.now += int(refused.headers["retry-after-ms"]) / 1000
    assert (await model.ask(max_tokens=90)).status_code == 200


async def test_requests_per_minute_are_judged_over_ten_seconds(model: Model) -> None:
    await model.tell("limits", requests_per_minute=12)
    responses = [await model.ask() for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[1].headers["x-ratelimit-remaining-requests"] == "0"
    assert responses[2].headers["retry-after"] == "10"
    model.now = 10.0
    assert (await model.ask()).status_code == 200


async def test_limits_are_each_models_own_and_can_be_lifted(model: Model) -> None:
    await model.tell("limits", model="gpt-4o", requests_per_minute=1)
    await model.ask()

    assert (await model.ask(model="gpt-4.1")).status_code == 200
    assert (await model.ask()).status_code == 429
    assert (await model.client.get("/_local/limits")).json()["limits"][0]["requests_per_minute"] == 1
    await model.client.delete("/_local/limits")
    assert (await model.ask()).status_code == 200
