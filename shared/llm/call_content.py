"""Content of model calls, for tenants that want it kept: a blob for each call, beside its record (ADR 60)."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import to_json

from shared.errors import APIError, DependencyUnavailableError
from shared.logging.context import logging_as
from shared.logging.logger import get_logger
from shared.resilience.background import background_work
from shared.resilience.deadlines import deadline
from shared.resilience.tasks import spawn
from shared.telemetry.spans import count_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from shared.clock import Clock
    from shared.llm.chat_model import ChatPrompt, Completion
    from shared.llm.model_call import ModelCallRecord
    from shared.tenancy.context import TenantContext

CONTAINER = "content"

MOST_BYTES = 1024 * 1024
"""The most that is kept of a call's messages, as JSON, and as much of its answer: what is newest of it."""

KEEP_SECONDS = 30.0
"""After this nothing more is tried: a purge waits for longer (`TENANT_PURGE_SETTLE_SECONDS`)."""

CLOSE_SECONDS = 5.0
"""For so long the end of a process waits for what is being written."""

MOST_AT_ONCE = 64
MOST_OF_A_TENANT = 16

MOST_OFFERED = 256
"""The most that wait to learn whether they are wanted, or to be written."""

_CUT_TO_CHARACTERS = 64 * 1024
_DIGEST_CHARACTERS = 32
_TIME = "%H%M%S%f"
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallContent:
    """Content of one call.

    Attributes:
        record: The call's record.
        prompt: What was asked.
        answer: The whole answer; None where there is none.
        said: What came of a streamed answer.
    """

    record: ModelCallRecord
    prompt: ChatPrompt
    answer: Completion | None
    said: str

    def encode(self) -> bytes:
        """Return it as JSON, bounded: the newest messages of the prompt, and the answers."""
        record = self.record
        messages, messages_left_out = _keep_newest(self._messages())
        answers, answers_left_out = _keep_newest(self._answers())
        return to_json(
            {
                "time": record.time,
                "request_id": record.request_id,
                "model": record.model,
                "deployment": record.deployment,
                "bot_id": record.bot_id,
                "conversation_id": record.conversation_id,
                "turn": record.turn,
                "job_id": record.job_id,
                "step": record.step,
                "status": record.status,
                "finish_reason": record.finish_reason,
                "messages": messages,
                "messages_left_out": messages_left_out,
                "answers": answers,
                "answers_left_out": answers_left_out,
            }
        )

    def _messages(self) -> Sequence[Mapping[str, Any]]:
        if self.prompt.passed is None:
            return [message.model_dump() for message in self.prompt.messages]
        return _objects_in(self.prompt.passed.fields.get("messages"))

    def _answers(self) -> Sequence[Mapping[str, Any]]:
        """Return what was answered: several where a request that was passed on asked for several."""
        if self.answer is not None and self.answer.answer is not None:
            return _objects_in([one.get("message") for one in _objects_in(self.answer.answer.get("choices"))])
        text = self.said if self.answer is None else self.answer.text or self.said
        return [{"role": "assistant", "content": text}] if text else []


class KeepsContent(Protocol):
    """Keeper of what calls said."""

    def offer(self, tenant: TenantContext, content: CallContent) -> None:
        """Take a content, to be kept where its tenant wants that."""
        ...


class WritesBlobs(Protocol):
    """Container of blobs, as far as contents are written to it."""

    async def write(self, name: str, content: bytes) -> None:
        """Store a content under a name, over whatever had it."""
        ...


@dataclass(frozen=True, slots=True)
class ContentPorts:
    """Ports of a keeper.

    Attributes:
        is_wanted: Tells whether a tenant has content kept.
        is_purged: Tells of a tenant's id whether nothing may be kept for it any more.
        open_blobs: Opens the container, when it is first needed.
    """

    is_wanted: Callable[[TenantContext], Awaitable[bool]]
    is_purged: Callable[[str], Awaitable[bool]]
    open_blobs: Callable[[], WritesBlobs]


class ContentKeeper:
    """Keeps contents beside the calls: no answer waits for it, or fails with it.

    Args:
        ports: What it asks and writes to.
        clock: Bounds a write.

    Attributes:
        failures: How many contents that were wanted were not kept.
    """

    def __init__(self, ports: ContentPorts, clock: Clock) -> None:
        self.failures = 0
        self._ports = ports
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: Counter[str] = Counter()

    def offer(self, tenant: TenantContext, content: CallContent) -> None:
        """Begin to keep a content, where its tenant wants that."""
        if len(self._tasks) >= MOST_OFFERED:
            self._note_failure(ContentNotTakenError.__name__)
            return
        # A context of its own: it outlives the request, and its deadline.
        task = spawn(self._keep(tenant, content), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait a moment for what is being kept; what is not by then is counted as lost."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in (left := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _keep(self, tenant: TenantContext, content: CallContent) -> None:
        with (
            logging_as(request_id=content.record.request_id, tenant_id=tenant.tenant_id),
            background_work(),
            deadline(KEEP_SECONDS, self._clock),
        ):
            try:
                if await self._ports.is_wanted(tenant):
                    await self._write(tenant, content)
            except asyncio.CancelledError:
                self._note_failure("ProcessEnded")
                raise
            except APIError as error:
                self._note_failure(type(error).__name__)
            except Exception as error:  # noqa: BLE001  # the edge of a task that nobody waits for
                self._note_failure(type(error).__name__)

    async def _write(self, tenant: TenantContext, content: CallContent) -> None:
        owner = tenant.tenant_id
        if self._writing[owner] >= MOST_OF_A_TENANT or self._writing.total() >= MOST_AT_ONCE:
            raise ContentNotTakenError
        self._writing[owner] += 1
        try:
            if await self._ports.is_purged(owner):
                return
            encoded = await asyncio.to_thread(content.encode)
            await self._ports.open_blobs().write(name_content(owner, content.record), encoded)
        finally:
            self._writing[owner] -= 1
            if not self._writing[owner]:
                del self._writing[owner]

    def _note_failure(self, reason: str) -> None:
        self.failures += 1
        facts = {"event": "content_not_kept", "error": reason, "count": self.failures}
        _logger.warning("The content of a model call was not kept", extra=facts)
        count_event("tenantry.content.not_kept", {"error": reason})


class ContentNotTakenError(DependencyUnavailableError):
    """More contents wait for the blob store than are held in memory."""

    def __init__(self) -> None:
        super().__init__("Blob Storage", "takes contents too slowly")


def name_content(owner: str, record: ModelCallRecord) -> str:
    """Return the name of a call's content; those of a request are together within a day, in order."""
    at = record.time
    return f"{prefix_of(owner, at, record.request_id or '')}{at.strftime(_TIME)}-{secrets.token_hex(4)}.json"


def prefix_of(owner: str, day: datetime, request_id: str) -> str:
    """Return what names of a request's contents of a day begin with; the id is a caller's, and no name."""
    digest = hashlib.sha256(request_id.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{owner}/{day.strftime('%Y-%m-%d')}/{digest}-"


def _objects_in(values: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON array."""
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _keep_newest(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
    """Return the last messages that fit, each with its texts cut, and how many are left out."""
    kept: list[Mapping[str, Any]] = []
    left = MOST_BYTES
    for message in reversed(messages):
        shown = _cut(message)
        left -= len(to_json(shown))
        if left < 0:
            break
        kept.append(shown)
    return kept[::-1], len(messages) - len(kept)


def _cut(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message that fits by itself: a long one, as with an image in it, as a text that is cut."""
    encoded = to_json(message)
    if len(encoded) <= _CUT_TO_CHARACTERS * 4:
        return message
    content = message.get("content")
    text = content if isinstance(content, str) else encoded.decode()
    return {"role": message.get("role"), "content": f"{text[:_CUT_TO_CHARACTERS]}…"}
