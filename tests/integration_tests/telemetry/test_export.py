"""What leaves the process for an OTLP receiver, and that one that is down harms nobody."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import ServiceRequestError

from shared.telemetry.spans import stop_telemetry
from shared.tenancy.context import Role
from tests.integration_tests.telemetry.receiver import Receiver, receiving
from tests.support.fakes import Call, StillClock
from tests.support.log_lines import kept_lines
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.whole_app import WholeApp

WORDS = "what a tenant said in confidence"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
async def _stopped() -> AsyncIterator[None]:
    yield
    await stop_telemetry()


async def converse(app: WholeApp) -> None:
    """Have one conversation, be refused once, and meet a store that is out."""
    await app.new_tenant("acme")
    key = await app.new_key("acme", Role.TENANT_ADMIN)
    await app.must("save_bot", Call.of({"system_prompt": WORDS}, headers=key, bot_id="helper"))
    traced = key | {"x-request-id": "r-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    await app.must("chat", Call.of({"message": WORDS}, headers=traced, bot_id="helper"))
    await app.client.call("get_bot", Call(path={"bot_id": "nobody"}, headers=key))

    async def refuse() -> None:
        raise ServiceRequestError("the connection was refused")

    app.cosmos.transport.fault = refuse
    app.runtime.__dict__["cosmos"] = app.cosmos.dependency
    await app.client.call("list_bots", Call(headers=key))


async def exported() -> Receiver:
    with receiving() as receiver:
        async with whole_app(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.address) as app:
            _ = app.runtime.settings
            await converse(app)
        return receiver


async def test_a_request_is_a_span_with_its_route_tenant_and_status() -> None:
    receiver = await exported()

    (chat,) = receiver.named("POST /api/v1/bots/{bot_id}/chat")
    assert chat == {
        "http.request.method": "POST",
        "http.route": "/api/v1/bots/{bot_id}/chat",
        "http.response.status_code": 200,
        "tenantry.tenant_id": "acme",
        "tenantry.request_id": "r-1",
    }
    (absent,) = receiver.named("GET /api/v1/bots/{bot_id}")
    assert (absent["http.response.status_code"], absent["error.type"]) == (404, "BotNotFoundError")
    assert receiver.resources[0]["service.name"] == "tenantry"
    failed = {span.name for span in receiver.spans if span.status.code == span.status.STATUS_CODE_ERROR}
    assert failed == {"GET /api/v1/bots", "Cosmos DB"}


async def test_calls_to_the_store_are_spans_below_the_request_with_their_attempts() -> None:
    receiver = await exported()

    (chat,) = (span for span in receiver.spans if span.name == "POST /api/v1/bots/{bot_id}/chat")
    below = [span for span in receiver.spans if span.parent_span_id == chat.span_id]
    assert chat.trace_id.hex() == TRACE
    assert len(below) >= 3
    assert {span.name for span in below} == {"Cosmos DB", "chat gpt-4o"}
    stored = receiver.named("Cosmos DB")
    assert {found["tenantry.attempts"] for found in stored} == {1, 3}
    assert stored[-1] == {
        "tenantry.dependency": "Cosmos DB",
        "tenantry.attempts": 3,
        "error.type": "DependencyUnavailableError",
    }


async def test_a_call_of_a_model_is_a_span_by_the_conventions_for_generative_ai() -> None:
    receiver = await exported()

    (call,) = receiver.named("chat gpt-4o")
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "tenantry.tenant_id": "acme",
        "tenantry.request_id": "r-1",
        "tenantry.status": "succeeded",
    }
    assert {name: call.get(name) for name in expected} == expected
    assert '"stop"' in str(call["gen_ai.response.finish_reasons"])
    assert receiver.metrics["gen_ai.client.operation.duration"]


async def test_the_log_line_of_a_call_names_the_trace_and_the_span_that_are_exported() -> None:
    with kept_lines("shared.llm.call_recorder") as lines:
        receiver = await exported()

    (call,) = (span for span in receiver.spans if span.name == "chat gpt-4o")
    (line,) = lines
    assert (line["trace_id"], line["span_id"]) == (TRACE, call.span_id.hex())
    assert call.trace_id.hex() == TRACE


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_streams_call_is_a_span_below_its_request_also_when_its_client_leaves(
    caplog: pytest.LogCaptureFixture, *, leaves: bool
) -> None:
    with receiving() as receiver:
        async with whole_app(StillClock(), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.address) as app:
            _ = app.runtime.settings
            await app.load_tokenizer()
            await app.new_tenant("acme")
            key = await app.new_key("acme", Role.TENANT_ADMIN)
            await app.must("save_bot", Call.of({"system_prompt": WORDS}, headers=key, bot_id="helper"))
            said = Call.of({"message": "word " * 50, "stream": True}, headers=key, bot_id="helper")
            async with await app.client.stream("chat", said) as reader:
                await (reader.piece() if leaves else reader.rest())

    (call,) = (span for span in receiver.spans if span.name == "chat gpt-4o")
    (request,) = (span for span in receiver.spans if span.name == "POST /api/v1/bots/{bot_id}/chat")
    assert call.parent_span_id == request.span_id
    (facts,) = receiver.named("chat gpt-4o")
    assert facts["tenantry.status"] == ("cancelled" if leaves else "succeeded")
    assert [line for line in caplog.records if line.name.startswith("opentelemetry")] == []


async def test_metrics_count_requests_tokens_caches_and_breakers() -> None:
    receiver = await exported()

    requests = {
        (found["http.route"], found["http.response.status_code"]): count
        for found, count in receiver.metrics["http.server.request.duration"]
    }
    assert requests["/api/v1/bots/{bot_id}/chat", 200] == 1
    assert requests["/api/v1/bots", 503] == 1
    tokens = {found["kind"]: count for found, count in receiver.metrics["tenantry.tokens"]}
    assert tokens == {"prompt": 7, "completion": 3}
    assert ({"tenantry.dependency": "Cosmos DB"}, 0) in receiver.metrics["tenantry.breaker.open"]
    kinds = {found["kind"] for found, _ in receiver.metrics["tenantry.cache.answers"]}
    assert kinds == {"hits", "misses", "stale", "last_good"}
    assert receiver.metrics["tenantry.dependency.duration"]


async def test_no_word_of_a_tenant_and_no_key_is_exported() -> None:
    receiver = await exported()

    everything = b"".join(receiver.raw)
    assert b"acme" in everything
    assert WORDS.encode() not in everything
    assert b"tk.acme" not in everything
    assert b"helper" not in everything


async def test_a_receiver_that_is_down_harms_no_request() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        async with whole_app(OTEL_EXPORTER_OTLP_ENDPOINT=address, TELEMETRY_EXPORT_SECONDS="0.05") as app:
            _ = app.runtime.settings
            await app.new_tenant("acme")
            key = await app.new_key("acme", Role.USER)
            for _ in range(20):
                await app.must("list_bots", Call(headers=key))

        assert time.monotonic() - began < 30
