"""Jobs per second through the queue: the app's function beside a bare loop over the SDKs, in one run.

Run with `pytest tests/benchmarks/bench_queues.py -s`. Store and broker are the local ones, on the other core.
Each loop receives feedback, stores it, claims it, stores its analysis, sends that, notes that it was sent,
and completes the message; the model answers at once. The app is measured without its token ledger, and with
it beside a bare loop that writes one batch more for each job, as the ledger does. Rounds are taken in turns,
and the median counts. Nothing is asserted.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import azure.functions as func
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

import function_app
from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from shared.contracts import Usage
from shared.cosmos.sdk import open_client
from shared.llm.chat_model import Completion
from shared.llm.structured_model import StructuredModel
from shared.resilience.azure_transport import OneAttemptTransport
from shared.runtime import Runtime
from shared.settings import Settings
from tests.integration_tests.platform import running_platform
from tests.support.fakes import Call, RouteClient
from tests.support.whole_app import ADMIN_KEY, ENVIRONMENT
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import FrameType

    from azure.core.pipeline.transport import HttpRequest
    from azure.cosmos.aio import ContainerProxy, CosmosClient
    from azure.servicebus.aio import ServiceBusSender

    from shared.llm.chat_model import ChatModel, ChatPrompt, StreamingChatModel

TENANTS = tuple(f"tenant-{number}" for number in range(8))
JOBS, ROUNDS = 400, 5
TOGETHER = 32
GOAL = 0.7
IN_QUEUE, OUT_QUEUE = "feedback-form-in", "feedback-form-out"
TEXT = "The new search is fast, but I cannot find my old tickets. "
ANALYSIS = {
    "ai_hashtag": "#search",
    "hashtag": "#performance",
    "category": "complaint",
    "summary": "The search is fast, but old tickets are not found.",
}
SAMPLE_SECONDS = 0.002
PARTS = (
    ("the store's SDK", ("/azure/cosmos/", "/azure/core/", "/aiohttp/")),
    ("the broker's SDK", ("/azure/servicebus/",)),
    ("model and tokens", ("/shared/llm/", "/tiktoken/", "/shared/tokens/")),
    ("jobs and feedback", ("/shared/jobs/", "/functions/feedback/", "/shared/messaging/")),
    ("the store's edge", ("/shared/cosmos/",)),
    ("retries and breakers", ("/shared/resilience/",)),
    ("logs", ("/shared/logging/", "/shared/telemetry/")),
    ("tenants", ("/shared/tenancy/", "/shared/caching/")),
)

BARE, UNMETERED = "bare loop", "the app, no ledger"
BARE_LEDGER, METERED = "bare loop, a write more", "the app"

type Handle = Callable[[bytes, str], Awaitable[None]]


class CountingTransport(OneAttemptTransport):
    """The app's transport, which counts what is asked of the store."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    async def send(self, request: HttpRequest, **options: Any) -> Any:  # noqa: ANN401  # azure-core's own
        parts = request.url.partition("/colls/")[2].split("/")
        is_query = "query" in request.headers.get("Content-Type", "")
        self.asked[f"{'QUERY' if is_query else request.method} {parts[0]}"] += 1
        return await super().send(request, **options)


class InstantModel:
    """Answers at once with an analysis."""

    async def complete(self, prompt: ChatPrompt) -> Completion:
        usage = Usage(prompt_tokens=200, completion_tokens=60, total_tokens=260)
        return Completion(json.dumps(ANALYSIS | {"personal_data": []}), usage, prompt.model, "stop")

    async def check(self) -> None:
        """It is there."""


@dataclass(frozen=True, slots=True)
class Round:
    """Jobs per second of a round, and what each took of this process's CPU."""

    rate: float
    cpu_ms: float


@dataclass
class App:
    """The app with its real store and broker, called as the worker calls its function."""

    runtime: Runtime
    transport: CountingTransport
    functions: Mapping[str, Callable[..., Awaitable[None]]] = field(default_factory=dict)

    @classmethod
    async def open(cls, cosmos: str, broker: str) -> App:
        environment = ENVIRONMENT | {
            "COSMOS_ENDPOINT": cosmos,
            "COSMOS_KEY": COSMOS_KEY,
            "SERVICEBUS": broker,
        }
        runtime, transport = Runtime(lambda: Settings.model_validate(environment)), CountingTransport()
        client = open_client(cosmos, COSMOS_KEY, transport)
        runtime.__dict__.update(_cosmos_client=client, chat_model=InstantModel())
        host = func.FunctionApp()
        for bind in function_app.CAPABILITIES:
            host.register_functions(bind(runtime))
        functions = {str(one.get_function_name()): one.get_user_function() for one in host.get_functions()}
        return cls(runtime, transport, functions)

    async def close(self) -> None:
        await self.runtime.close()
        await self.runtime._cosmos_client.close()  # noqa: SLF001  # it was put there

    async def prepare(self) -> None:
        """Create the tenants, whose budgets bind nobody."""
        client = RouteClient(self.runtime)
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        limits = {"tokens_per_minute": 10**9, "requests_per_minute": 10**7, "concurrency": 10**5}
        for tenant in TENANTS:
            made = {"tenant_id": tenant, "name": tenant, "tier": "premium"}
            for name, body, path in (
                ("create_tenant", made, {}),
                ("put_limits", limits, {"tenant_id": tenant}),
            ):
                answer = await client.call(name, Call.of(body, headers=headers, **path))
                if answer.status >= 400:
                    raise RuntimeError(answer.body)

    def meter(self, *, is_on: bool) -> None:
        """Take model calls out of the ledger, or not."""
        self.runtime.__dict__.pop("metered_model", None)
        if not is_on:
            model = cast("ChatModel", StructuredModel(cast("StreamingChatModel", InstantModel())))
            self.runtime.__dict__["metered_model"] = lambda *_: model

    async def handle(self, body: bytes, message_id: str) -> None:
        """Handle one delivery."""
        await self.functions["analyse_feedback"](FakeDelivery(body, message_id))


@dataclass
class Bare:
    """The same requests to store and broker, by nothing but the SDKs."""

    container: ContainerProxy
    ledger: ContainerProxy | None
    sender: ServiceBusSender
    turn: asyncio.Lock

    async def handle(self, body: bytes, message_id: str) -> None:
        """Store, claim, end, send, note."""
        message = json.loads(body)
        tenant, job_id = message["tenant_id"], message["id"]
        key, now = [tenant, job_id], datetime.now(UTC)
        item = {
            "id": job_id,
            "tenant_id": tenant,
            "schema_version": 1,
            "request": message,
            "status": "queued",
            "steps": {},
            "approvals": {},
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            "outbox_pending": False,
            "outbox_since": now.timestamp(),
            "created_at": now.isoformat(),
            "updated_at": now.isoformat(),
            "language": "en",
            "day": now.date().isoformat(),
            "waits": 0,
            "holder": "",
            "lease_until": 0,
        }
        await self.container.create_item(item)
        await self._patch(
            key, "c.status = 'queued'", status="running", holder="me", lease_until=now.timestamp()
        )
        if self.ledger is not None:
            counted = {"id": f"bench:{job_id}", "tenant_id": tenant, "tokens": 260}
            await self.ledger.execute_item_batch([("upsert", (counted,))], partition_key=tenant)
        result = ANALYSIS | {"contains_pii": False, "personal_data": []}
        told = json.dumps({"tenant_id": tenant, "id": job_id, "message": "SUCCESS"} | ANALYSIS)
        outbox = {"kind": "result", "body": told}
        await self._patch(
            key, "c.holder = 'me'", status="succeeded", result=result, outbox=outbox, outbox_pending=True
        )
        async with self.turn:
            await self.sender.send_messages(ServiceBusMessage(told, message_id=message_id))
        await self._patch(key, "c.outbox.kind = 'result'", outbox_pending=False)

    async def _patch(self, key: list[str], condition: str, **values: object) -> None:
        steps = [{"op": "set", "path": f"/{name}", "value": value} for name, value in values.items()]
        await self.container.patch_item(
            key[1], cast("Any", key), steps, filter_predicate=f"from c where {condition}"
        )


class Sampler:
    """Counts, by CPU time, which part of the process runs: the innermost frame that is one's."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()

    def __enter__(self) -> Counter[str]:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
        return self.samples

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        while frame is not None:
            for part, places in PARTS:
                if any(place in frame.f_code.co_filename for place in places):
                    self.samples[part] += 1
                    return
            frame = frame.f_back
        self.samples["event loop and Python"] += 1


async def measure(client: ServiceBusClient, handle: Handle, name: str) -> Round:
    """Work off some messages that were sent before."""
    async with client.get_queue_sender(IN_QUEUE) as sender:
        messages = []
        for number in range(JOBS):
            body = {"tenant_id": TENANTS[number % len(TENANTS)], "id": f"{name}-{number}", "language": "en"}
            content = json.dumps(body | {"text": TEXT * 4})
            messages.append(ServiceBusMessage(content, message_id=f"{name}-{number}"))
        for begin in range(0, JOBS, 100):
            await sender.send_messages(messages[begin : begin + 100])
    async with client.get_queue_receiver(IN_QUEUE, max_wait_time=5, prefetch_count=TOGETHER) as receiver:
        left, began, cpu = JOBS, time.perf_counter(), time.process_time()
        while left:
            received = await receiver.receive_messages(min(TOGETHER, left))
            bodies = [b"".join(cast("Any", message.body)) for message in received]
            await asyncio.gather(
                *(
                    handle(body, message.message_id or "")
                    for body, message in zip(bodies, received, strict=True)
                )
            )
            for message in received:
                await receiver.complete_message(message)
            left -= len(received)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Round(JOBS / seconds, 1_000 * cpu / JOBS)


async def compare(cosmos: str, broker: str) -> None:
    """Measure all loops in turns, and print what they did."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ServiceBusClient.from_connection_string(broker))
        sender = await stack.enter_async_context(client.get_queue_sender(OUT_QUEUE))
        app = await App.open(cosmos, broker)
        stack.push_async_callback(app.close)
        await app.prepare()
        own: CosmosClient = await stack.enter_async_context(open_client(cosmos, COSMOS_KEY))
        database, turn = own.get_database_client("tenantry"), asyncio.Lock()
        feedback, ledger = (database.get_container_client(name) for name in ("feedback", "ledger"))
        handles = {
            BARE: Bare(feedback, None, sender, turn).handle,
            UNMETERED: app.handle,
            BARE_LEDGER: Bare(feedback, ledger, sender, turn).handle,
            METERED: app.handle,
        }
        rounds: dict[str, list[Round]] = {name: [] for name in handles}
        asked: Counter[str] = Counter()
        for number in range(ROUNDS + 1):
            for name, found in rounds.items():
                app.meter(is_on=name == METERED)
                handle = handles[name]
                app.transport.asked.clear()
                one = await measure(client, handle, f"{name.replace(' ', '-').replace(',', '')}-{number}")
                if number:  # the first round warms up
                    found.append(one)
                    asked = Counter(app.transport.asked)
        tell(rounds, asked)
        with Sampler() as samples:
            sampled = await measure(client, app.handle, "sampled")
        tell_parts(samples, sampled)


def tell(rounds: Mapping[str, list[Round]], asked: Counter[str]) -> None:
    """Print jobs per second and CPU of each loop, and what the app asks of the store."""
    print(f"\n{JOBS} jobs of {len(TENANTS)} tenants, {TOGETHER} at once, median of {ROUNDS} rounds")
    print(f"{'':<28}{'jobs/s':>8}{'of bare':>9}{'CPU ms':>8}{'of bare':>9}")
    floor = Round(1, 1)
    for name, found in rounds.items():
        rate = statistics.median(one.rate for one in found)
        cpu = statistics.median(one.cpu_ms for one in found)
        floor = Round(rate, cpu) if name in {BARE, BARE_LEDGER} else floor
        print(f"{name:<28}{rate:>8.0f}{rate / floor.rate:>9.0%}{cpu:>8.2f}{floor.cpu_ms / cpu:>9.0%}")
    print(f"goal: {GOAL:.0%} of the bare loop, which asks the store 4 times for each job, or 5")
    print(f"the app's: {sum(asked.values()) / JOBS:.2f} for each job")
    for what, count in asked.most_common():
        print(f"  {what:<24}{count / JOBS:>8.2f}")


def tell_parts(samples: Counter[str], sampled: Round) -> None:
    """Print which part takes how much of a job's CPU time."""
    every = sum(samples.values())
    print(f"where the {sampled.cpu_ms:.1f} ms of a job go (what an SDK is called by counts as the SDK's)")
    for part, count in samples.most_common():
        print(f"  {part:<24}{sampled.cpu_ms * count / every:>8.2f} ms{count / every:>8.0%}")


def test_jobs_through_the_queue_beside_a_bare_loop() -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_platform(Path(folder) / "data", "--only", "cosmos,servicebus") as platform,
        ):
            os.sched_setaffinity(0, {cores[-1]})
            port = int(platform.addresses["servicebus"].rpartition(":")[2])
            asyncio.run(compare(platform.addresses["cosmos"], servicebus_connection_string(port)))
    finally:
        os.sched_setaffinity(0, cores)
