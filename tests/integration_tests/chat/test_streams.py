"""Streams through the real host, worker runtime, stores and model: word by word, left, cut off, silent."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.integration_tests.platform import wait_for
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(120)

_READ_BY_NOW_SECONDS = 10.0
"""A tenth of what the paced answers below would still take."""


@dataclass
class Chat:
    """A tenant's bot, and the model behind it."""

    caller: Caller
    model: httpx.Client
    message: str

    @contextmanager
    def streamed(self, conversation: str = "c", **headers: str) -> Iterator[Iterator[tuple[str, Any]]]:
        """Ask for a stream, and read its events as they come."""
        body = {"message": self.message, "conversation_id": conversation, "stream": True}
        sent = {"authorization": f"Bearer {self.caller.key}"} | headers
        with self.caller.client.stream("POST", "/api/v1/bots/b/chat", json=body, headers=sent) as answer:
            assert answer.status_code == 200, answer.read()
            yield _events(answer)

    def tell(self, **fault: object) -> None:
        """Have something happen to the next answer."""
        told = self.model.post("/_local/faults", json={"contains": self.message} | fault)
        assert told.status_code == 201, told.text

    def turns(self) -> list[Any]:
        turns: list[Any] = self.caller.must("GET", "/api/v1/bots/b/conversations/c")["items"]
        return turns

    def used(self) -> dict[str, int]:
        used: dict[str, int] = self.caller.must("GET", "/api/v1/usage")["total"]
        return used


def _events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        key, _, value = line.partition(": ")
        if line.startswith(":"):
            yield "comment", value
        elif key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


@pytest.fixture
def chat(platform: Platform) -> Iterator[Chat]:
    caller = platform.caller(platform.new_tenant())
    caller.must("PUT", "/api/v1/bots/b", {"system_prompt": "Be brief."})
    with httpx.Client(base_url=platform.addresses["llm"], trust_env=False, verify=NO_TLS) as model:
        yield Chat(caller, model, f"A question that only {uuid.uuid4().hex} asks")


def test_words_arrive_before_the_answer_is_whole_and_add_up_to_it(chat: Chat) -> None:
    chat.tell(piece_delay_ms=20)
    with chat.streamed() as events:
        first = next(events)
        during = chat.turns()
        rest = list(events)

    parts, (name, done) = [first, *rest[:-1]], rest[-1]
    assert {name for name, _ in parts} == {"token"}
    assert during[0]["status"] == "pending"
    assert name == "done"
    assert len(parts) > 5
    assert "".join(data["text"] for _, data in parts) == done["response"] == chat.turns()[0]["response"]
    served = chat.model.get("/_local/served").json()
    assert served["requests"] >= 1
    assert chat.used()["total_tokens"] == done["usage"]["total_tokens"]


def test_a_stream_that_is_asked_for_again_is_its_end_alone(chat: Chat) -> None:
    with chat.streamed(**{"idempotency-key": "k"}) as events:
        first = list(events)
    with chat.streamed(**{"idempotency-key": "k"}) as events:
        assert list(events) == first[-1:]
    assert len(chat.turns()) == 1


def test_a_client_that_leaves_stops_the_model_and_pays_what_it_read(chat: Chat) -> None:
    before = chat.model.get("/_local/served").json()["abandoned"]
    chat.tell(piece_delay_ms=2_000)  # some hundred seconds for the whole
    with chat.streamed() as events:
        assert next(events)[0] == "token"

    def abandoned() -> int:
        count: int = chat.model.get("/_local/served").json()["abandoned"]
        return count

    wait_for(abandoned, lambda count: count == before + 1, _READ_BY_NOW_SECONDS)
    wait_for(chat.turns, lambda turns: turns[0]["status"] == "failed", _READ_BY_NOW_SECONDS)
    used = wait_for(chat.used, lambda used: used["requests"] == 1, _READ_BY_NOW_SECONDS)
    assert used["prompt_tokens"] > 0
    assert 1 <= used["completion_tokens"] < 10
    body = {"message": "Another one", "conversation_id": "c"}
    assert chat.caller.must("POST", "/api/v1/bots/b/chat", body)["turn"] == 2


@pytest.mark.parametrize("fault", ["truncate_after", "drop_after"])
def test_an_answer_that_is_cut_off_is_an_error_and_billed_by_what_came(chat: Chat, fault: str) -> None:
    chat.tell(**{fault: 8, "piece_delay_ms": 20})
    with chat.streamed() as events:
        *parts, (name, error) = list(events)

    assert (name, error["error"]) == ("error", "TruncatedAnswerError")
    assert chat.turns()[0]["status"] == "failed"
    used = chat.used()
    assert used["prompt_tokens"] > 0
    assert used["completion_tokens"] >= len(parts) >= 1


def test_a_model_that_thinks_for_long_leaves_no_silence(chat: Chat) -> None:
    chat.tell(delay_ms=16_000)
    with chat.streamed() as events:
        assert next(events) == ("comment", "still at work")
        assert list(events)[-1][0] == "done"
