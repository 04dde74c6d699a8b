"""OpenAI's own client, with base_url and key alone, against responses on the local platform."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.responses import Response

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(120)

MODEL = "gpt-4o"
WEATHER: Any = {
    "type": "function",
    "name": "look_up",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class City(BaseModel):
    """What is asked for in a form."""

    name: str
    inhabitants: int


@dataclass
class Desk:
    """A tenant with OpenAI's client, and the model behind it."""

    caller: Caller
    base_url: str
    client: OpenAI
    model: httpx.Client
    text: str

    def script(self, *answers: dict[str, Any]) -> None:
        """Have the model say what a test wants."""
        told = self.model.post("/_local/answers", json={"contains": self.text, "answers": answers})
        assert told.status_code == 201, told.text

    def tell(self, **fault: object) -> None:
        """Have something happen to the next answer."""
        told = self.model.post("/_local/faults", json={"contains": self.text} | fault)
        assert told.status_code == 201, told.text

    def wait_until_over(self, response_id: str) -> Response:
        return wait_for(
            lambda: self.client.responses.retrieve(response_id),
            lambda found: found.status not in {"queued", "in_progress"},
        )


@pytest.fixture
def desk(platform: Platform) -> Iterator[Desk]:
    caller = platform.caller(platform.new_tenant())
    base_url = f"{platform.addresses['app']}/api/v1"
    with (
        OpenAI(base_url=base_url, api_key=caller.key, max_retries=0) as client,
        httpx.Client(base_url=platform.addresses["llm"], trust_env=False, verify=NO_TLS) as model,
    ):
        yield Desk(caller, base_url, client, model, f"A question that only {uuid.uuid4().hex} asks")


def test_a_response_is_gone_on_with_read_and_deleted(desk: Desk) -> None:
    desk.script({"content": "One."}, {"content": "Two."})
    client = desk.client

    first = client.responses.create(model=MODEL, input=desk.text, instructions="Be brief.")
    second = client.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)

    assert (first.output_text, second.output_text) == ("One.", "Two.")
    assert client.responses.retrieve(second.id).output_text == "Two."
    [asked] = client.responses.input_items.list(first.id).data
    assert asked.to_dict()["content"] == [{"type": "input_text", "text": desk.text}]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_stream_is_read_to_its_end_and_stored(desk: Desk) -> None:
    desk.script({"content": "It is a fine day."})

    with desk.client.responses.stream(model=MODEL, input=desk.text) as events:
        seen = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
        whole = events.get_final_response()

    assert seen == list(range(len(seen)))
    assert whole.output_text == "It is a fine day."
    assert desk.client.responses.retrieve(whole.id).output_text == whole.output_text


async def test_the_asynchronous_client_reads_a_stream(desk: Desk) -> None:
    desk.script({"content": "It is a fine day."})

    async with AsyncOpenAI(base_url=desk.base_url, api_key=desk.caller.key) as client:
        events = await client.responses.create(model=MODEL, input=desk.text, stream=True)
        text = "".join([event.delta async for event in events if event.type == "response.output_text.delta"])

    assert text == "It is a fine day."


def test_an_answer_is_parsed_into_the_form_that_was_asked_for(desk: Desk) -> None:
    desk.script({"content": '{"name": "Ulm", "inhabitants": 130000}'})

    parsed = desk.client.responses.parse(model=MODEL, input=desk.text, text_format=City)

    assert parsed.output_parsed == City(name="Ulm", inhabitants=130_000)


def test_a_function_is_called_and_its_output_answered(desk: Desk) -> None:
    call = {"id": "call_1", "name": "look_up", "arguments": {"city": "Ulm"}}
    desk.script({"tool_calls": [call]}, {"content": "It rains."})
    client = desk.client

    first = client.responses.create(model=MODEL, input=desk.text, tools=[WEATHER])
    [called] = [item for item in first.output if item.type == "function_call"]
    second = client.responses.create(
        model=MODEL,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": called.call_id, "output": "rain"}],
        tools=[WEATHER],
    )

    assert (called.name, called.arguments) == ("look_up", '{"city": "Ulm"}')
    assert second.output_text == "It rains."


def test_a_response_is_made_in_the_background_and_polled(desk: Desk) -> None:
    desk.script({"content": "Done."})

    accepted = desk.client.responses.create(model=MODEL, input=desk.text, background=True)

    assert accepted.status == "queued"
    assert desk.wait_until_over(accepted.id).output_text == "Done."


def test_a_background_stream_goes_on_after_what_was_seen(desk: Desk) -> None:
    desk.script({"content": "one two three four five"})
    client = desk.client

    seen: list[int] = []
    events = client.responses.create(model=MODEL, input=desk.text, background=True, stream=True)
    for event in events:
        seen.append(event.sequence_number)
        if event.type == "response.created":
            response_id = event.response.id
        if len(seen) == 4:
            break
    events.close()
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=seen[-1]))

    assert [*seen, *(event.sequence_number for event in rest)] == list(range(len(seen) + len(rest)))
    assert rest[-1].type == "response.completed"
    assert rest[-1].response.output_text == "one two three four five"


def test_a_response_in_the_background_is_cancelled(desk: Desk) -> None:
    desk.tell(delay_ms=60_000)
    client = desk.client
    accepted = client.responses.create(model=MODEL, input=desk.text, background=True)

    cancelled = client.responses.cancel(accepted.id)

    assert cancelled.status == "cancelled"
    assert client.responses.retrieve(accepted.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=MODEL, input="a", previous_response_id=accepted.id)


def test_a_stream_that_breaks_upstream_raises(desk: Desk) -> None:
    desk.script({"content": "one two three four five"})
    desk.tell(truncate_after=3)

    events = desk.client.responses.create(model=MODEL, input=desk.text, stream=True)
    kinds: list[str] = []
    with pytest.raises(openai.APIError):
        kinds.extend(event.type for event in events)

    desk.client.models.list()  # the app goes on


def test_refusals_are_raised_as_openais_own(desk: Desk) -> None:
    client = desk.client
    cases: list[tuple[type[openai.APIStatusError], dict[str, Any]]] = [
        (openai.NotFoundError, {"model": "no-such-model", "input": "a"}),
        (openai.BadRequestError, {"model": MODEL, "input": "a", "truncation": "auto"}),
        (openai.BadRequestError, {"model": MODEL, "input": "a", "previous_response_id": "resp_1"}),
    ]

    for kind, body in cases:
        with pytest.raises(kind):
            client.responses.create(**body)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").responses.create(model=MODEL, input="a")
