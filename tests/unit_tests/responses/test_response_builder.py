"""A response as it grows; OpenAI's own client is the referee of its events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from functions.chat.openai.responses.models import CreateResponseRequest
from functions.chat.openai.responses.response_builder import ResponseBuilder, ResponseEvent, repeat_events
from functions.chat.openai.responses.response_ids import ResponseId
from shared.contracts import Usage

USAGE = Usage(prompt_tokens=7, cached_tokens=2, completion_tokens=5, reasoning_tokens=1, total_tokens=12)
PLACE = ResponseId(24 * "a", 16 * "b", 3)
_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def builder(**fields: object) -> ResponseBuilder:
    body = {"model": "gpt-4o", "input": "hello"} | fields
    return ResponseBuilder(PLACE, CreateResponseRequest.model_validate_json(json.dumps(body)), 1_000)


def chunk(finish_reason: str | None = None, logprobs: object = None, **delta: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}]}


def call(index: int, arguments: str, **more: object) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return {"index": index, "function": function} | more


def run(chunks: list[dict[str, Any]], made: ResponseBuilder | None = None) -> list[ResponseEvent]:
    made = made or builder()
    events = made.begin()
    for one in chunks:
        events += made.take_chunk(one)
    return [*events, *made.complete(USAGE, 1_002)]


def referee(events: list[ResponseEvent]) -> Response:
    """Have OpenAI's client read the events; returns the response that it has added up."""
    state = ResponseStreamState[None](input_tools=omit, text_format=omit)
    for number, event in enumerate(events):
        told = event.as_json()
        assert told["sequence_number"] == number
        state.handle_event(_EVENT.validate_python(told))
    found = state._completed_response  # noqa: SLF001  # what `get_final_response` gives
    assert found is not None
    return found


def names(events: list[ResponseEvent]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


@pytest.mark.slow
def test_a_text_in_parts_has_openais_events_in_their_order() -> None:
    events = run(
        [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk("stop")]
    )

    assert names(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    found = referee(events)
    assert (found.status, found.output_text, found.completed_at) == ("completed", "Hello", 1_002)
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (7, 5)
    assert found.usage.input_tokens_details.cached_tokens == 2
    assert found.usage.output_tokens_details.reasoning_tokens == 1


def test_calls_of_functions_are_items_of_their_own() -> None:
    events = run(
        [
            chunk(content="Let me see."),
            chunk(tool_calls=[call(0, "", id="c1", name="look_up")]),
            chunk(tool_calls=[call(0, '{"a"')]),
            chunk(tool_calls=[call(1, "{}", id="c2", name="look_at")]),
            chunk(tool_calls=[call(0, ": 1}")]),
            chunk("tool_calls"),
        ]
    )

    output = referee(events).output
    assert [item.type for item in output] == ["message", "function_call", "function_call"]
    calls = [item for item in output if item.type == "function_call"]
    assert [(one.call_id, one.name, one.arguments, one.status) for one in calls] == [
        ("c1", "look_up", '{"a": 1}', "completed"),
        ("c2", "look_at", "{}", "completed"),
    ]


def test_reasoning_comes_before_the_text_as_an_item_of_its_own() -> None:
    found = referee(run([chunk(reasoning_content="Hm"), chunk(reasoning="."), chunk("stop", content="Yes.")]))

    assert [item.type for item in found.output] == ["reasoning", "message"]
    assert found.output[0].to_dict()["content"] == [{"type": "reasoning_text", "text": "Hm."}]


def test_a_refusal_is_a_part_of_the_message() -> None:
    events = run([chunk(refusal="I will "), chunk("stop", refusal="not.")])

    assert "refusal.done" in names(events)
    message = referee(events).output[0].to_dict()
    assert message["content"] == [{"type": "refusal", "refusal": "I will not."}]


@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_is_incomplete(reason: str, told: str) -> None:
    made = builder()

    events = run([chunk(content="Hel"), chunk(reason)], made)

    assert names(events)[-1] == "incomplete"
    assert made.response["status"] == "incomplete"
    assert made.response["incomplete_details"] == {"reason": told}
    assert made.response["completed_at"] is None
    assert made.output[0]["status"] == "incomplete"  # type: ignore[index, call-overload]  # JSON


def test_a_response_that_failed_says_why_and_ends_with_that() -> None:
    made = builder()
    made.begin()
    made.take_chunk(chunk(content="Hel"))

    last = made.fail("server_error", "The model broke its answer off")

    assert names(last) == ["failed"]
    response = Response.model_validate(last[0].fields["response"])
    assert (response.status, response.error and response.error.code) == ("failed", "server_error")


def test_likely_tokens_are_told_with_the_text() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
    told = {"content": [token | {"top_logprobs": [token]}]}

    found = referee(run([chunk("stop", told, content="Hi")]))

    part = found.output[0].to_dict()["content"][0]  # type: ignore[index]  # JSON
    assert part["logprobs"] == [token | {"top_logprobs": [token]}]


def test_a_response_says_what_it_was_asked_for() -> None:
    form = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}
    made = builder(
        instructions="Be brief.",
        metadata={"a": "b"},
        text={"format": form},
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": False}],
        tool_choice={"type": "function", "name": "f"},
        reasoning={"effort": "low"},
        previous_response_id="resp_1",
        store=False,
    )

    found = Response.model_validate(referee(run([chunk("stop", content="{}")], made)).to_dict())

    assert (found.id, found.model, found.instructions) == (str(PLACE), "gpt-4o", "Be brief.")
    assert (found.metadata, found.previous_response_id) == ({"a": "b"}, "resp_1")
    assert (found.temperature, found.top_p, found.parallel_tool_calls) == (1.0, 1.0, True)
    told = found.to_dict()
    assert told["store"] is False
    assert told["text"] == {"format": form, "verbosity": "medium"}
    assert told["tool_choice"] == {"type": "function", "name": "f"}


_DELTAS = st.one_of(
    st.builds(lambda text: chunk(content=text), st.text(max_size=5)),
    st.builds(lambda text: chunk(refusal=text), st.text(max_size=5)),
    st.builds(lambda text: chunk(reasoning_content=text), st.text(max_size=5)),
    st.builds(
        lambda index, text: chunk(tool_calls=[call(index, text, id=f"c{index}", name=f"f{index}")]),
        st.integers(0, 3),
        st.text(max_size=5),
    ),
)


@pytest.mark.slow
@given(st.lists(_DELTAS, max_size=12))
def test_whatever_comes_in_whatever_order_the_parts_add_up_to_the_whole(chunks: list[dict[str, Any]]) -> None:
    made = builder()

    events = run([*chunks, chunk("stop")], made)

    assert [item.id for item in referee(events).output] == [item["id"] for item in made.output]  # type: ignore[index, call-overload]  # JSON
    grown: dict[tuple[Any, Any], str] = {}
    for event in events:
        place = event.fields.get("item_id"), event.fields.get("content_index")
        if event.type.endswith(".delta"):
            grown[place] = grown.get(place, "") + str(event.fields["delta"])
        elif event.type.endswith((".text.done", "_text.done", "refusal.done", "arguments.done")):
            told = next(
                event.fields[name] for name in ("text", "refusal", "arguments") if name in event.fields
            )
            assert grown.pop(place, "") == told
    assert not grown
    done = [event.fields["item"] for event in events if event.type == "response.output_item.done"]
    assert sorted(done, key=str) == sorted(made.output, key=str)


@given(st.text(min_size=1, max_size=40), st.lists(st.integers(1, 40), max_size=5))
@pytest.mark.slow
def test_how_a_text_is_cut_into_parts_makes_no_difference(text: str, cuts: list[int]) -> None:
    ends = sorted({cut for cut in cuts if cut < len(text)} | {len(text)})
    parts = [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    whole, cut = builder(), builder()
    whole.take_completion({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
    whole.complete(USAGE, 1_002)

    run([*(chunk(content=part) for part in parts), chunk("stop")], cut)

    assert cut.response == whole.response


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["a\ud83d", "\ude00b"], "a\U0001f600b"),
        (["\ud83d", "\ude00"], "\U0001f600"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a\ude00", "b\ud83d"], "a\ufffdb\ufffd"),
    ],
)
def test_halves_of_characters_are_put_together_or_replaced(parts: list[str], text: str) -> None:
    calls = [call(0, part, id="c1", name="f") for part in parts]
    chunks = [
        *(chunk(content=part) for part in parts),
        *(chunk(tool_calls=[one]) for one in calls),
        chunk("stop"),
    ]

    response = referee(run(chunks))

    assert response.output_text == text
    assert response.output[1].model_dump()["arguments"] == text


def test_a_failure_is_told_under_the_next_number() -> None:
    made = builder()
    told = [*made.begin(), *made.take_chunk(chunk(content="a")), *made.fail("server_error", "no")]

    assert [event.sequence_number for event in told] == list(range(len(told)))


def test_a_whole_answer_with_calls_is_what_its_stream_adds_up_to() -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(2)
    ]
    message = {"role": "assistant", "content": "Well.", "tool_calls": calls}
    whole, streamed = builder(), builder()
    whole.take_completion({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    whole.complete(USAGE, 1_002)

    run(
        [chunk(content="Well."), *(chunk(tool_calls=[one | {"index": n}]) for n, one in enumerate(calls))],
        streamed,
    )

    assert whole.response == streamed.response


@pytest.mark.parametrize(
    "odd", [{}, {"choices": []}, {"choices": [None]}, {"choices": [{"delta": 1}]}, chunk()]
)
def test_a_part_that_says_nothing_makes_no_event(odd: dict[str, Any]) -> None:
    assert builder().take_chunk(odd) == []


def test_a_response_that_is_over_is_repeated_by_its_first_and_its_last_event() -> None:
    made = builder()
    run([chunk("stop", content="Hello")], made)

    assert referee(repeat_events(made.response)).output_text == "Hello"
    for status, name in {"incomplete": "incomplete", "cancelled": "failed"}.items():
        assert names(repeat_events({"status": status})) == ["created", name]
