"""Each model call leaves one record, one line and one span, whatever it ends in; none has a text in it."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from shared.contracts import ChatMessage, PromptUse
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError, InternalError
from shared.llm.call_recorder import CallRecorder
from shared.llm.catalogue_model import CatalogueModel
from shared.llm.chat_model import ChatPrompt, Completion, ModelUnavailableError
from shared.llm.metering import MeteredModel
from shared.llm.model_call import CallOrigin, ModelCallRecord
from shared.llm.recorded_model import RecordedModel
from shared.logging.context import logging_as
from shared.telemetry.spans import start_telemetry, stop_telemetry
from tests.support.fakes import FakeClock, tenant_context
from tests.support.log_lines import kept_lines
from tests.support.models import deployment, open_model
from tests.unit_tests.llm.test_metering import FakeBudget
from tests.unit_tests.llm.test_openai_client import answer, failure
from tests.unit_tests.llm.test_openai_stream import telling
from tests.unit_tests.llm.test_streamed_answer import DONE, END, TOLD, part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from shared.contracts import Usage
    from shared.llm.deployments import ModelDeployment
    from shared.telemetry.spans import Attributes, SpanFacts
    from shared.tenancy.context import TenantContext
    from shared.tokens.stored_models import Lock
    from tests.unit_tests.llm.test_openai_client import Step

ACME = tenant_context()
SAID = "my very own secret"
PRICE = {"prompt": "2", "completion": "10"}


def running_clock() -> FakeClock:
    """Return a clock that has been running for a minute."""
    clock = FakeClock()
    clock.advance(64)
    return clock


RECORD = {
    "time": running_clock().now(),
    "request_id": "r-1",
    "tenant_id": "acme",
    "key_id": "key-of-acme",
    "user_id": "u1",
    "app_id": "bot:b",
    "bot_id": "b",
    "conversation_id": "c",
    "turn": 3,
    "job_id": None,
    "step": None,
    "prompt_name": "support",
    "prompt_version": 7,
    "model": "gpt-4o",
    "deployment": "gpt-4o",
    "provider": "azure",
    "stream": False,
    "prompt_tokens": 7,
    "cached_tokens": 0,
    "completion_tokens": 3,
    "reasoning_tokens": 0,
    "cost": Decimal("0.000044"),
    "currency": "EUR",
    "attempts": 1,
    "fallback_from": None,
    "wait_ms": 250.0,
    "time_to_first_token_ms": None,
    "duration_ms": 937.5,
    "overhead_ms": 187.5,
    "finish_reason": "stop",
    "status": "succeeded",
    "error": None,
}
"""The record of a plain call; its fields are those of the contract, in their order."""


@dataclass
class SlowBudget(FakeBudget):
    """Takes a quarter of a second for a lock, and an eighth for a report."""

    clock: FakeClock = field(default_factory=FakeClock)

    async def lock(self, tenant: TenantContext, app_id: str, tokens: int, model: str) -> Lock:
        self.clock.advance(0.25)
        return await super().lock(tenant, app_id, tokens, model)

    async def report(
        self, tenant: TenantContext, app_id: str, lock_id: str, usage: Usage, *, user: str | None = None
    ) -> None:
        self.clock.advance(0.125)
        await super().report(tenant, app_id, lock_id, usage, user=user)


@dataclass
class Catalogue:
    """Has one route, or none."""

    deployments: tuple[ModelDeployment, ...]

    async def route(self, tenant: TenantContext, name: str) -> tuple[ModelDeployment, ...]:
        assert tenant is ACME
        if not self.deployments:
            raise ModelUnavailableError(name)
        return self.deployments


class Words:
    """Finds eleven tokens in every prompt and one in each word, in the sixteenth of a second."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def count_prompt(self, prompt: ChatPrompt) -> int:
        assert prompt.output_limit
        self._clock.advance(0.0625)
        return 11

    async def count_text(self, text: str, model: str) -> int:
        assert model
        return len(text.split())


@dataclass
class Recorded:
    """The models of one tenant's bot over a provider under control; each of its steps takes half a second."""

    steps: list[Step | Callable[[], Awaitable[httpx2.Response]]] = field(default_factory=list)
    route: tuple[ModelDeployment, ...] = (deployment(price=PRICE),)
    refusal: Exception | None = None
    clock: FakeClock = field(default_factory=running_clock)
    records: list[ModelCallRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        client, _ = open_model(self._handle, self.clock)
        budget = SlowBudget(refusal=self.refusal, clock=self.clock)
        metered = MeteredModel(client, Words(self.clock), budget, ACME, "bot:b")
        models = CatalogueModel(Catalogue(self.route), metered, ACME, "bot:b")
        self.model = RecordedModel(models, CallRecorder(ACME, "bot:b", "EUR", self.clock))
        origin = CallOrigin(
            bot_id="b",
            conversation_id="c",
            turn=3,
            prompt=PromptUse(name="support", version=7),
            on_record=self.records.append,
        )
        messages = (ChatMessage(role="user", content=SAID),)
        self.prompt = ChatPrompt(messages, "gpt-4o", 100, user="u1", origin=origin)

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        assert request.method == "POST"
        self.clock.advance(0.5)
        step = self.steps.pop(0) if self.steps else answer()
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, httpx2.Response) else await step()

    @property
    def record(self) -> ModelCallRecord:
        """The only record."""
        (record,) = self.records
        return record

    async def read(self) -> list[str | Completion]:
        async with self.model.stream(self.prompt) as parts:
            return [part async for part in parts]


def streaming(*events: bytes, breaks: Exception | None = None) -> httpx2.Response:
    return telling(*events, breaks=breaks).response


def test_a_record_has_the_fields_of_the_contract() -> None:
    assert [one.name for one in fields(ModelCallRecord)] == list(RECORD)


async def test_a_record_tells_whose_call_it_was_what_it_used_and_where_its_time_went() -> None:
    recorded = Recorded()
    with logging_as(request_id="r-1"):
        await recorded.model.complete(recorded.prompt)

    assert asdict(recorded.record) == RECORD


@pytest.mark.parametrize("streams", [False, True])
async def test_a_line_of_the_log_has_all_of_it_and_nothing_that_was_said(*, streams: bool) -> None:
    recorded = Recorded([streaming(part("hel"), END, TOLD, DONE)] if streams else [])
    with kept_lines("shared.llm.call_recorder") as lines, logging_as(request_id="r-1"):
        await (recorded.read() if streams else recorded.model.complete(recorded.prompt))

    (line,) = lines
    assert (line["request_id"], line["tenant_id"]) == ("r-1", "acme")
    extra = line["extra"]
    assert list(extra) == ["event", *(name for name in RECORD if name not in {"request_id", "tenant_id"})]
    began = running_clock().now().isoformat()
    assert (extra["event"], extra["stream"], extra["time"]) == ("model_call", streams, began)
    assert extra["cost"] == "0.000044"
    written = json.dumps(line)
    assert SAID not in written
    assert "hel" not in written


async def test_a_stream_tells_how_long_its_first_part_took() -> None:
    recorded = Recorded([streaming(part("hel"), part("lo"), END, TOLD, DONE)])
    await recorded.read()

    record = recorded.record
    assert (record.stream, record.status, record.finish_reason) == (True, "succeeded", "stop")
    assert (record.time_to_first_token_ms, record.duration_ms) == (812.5, 937.5)
    assert (record.wait_ms, record.overhead_ms) == (250.0, 187.5)
    assert (record.prompt_tokens, record.completion_tokens) == (7, 3)


@pytest.mark.parametrize(
    ("steps", "refusal", "ends"),
    [
        ([], BudgetExceededError("no", retry_after=5), ("refused", "BudgetExceededError", None, 0)),
        ([failure(422)], None, ("refused", "PromptRejectedError", None, 1)),
        ([failure(400, code="content_filter")], None, ("refused", "FilteredPromptError", None, 1)),
        ([failure(500)] * 3, None, ("failed", "DependencyUnavailableError", None, 3)),
        ([httpx2.ConnectError("no")] * 3, None, ("failed", "ModelOutageError", None, 3)),
        ([httpx2.Response(200, json=[])], None, ("failed", "UnusableAnswerError", None, 1)),
        (
            [answer(choices=[{"message": {"content": ""}, "finish_reason": "content_filter"}])],
            None,
            ("refused", "FilteredAnswerError", 7, 1),
        ),
    ],
)
async def test_a_call_that_fails_leaves_a_record_with_what_it_used(
    steps: list[Step], refusal: Exception | None, ends: tuple[object, ...]
) -> None:
    recorded = Recorded(list(steps), refusal=refusal)
    with pytest.raises(APIError):
        await recorded.model.complete(recorded.prompt)

    record = recorded.record
    assert (record.status, record.error, record.prompt_tokens, record.attempts) == ends
    assert (record.deployment is None) == (record.attempts == 0)
    assert record.wait_ms == 250.0


async def test_a_call_of_a_model_that_is_gone_leaves_a_record() -> None:
    recorded = Recorded(route=())
    with pytest.raises(ModelUnavailableError):
        await recorded.model.complete(recorded.prompt)

    record = recorded.record
    assert (record.model, record.deployment, record.provider) == ("gpt-4o", None, None)
    assert (record.status, record.error, record.cost) == ("refused", "ModelUnavailableError", None)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("defect", [RuntimeError("a defect"), InternalError("a defect")])
async def test_a_defect_on_the_way_to_a_model_is_a_failure(defect: Exception, *, streams: bool) -> None:
    recorded = Recorded(refusal=defect)
    with pytest.raises(type(defect)):
        await (recorded.read() if streams else recorded.model.complete(recorded.prompt))

    assert (recorded.record.status, recorded.record.error) == ("failed", type(defect).__name__)
    assert (recorded.record.stream, recorded.record.time_to_first_token_ms) == (streams, None)


async def test_a_call_that_another_deployment_answers_tells_in_whose_place() -> None:
    other = deployment(
        "other",
        provider="openai-compatible",
        base_url="https://other.test/v1",
        price={"prompt": 9, "completion": 9},
    )
    recorded = Recorded([failure(429)], (deployment(price=PRICE), other))
    await recorded.model.complete(recorded.prompt)

    record = recorded.record
    assert (record.model, record.deployment, record.fallback_from) == ("gpt-4o", "other", "gpt-4o")
    assert (record.provider, record.attempts) == ("openai-compatible", 2)
    assert record.cost == Decimal("0.000044")  # of the model that was asked for, as its usage is


async def test_a_call_that_is_given_up_is_cancelled() -> None:
    asked = asyncio.Event()

    async def hang() -> httpx2.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    recorded = Recorded([hang])
    call = asyncio.create_task(recorded.model.complete(recorded.prompt))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert (recorded.record.status, recorded.record.error) == ("cancelled", None)
    assert (recorded.record.attempts, recorded.record.prompt_tokens) == (1, None)


async def test_a_stream_that_is_left_is_cancelled_and_tells_what_was_received() -> None:
    recorded = Recorded([streaming(part("one two"), part(" three"), END, TOLD, DONE)])
    async with recorded.model.stream(recorded.prompt) as parts:
        await anext(parts)

    record = recorded.record
    assert (record.status, record.error) == ("cancelled", None)
    assert (record.prompt_tokens, record.completion_tokens) == (11, 2)


async def test_a_stream_that_breaks_off_failed() -> None:
    recorded = Recorded([streaming(part("one"), breaks=httpx2.ReadError("gone"))])
    with pytest.raises(DependencyUnavailableError):
        await recorded.read()

    record = recorded.record
    assert (record.status, record.error) == ("failed", "TruncatedAnswerError")
    assert (record.prompt_tokens, record.completion_tokens) == (11, 1)


@pytest.mark.parametrize(("reads_all", "status"), [(True, "succeeded"), (False, "cancelled")])
async def test_what_goes_wrong_with_a_streams_reader_is_no_error_of_the_call(
    exporter: Exporter, *, reads_all: bool, status: str
) -> None:
    recorded = Recorded([streaming(part("one"), END, TOLD, DONE)])

    async def read_and_fail() -> None:
        async with recorded.model.stream(recorded.prompt) as parts:
            await anext(parts)
            if reads_all:
                await anext(parts)
            raise DependencyUnavailableError("The store")

    with pytest.raises(DependencyUnavailableError):
        await read_and_fail()

    assert (recorded.record.status, recorded.record.error) == (status, None)
    assert exporter.errors == [None, None]


async def test_calls_of_one_prompt_have_records_of_their_own() -> None:
    recorded = Recorded([failure(500), answer(), answer()])
    await recorded.model.complete(recorded.prompt)
    await recorded.model.complete(recorded.prompt)

    assert [record.attempts for record in recorded.records] == [2, 1]
    assert recorded.records[1].duration_ms == 937.5


class Exporter:
    """Keeps the spans that it was told of."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, SpanFacts]] = []
        self.errors: list[BaseException | None] = []

    @contextmanager
    def work(self, name: str, told: SpanFacts, headers: Mapping[str, str] | None) -> Iterator[None]:
        assert (headers is None) == (name != "http.server.request.duration")
        self.spans.append((name, told))
        try:
            yield
        except BaseException as error:
            self.errors.append(error)
            raise
        self.errors.append(None)

    def add(self, name: str, amount: float, attributes: Attributes) -> None:
        """Count nothing."""

    async def stop(self) -> None:
        """Be told no more."""

    def call(self) -> tuple[str, dict[str, Any], Attributes]:
        """The name, facts and measured facts of the span of a model call."""
        ((name, told),) = [one for one in self.spans if one[0].startswith("gen_ai.")]
        return name, told.attributes, told.measured


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    exporter = Exporter()
    start_telemetry(lambda: exporter)
    yield exporter
    await stop_telemetry()


async def test_a_span_has_the_names_of_the_conventions_and_nothing_that_was_said(exporter: Exporter) -> None:
    elsewhere = deployment(
        provider="openai-compatible", base_url="https://models.test/v1", deployment="llama", price=PRICE
    )
    used = {
        "prompt_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens": 3,
        "completion_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 10,
    }
    told = json.dumps({"choices": [], "usage": used}).encode()
    recorded = Recorded([streaming(part("hel"), END, told, DONE)], (elsewhere,))
    with logging_as(request_id="r-1"):
        await recorded.read()

    name, attributes, measured = exporter.call()
    assert name == "gen_ai.client.operation.duration"
    assert measured == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.provider.name": "openai",
    }
    assert attributes == {
        "name": "chat gpt-4o",
        "gen_ai.conversation.id": "c",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.model": "gpt-4o-x",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.8125,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "server.address": "models.test",
        "tenantry.tenant_id": "acme",
        "tenantry.request_id": "r-1",
        "tenantry.deployment": "gpt-4o",
        "tenantry.attempts": 1,
        "tenantry.status": "succeeded",
    }


async def test_a_conversation_that_is_named_after_a_person_is_not_named_in_a_span(exporter: Exporter) -> None:
    recorded = Recorded()
    origin = CallOrigin(conversation_id="ann@example.com")
    await recorded.model.complete(replace(recorded.prompt, origin=origin))

    _, attributes, measured = exporter.call()
    assert attributes["gen_ai.conversation.id"] == "[email]"
    assert measured["gen_ai.provider.name"] == "azure.ai.openai"


async def test_a_span_names_no_model_that_the_catalogue_does_not_have(exporter: Exporter) -> None:
    recorded = Recorded(route=())
    with pytest.raises(ModelUnavailableError):
        await recorded.model.complete(replace(recorded.prompt, model=SAID))

    _, attributes, measured = exporter.call()
    assert SAID not in str(attributes)
    assert measured == {"gen_ai.operation.name": "chat"}


async def test_a_span_of_a_call_that_fails_ends_with_its_error(exporter: Exporter) -> None:
    recorded = Recorded([failure(422)])
    with pytest.raises(APIError):
        await recorded.model.complete(recorded.prompt)

    assert [type(error).__name__ for error in exporter.errors][-1] == "PromptRejectedError"
    name, attributes, _ = exporter.call()
    assert (name, attributes["tenantry.status"]) == ("gen_ai.client.operation.duration", "refused")
