"""The whole app in one process without a socket: every capability on the composition root of production.

Only what stands at its outer edge is replaced: Cosmos by the engine in memory below the real SDK, the broker
and the blobs by fakes, and the model behind the metered one by one that repeats what it is told.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING

import azure.functions as func

import function_app
from shared.blob.store import BlobInfo, BlobPage, BlobPart
from shared.contracts import Usage
from shared.llm.call_content import prefix_of
from shared.llm.chat_model import Completion
from shared.llm.embedding_model import Embeddings
from shared.llm.token_counting import TokenCounter
from shared.runtime import Runtime
from shared.settings import Settings
from tests.support import isolation
from tests.support.fakes import Answer, Call, FakeClock, RouteClient
from tests.support.late_bindings import bind_late
from tests.support.memory_cosmos import MemoryCosmos, memory_cosmos
from tests.support.openai_answers import embeddings_json, last_words, passed_completion, speak_chunks
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from shared.cosmos.container import Container
    from shared.llm.chat_model import AnswerStream, ChatPrompt
    from shared.llm.embedding_model import EmbeddingPrompt
    from shared.messaging.sender import OutgoingMessage
    from shared.tenancy.context import Role, TenantContext

ADMIN_KEY = "tk.the-administrators.key"
ENVIRONMENT = {
    "ADMIN_API_KEY": ADMIN_KEY,
    "COSMOS_ENDPOINT": "http://memory:8081",
    "SERVICEBUS": "Endpoint=sb://memory;SharedAccessKeyName=n;SharedAccessKey=a2V5",
    "STORAGE": "UseDevelopmentStorage=true",
    "AZURE_OPENAI_ENDPOINT": "http://memory:8082",
    "WEBHOOK_KEY": "what-webhook-secrets-are-encrypted-with",
    # The clock stands still between a suite's thousands of requests.
    "REQUESTS_PER_MINUTE_FREE": "1000000",
    "REQUESTS_PER_MINUTE_STANDARD": "1000000",
    "REQUESTS_PER_MINUTE_PREMIUM": "1000000",
    "REQUESTS_PER_MINUTE_ADMIN": "1000000",
}


@cache
def _settings(environment: frozenset[tuple[str, str]], process: frozenset[tuple[str, str]]) -> Settings:
    """Read settings once for all apps that have the same: that takes a millisecond, and they never change."""
    return Settings.model_validate(dict(environment))


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return what an app is set to by the environment of a test, on that of the process."""
    return _settings(frozenset((ENVIRONMENT | dict(environment)).items()), frozenset(os.environ.items()))


bind_late()
_TOKEN_COUNTER = TokenCounter()
_OUTSIDE = ("sender", "blobs", "job_blobs", "content_blobs", "chat_model", "embedding_model")
"""What of the runtime stands for things outside the process."""


class EvenEmbeddings:
    """Gives the same vector for each input."""

    async def embed(self, prompt: EmbeddingPrompt) -> Embeddings:
        usage = Usage(prompt_tokens=2 * prompt.inputs, total_tokens=2 * prompt.inputs)
        content = json.dumps(embeddings_json(prompt.inputs, usage.total_tokens, prompt.model)).encode()
        return Embeddings(content, usage, prompt.model)


@dataclass
class EchoModel:
    """Repeats the last message: what a tenant said can be seen in what it gets, and must be nowhere else."""

    prompts: list[ChatPrompt] = field(default_factory=list)

    async def complete(self, prompt: ChatPrompt) -> Completion:
        self.prompts.append(prompt)
        usage = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
        text = f"You said: {last_words(prompt)}"
        if prompt.passed is not None:
            return passed_completion(text, usage, prompt)
        return Completion(text, usage, prompt.model, "stop")

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        completion = await self.complete(prompt)
        if prompt.passed is not None:
            yield speak_chunks(f"You said: {last_words(prompt)}", completion)
        else:
            yield speak(completion)

    async def check(self) -> None:
        """It is there."""


async def speak(completion: Completion) -> AsyncIterator[str | Completion]:
    """Say a completion word by word."""
    for word in re.findall(r"\S+\s*", completion.text):
        yield word
    yield completion


@dataclass
class MemorySender:
    """Keeps what was sent, by queue."""

    sent: list[tuple[str, str, OutgoingMessage]] = field(default_factory=list)

    async def send(self, tenant: TenantContext, queue: str, message: OutgoingMessage) -> None:
        self.sent.append((tenant.tenant_id, queue, message))

    async def check(self, queue: str) -> None:
        """It is there."""


@dataclass
class MemoryBlobs:
    """Blobs by name."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    async def upload(self, name: str, path: Path) -> None:
        self.blobs[name] = path.read_bytes()  # noqa: ASYNC240  # a test's own small file

    async def write(self, name: str, content: bytes) -> None:
        self.blobs[name] = content

    async def read(self, name: str) -> bytes | None:
        return self.blobs.get(name)

    async def exists(self, name: str) -> bool:
        return name in self.blobs

    async def page(self, prefix: str, cursor: str | None, limit: int) -> BlobPage:
        names = sorted(name for name in self.blobs if name.startswith(prefix) and name > (cursor or ""))
        found = tuple(BlobInfo(name, len(self.blobs[name])) for name in names[:limit])
        return BlobPage(found, found[-1].name if len(names) > limit else None)

    async def read_part(self, name: str, offset: int, length: int) -> BlobPart | None:
        content = self.blobs.get(name)
        return None if content is None else BlobPart(content[offset : offset + length], len(content))

    async def delete(self, name: str) -> bool:
        return self.blobs.pop(name, None) is not None

    async def check(self) -> None:
        """It is there."""


class MemoryRuntime(Runtime):
    """The composition root with everything outside the process in memory."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock, environment: Mapping[str, str]) -> None:
        super().__init__(lambda: read_settings(environment), clock)
        self._memory = cosmos
        self.environment = environment
        # Set before they are first asked for, these stand in the place of the lazily opened clients.
        self.__dict__.update(
            sender=MemorySender(),
            blobs=MemoryBlobs(),
            job_blobs=MemoryBlobs(),
            content_blobs=MemoryBlobs(),
            chat_model=EchoModel(),
            embedding_model=EvenEmbeddings(),
        )
        # The one in earnest; it only reads its tables once for all apps of a test run.
        self.__dict__["token_counter"] = _TOKEN_COUNTER

    def container(self, name: str) -> Container:
        return self._memory.container(name)


@dataclass
class WholeApp:
    """The app, called as the host calls it."""

    runtime: MemoryRuntime
    cosmos: MemoryCosmos
    clock: FakeClock
    client: RouteClient
    blueprints: Sequence[func.Blueprint]

    @cached_property
    def functions(self) -> Mapping[str, Callable[..., Awaitable[None]]]:
        """What the host calls, by name."""
        app = func.FunctionApp()
        for blueprint in self.blueprints:
            app.register_functions(blueprint)
        return {str(one.get_function_name()): one.get_user_function() for one in app.get_functions()}

    async def tick(self, timer: str) -> None:
        """Run a timer's function, as the host does when its time has come."""
        await self.functions[timer](object())

    def another_instance(self) -> WholeApp:
        """Start the app once more over the same store."""
        return _instance(self.cosmos, self.clock, self.runtime.environment)

    @property
    def blobs(self) -> dict[str, bytes]:
        """What is in the container of shipped logs."""
        stored: MemoryBlobs = self.runtime.__dict__["blobs"]
        return stored.blobs

    @property
    def admin(self) -> dict[str, str]:
        """The administrator's credential."""
        return {"authorization": f"Bearer {ADMIN_KEY}"}

    async def must(self, name: str, call: Call) -> Answer:
        """Call a route that has to succeed."""
        answer = await self.client.call(name, call)
        assert answer.status < 400, f"{name}: {answer.status} {answer.body!r}"
        return answer

    async def load_tokenizer(self) -> None:
        """Read its tables now: no clock that heartbeats move waits for the thread that reads them later."""
        await _TOKEN_COUNTER.count_text("", "gpt-4o")

    async def keep_content(self, tenant_id: str, request_id: str, text: str) -> None:
        """Keep the content of a model call, as if the tenant had switched that on."""
        unknown = ("deployment", "bot_id", "conversation_id", "turn", "job_id", "step", "finish_reason")
        content = dict.fromkeys(unknown) | {
            "time": self.clock.now().isoformat(),
            "request_id": request_id,
            "model": "gpt-4o",
            "status": "succeeded",
            "messages": [{"role": "user", "content": text}],
            "messages_left_out": 0,
            "answers": [],
            "answers_left_out": 0,
        }
        name = f"{prefix_of(tenant_id, self.clock.now(), request_id)}103000000000-5f2b61c3.json"
        await self.runtime.content_blobs.write(name, json.dumps(content).encode())

    async def new_tenant(self, tenant_id: str, tier: str = "premium") -> None:
        """Create a tenant."""
        body = {"tenant_id": tenant_id, "name": tenant_id, "tier": tier}
        await self.must("create_tenant", Call.of(body, headers=self.admin))

    async def own_everything(self, tenant_id: str, owner: dict[str, str]) -> dict[str, str]:
        """Let a tenant come by something of everything; returns what that is called, by path parameter."""
        names = dict(isolation.NAMES) | {"tenant_id": tenant_id}
        for step in isolation.SETUP:
            headers = owner | {"idempotency-key": isolation.KEY_OF_A_REQUEST + step.operation}
            address = isolation.operation(step.operation).address(names)
            answer = await self.must(step.operation, Call.of(step.body, headers=headers, **address))
            names |= {name: answer.json()[member] for name, member in step.learns.items()}
        message = FakeDelivery(json.dumps({"tenant_id": tenant_id} | isolation.DEAD_LETTER).encode())
        await self.functions["give_up_job"](message)
        [letter] = (await self.must("list_dead_letters", Call(headers=owner))).json()["items"]
        return names | {"dead_letter_id": letter["id"]}

    async def new_key(self, tenant_id: str, role: Role) -> dict[str, str]:
        """Make a key; returns the headers that present it."""
        body = {"name": "a test's", "role": role}
        made = await self.must("create_key", Call.of(body, headers=self.admin, tenant_id=tenant_id))
        return {"authorization": f"Bearer {made.json()['key']}"}


def _instance(cosmos: MemoryCosmos, clock: FakeClock, environment: Mapping[str, str]) -> WholeApp:
    runtime = MemoryRuntime(cosmos, clock, environment)
    blueprints = [bind(runtime) for bind in function_app.CAPABILITIES]
    return WholeApp(runtime, cosmos, clock, RouteClient(runtime), blueprints)


@asynccontextmanager
async def whole_app(clock: FakeClock | None = None, /, **environment: str) -> AsyncIterator[WholeApp]:
    """Open the app over an empty store."""
    async with _over_store(clock or FakeClock(), environment, None) as app:
        yield app


@asynccontextmanager
async def _over_store(
    clock: FakeClock, environment: Mapping[str, str], stored: bytes | None
) -> AsyncIterator[WholeApp]:
    async with memory_cosmos(clock, stored) as cosmos:
        app = _instance(cosmos, clock, environment)
        yield app
        await app.runtime.close()


class SharedStart[T]:
    """A state of the app that many tests begin with: come by once, through the routes, and copied for each.

    The store, the queues, the blobs and what the model was asked are as they were left; the app that a test
    gets is a new instance, whose clock begins anew and whose caches are cold.
    """

    def __init__(self, prepare: Callable[[WholeApp], Awaitable[T]]) -> None:
        self._prepare = prepare
        self._left: tuple[bytes, dict[str, object], T] | None = None

    @asynccontextmanager
    async def open(self, clock: FakeClock | None = None) -> AsyncIterator[tuple[WholeApp, T]]:
        """Open an app in that state; yields it with what preparing it has returned."""
        clock = clock or FakeClock()
        if self._left is None:
            async with whole_app(type(clock)()) as first:
                known = await self._prepare(first)
                outside = {name: first.runtime.__dict__[name] for name in _OUTSIDE}
                self._left = deepcopy((first.cosmos.serialize(), outside, known))
        stored, outside, known = deepcopy(self._left)
        async with _over_store(clock, {}, stored) as app:
            app.runtime.__dict__.update(outside)
            yield app, known


@cache
def _with_tenants(tier: str, *tenant_ids: str) -> SharedStart[None]:
    async def prepare(app: WholeApp) -> None:
        for tenant_id in tenant_ids:
            await app.new_tenant(tenant_id, tier)

    return SharedStart(prepare)


@asynccontextmanager
async def app_of(
    *tenant_ids: str, tier: str = "premium", clock: FakeClock | None = None
) -> AsyncIterator[WholeApp]:
    """Open the app for tenants who have nothing yet."""
    async with _with_tenants(tier, *tenant_ids).open(clock) as (app, _):
        yield app
