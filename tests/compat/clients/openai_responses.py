"""The official client's Responses: whole, streamed, parsed, with tools, in the background."""

from __future__ import annotations

import json
import time
from typing import Any

import openai
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    TOOL,
    WEATHER,
    Verdict,
)

_TOOL: Any = {"type": "function", "strict": True, **TOOL["function"]}
_ENDED = {"completed", "failed", "cancelled", "incomplete"}


def check_a_response_and_what_is_stored_of_it() -> None:
    client = openai.OpenAI()
    answer = client.responses.create(model=CHAT, input="hello", instructions="Be brief.")
    assert answer.output_text.startswith(BEGINNING)
    assert answer.usage is not None
    assert client.responses.retrieve(answer.id).output_text == answer.output_text
    assert [item.type for item in client.responses.input_items.list(answer.id)] == ["message"]
    client.responses.delete(answer.id)
    try:
        client.responses.retrieve(answer.id)
    except openai.NotFoundError:
        return
    raise AssertionError("it is still there")


def check_a_conversation() -> None:
    client = openai.OpenAI()
    first = client.responses.create(model=CHAT, input="My name is Ada.")
    second = client.responses.create(model=CHAT, input="hello", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens


def check_a_stream() -> None:
    with openai.OpenAI().responses.create(model=CHAT, input="hello", stream=True) as events:
        told = list(events)
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert (told[0].type, told[-1].type) == ("response.created", "response.completed")


def check_a_stream_by_its_helper() -> None:
    with openai.OpenAI().responses.stream(model=CHAT, input="hello") as events:
        final = events.get_final_response()
    assert final.output_text.startswith(BEGINNING)


def check_tools() -> None:
    client = openai.OpenAI()
    called = client.responses.create(model=CHAT, input=WEATHER, tools=[_TOOL])
    call: Any = next(item for item in called.output if item.type == "function_call")
    assert "city" in json.loads(call.arguments)
    told = client.responses.create(
        model=CHAT,
        previous_response_id=called.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}],
        tools=[_TOOL],
    )
    assert "18 degrees" in told.output_text


def check_parsed() -> None:
    answer = openai.OpenAI().responses.parse(model=CHAT, input="hello", text_format=Verdict)
    assert isinstance(answer.output_parsed, Verdict)


def check_unstored() -> None:
    answer = openai.OpenAI().responses.create(model=CHAT, input="hello", store=False)
    assert answer.output_text.startswith(BEGINNING)


def check_background() -> None:
    client = openai.OpenAI()
    answer = client.responses.create(model=CHAT, input="hello", background=True)
    assert answer.status in {"queued", "in_progress", "completed"}
    until = time.monotonic() + 60
    while answer.status not in _ENDED and time.monotonic() < until:
        time.sleep(0.2)
        answer = client.responses.retrieve(answer.id)
    assert answer.status == "completed", answer.status
    assert answer.output_text.startswith(BEGINNING)
