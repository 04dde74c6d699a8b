"""What calls say is kept where a tenant wants that, bounded, beside the answers and never in their way."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.contracts import ChatMessage, Usage
from shared.errors import DependencyUnavailableError
from shared.llm.call_content import (
    MOST_AT_ONCE,
    MOST_BYTES,
    MOST_OF_A_TENANT,
    MOST_OFFERED,
    CallContent,
    ContentKeeper,
    ContentPorts,
    prefix_of,
)
from shared.llm.call_recorder import CallRecorder
from shared.llm.chat_model import ChatPrompt, Completion, PassedChunk
from shared.llm.model_call import CallOrigin
from shared.llm.passed_request import CountedContent, PassedRequest
from shared.llm.recorded_model import RecordedModel
from shared.logging.context import logging_as
from tests.support.fakes import FakeClock, tenant_context
from tests.support.log_lines import kept_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from shared.llm.chat_model import AnswerStream
    from shared.tenancy.context import TenantContext

ACME = tenant_context()
ASKED = "What is my number?"


@dataclass
class FakeModel:
    """Answers with parts, and fails after them where it is told to."""

    parts: tuple[str, ...] = ("It is ", "42.")
    failure: Exception | None = None
    whole: Mapping[str, object] | None = None

    async def complete(self, prompt: ChatPrompt) -> Completion:
        assert prompt.model
        if self.failure is not None:
            raise self.failure
        text = "" if self.whole else "".join(self.parts)
        return Completion(text, Usage(), "gpt-4o-2024", "stop", answer=self.whole)

    def stream(self, prompt: ChatPrompt) -> _Stream:
        assert prompt.model
        return _Stream(self)


@dataclass
class _Stream:
    model: FakeModel

    async def __aenter__(self) -> AnswerStream:
        return self._tell()

    async def __aexit__(self, *_: object) -> None:
        pass

    async def _tell(self) -> AsyncIterator[str | Completion]:
        for part in self.model.parts:
            yield part
        if self.model.failure is not None:
            raise self.model.failure
        yield Completion("", Usage(), "gpt-4o-2024", "stop")


@dataclass
class Kept:
    """A tenant's model, its contents in memory, and the store's moods."""

    model: FakeModel = field(default_factory=FakeModel)
    clock: FakeClock = field(default_factory=FakeClock)
    wanting: set[str] = field(default_factory=lambda: {"acme"})
    purged: set[str] = field(default_factory=set)
    blobs: dict[str, bytes] = field(default_factory=dict)
    failure: Exception | None = None
    gate: asyncio.Event | None = None
    opened: int = 0
    entered: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        async def is_wanted(tenant: TenantContext) -> bool:
            return tenant.tenant_id in self.wanting

        async def is_purged(tenant_id: str) -> bool:
            return tenant_id in self.purged

        self.ports = ContentPorts(is_wanted, is_purged, self.open)
        self.keeper = ContentKeeper(self.ports, self.clock)

    def open(self) -> Kept:
        self.opened += 1
        return self

    async def write(self, name: str, content: bytes) -> None:
        self.entered += 1
        self.moved.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.blobs[name] = content

    def recorded(self, tenant: TenantContext = ACME) -> RecordedModel:
        return RecordedModel(self.model, CallRecorder(tenant, "bot:b", "EUR", self.clock), self.keeper)

    async def ask(self, prompt: ChatPrompt | None = None, *, streams: bool = False) -> str:
        asked = prompt or prompt_of(ASKED)
        with logging_as(request_id="r-1"):
            if not streams:
                return (await self.recorded().complete(asked)).text
            async with self.recorded().stream(asked) as parts:
                return "".join([part async for part in parts if isinstance(part, str)])

    async def content(self) -> dict[str, Any]:
        """Return the only content that is kept."""
        await self.keeper.close()
        ((name, content),) = self.blobs.items()
        assert name.startswith(prefix_of("acme", self.clock.now(), "r-1"))
        kept: dict[str, Any] = json.loads(content)
        return kept


def prompt_of(*texts: str, passed: Mapping[str, object] | None = None) -> ChatPrompt:
    request = None
    if passed is not None:
        request = PassedRequest(fields=passed, counted=CountedContent(), stream_options={})
    return ChatPrompt(
        tuple(ChatMessage(role="user", content=text) for text in texts), "gpt-4o", passed=request
    )


@pytest.mark.parametrize("streams", [False, True])
async def test_messages_and_answer_are_kept_by_the_request(*, streams: bool) -> None:
    kept = Kept()

    assert await kept.ask(streams=streams) == "It is 42."
    content = await kept.content()

    assert content["messages"] == [{"role": "user", "content": ASKED}]
    assert content["answers"] == [{"role": "assistant", "content": "It is 42."}]
    assert (content["request_id"], content["model"], content["status"]) == ("r-1", "gpt-4o", "succeeded")
    assert (content["messages_left_out"], content["answers_left_out"]) == (0, 0)


async def test_nothing_is_kept_for_who_has_not_asked_for_it(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(wanting=set())

    await kept.ask()
    await kept.keeper.close()

    assert (kept.blobs, kept.opened, kept.keeper.failures) == ({}, 0, 0)
    assert ASKED not in caplog.text


async def test_nothing_is_kept_for_a_tenant_that_is_being_purged() -> None:
    kept = Kept(purged={"acme"})

    await kept.ask()
    await kept.keeper.close()

    assert (kept.blobs, kept.keeper.failures) == ({}, 0)


async def test_what_is_passed_on_is_kept_as_it_was_sent_and_answered() -> None:
    sent = [{"role": "user", "content": [{"type": "text", "text": ASKED}]}]
    told = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "content": "b"},
    ]
    whole = {"choices": [{"message": message} for message in told]}
    kept = Kept(FakeModel(whole=whole))

    await kept.ask(prompt_of(passed={"messages": sent}))
    content = await kept.content()

    assert (content["messages"], content["answers"]) == (sent, told)


async def test_the_words_of_a_stream_that_is_passed_on_are_kept() -> None:
    kept = Kept(
        FakeModel(parts=(PassedChunk.of("It ", {}), PassedChunk.of("", {}), PassedChunk.of("is.", {})))
    )

    await kept.ask(prompt_of(passed={"messages": [{"role": "user", "content": ASKED}]}), streams=True)

    assert (await kept.content())["answers"] == [{"role": "assistant", "content": "It is."}]


async def test_of_a_call_that_failed_the_messages_and_what_came_are_kept() -> None:
    kept = Kept(FakeModel(failure=DependencyUnavailableError("The model")))

    with pytest.raises(DependencyUnavailableError):
        await kept.ask(streams=True)
    content = await kept.content()

    assert (content["status"], content["messages"][0]["content"]) == ("failed", ASKED)
    assert content["answers"] == [{"role": "assistant", "content": "It is 42."}]


async def test_of_a_call_that_failed_at_once_there_is_no_answer() -> None:
    kept = Kept(FakeModel(failure=DependencyUnavailableError("The model")))

    with pytest.raises(DependencyUnavailableError):
        await kept.ask()

    assert (await kept.content())["answers"] == []


async def test_of_more_than_a_mebibyte_the_newest_messages_are_kept() -> None:
    kept = Kept()
    texts = [f"{number:03}" + "x" * 100_000 for number in range(20)]

    await kept.ask(prompt_of(*texts))
    content = await kept.content()

    shown = [message["content"][:3] for message in content["messages"]]
    assert shown == [f"{number:03}" for number in range(20 - len(shown), 20)]
    assert content["messages_left_out"] == 20 - len(shown) == 10
    assert sum(len(json.dumps(message)) for message in content["messages"]) <= MOST_BYTES


async def test_of_a_message_that_is_too_long_the_beginning_is_kept() -> None:
    kept = Kept(FakeModel(parts=("y" * 3_000_000,)))
    image = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "data:" + "z" * 3_000_000}}],
    }

    await kept.ask(prompt_of(passed={"messages": [image]}))
    content = await kept.content()

    assert content["messages"][0]["content"].startswith('{"role":"user"')
    assert (len(content["messages"][0]["content"]), len(content["answers"][0]["content"])) == (65_537, 65_537)


@pytest.mark.parametrize("streams", [False, True])
async def test_no_answer_waits_for_the_store_or_fails_with_it(
    caplog: pytest.LogCaptureFixture, *, streams: bool
) -> None:
    kept = Kept(gate=asyncio.Event(), failure=DependencyUnavailableError("Blob Storage"))

    with kept_lines("shared.llm.call_content") as lines:
        assert await kept.ask(streams=streams) == "It is 42.", "the store has not answered yet"
        assert kept.gate is not None
        kept.gate.set()
        await kept.keeper.close()

    (told,) = lines
    assert (told["extra"]["error"], told["extra"]["count"]) == ("DependencyUnavailableError", 1)
    assert (told["tenant_id"], told["request_id"]) == ("acme", "r-1")
    assert kept.keeper.failures == 1
    assert "42" not in caplog.text


async def test_more_than_are_held_in_memory_are_not_kept_and_counted_by_tenant_and_in_all() -> None:
    kept = Kept(gate=asyncio.Event())
    kept.wanting = {f"t{number}" for number in range(9)}
    record = await _record(kept)

    for number in range(9):
        tenant = tenant_context(f"t{number}")
        for _ in range(MOST_OF_A_TENANT + 1):
            kept.keeper.offer(tenant, CallContent(record, prompt_of(ASKED), None, ""))
    while kept.entered < MOST_AT_ONCE:
        kept.moved.clear()
        await kept.moved.wait()
    failed = kept.keeper.failures
    assert kept.gate is not None
    kept.gate.set()
    await kept.keeper.close()

    assert failed == 9 * (MOST_OF_A_TENANT + 1) - MOST_AT_ONCE
    assert len(kept.blobs) == MOST_AT_ONCE


async def test_no_more_are_held_than_may_wait_for_the_settings() -> None:
    asked = 0
    hangs = asyncio.Event()

    async def is_wanted(_: TenantContext) -> bool:
        nonlocal asked
        asked += 1
        return await hangs.wait()

    kept = Kept()
    keeper = ContentKeeper(replace(kept.ports, is_wanted=is_wanted), kept.clock)
    record = await _record(kept)
    for _ in range(MOST_OFFERED + 3):
        keeper.offer(ACME, CallContent(record, prompt_of(ASKED), None, ""))
    await asyncio.sleep(0)

    assert (asked, keeper.failures) == (MOST_OFFERED, 3)
    await keeper.close(0)


async def test_what_waits_for_the_store_when_the_process_ends_is_given_up_and_counted() -> None:
    kept = Kept(gate=asyncio.Event())
    before = asyncio.all_tasks()
    await kept.ask()

    await kept.keeper.close(seconds=0.01)

    assert kept.keeper.failures == 1
    assert asyncio.all_tasks() == before


async def _record(kept: Kept) -> Any:  # noqa: ANN401  # the record of a call
    records: list[Any] = []
    kept.wanting, wanting = set(), kept.wanting
    origin = CallOrigin(on_record=records.append)
    await kept.recorded().complete(
        ChatPrompt((ChatMessage(role="user", content="x"),), "gpt-4o", origin=origin)
    )
    await kept.keeper.close()
    kept.wanting = wanting
    return records[0]
