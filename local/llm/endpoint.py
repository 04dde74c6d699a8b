"""The endpoint behind its routes: one request in, one answer, stream or refusal out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from local.llm import wire
from local.llm.answer import Answer, count_prompt, cut_and_count
from local.llm.deployments import Deployments
from local.llm.errors import RefusedError
from local.llm.limits import Limits
from local.llm.request import ChatRequest, read_body, read_request
from local.llm.script import Fault, Faults, Scripts
from local.llm.served import Served
from local.llm.speech import speak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from local.llm.script import ScriptedAnswer

type Sleep = Callable[[float], Awaitable[None]]

_EVENTS = "text/event-stream"
_NO_FAULT = Fault.model_construct()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: its body, the deployment that its path names, and how to cut its connection."""

    content: bytes
    abort: Callable[[], None]
    deployment: str | None = None

    @property
    def azure(self) -> bool:
        """Tell whether it came on Azure's path."""
        return self.deployment is not None


class Endpoint:
    """Answers requests for chat completions.

    Args:
        wall_clock: Seconds since the epoch.
        clock: Seconds that only grow, for the limits.
        sleep: How delays are waited.
    """

    def __init__(
        self, wall_clock: Callable[[], float], clock: Callable[[], float], sleep: Sleep = asyncio.sleep
    ) -> None:
        self.scripts = Scripts()
        self.faults = Faults()
        self.limits = Limits(clock)
        self.served = Served()
        self.deployments = Deployments()
        self._wall_clock = wall_clock
        self._sleep = sleep

    async def chat(self, asked: Asked) -> Response:
        """Answer a request for a completion; refusals are answers as well."""
        try:
            return await self._chat(asked)
        except RefusedError as error:
            self.served.refuse(error.status)
            return JSONResponse(
                error.body(azure=asked.azure), status_code=error.status, headers=dict(error.headers)
            )

    async def _chat(self, asked: Asked) -> Response:
        body = read_body(asked.content)
        model, family = self.deployments.find(asked.deployment or body.get("model"))
        request = read_request(body, model, family)
        prompt_tokens = count_prompt(request)
        if prompt_tokens + (request.limit or 0) > family.context:
            raise _too_long(request, prompt_tokens)
        fault = self.faults.hit(request) or _NO_FAULT
        if fault.delay_ms:
            await self._sleep(fault.delay_ms / 1000)
        if fault.drop:
            asked.abort()
            return Response(status_code=500)  # which nobody reads any more
        if fault.status is not None:
            raise _asked_for(fault.status, fault.retry_after_ms)
        headers = self.limits.admit(model, prompt_tokens + (request.limit or 0))
        scripted = self.scripts.take(request)
        if scripted is not None and scripted.filtered_prompt:
            raise _filtered_prompt()
        speech = speak(request) if scripted is None else scripted.speech()
        answer = cut_and_count(request, speech, prompt_tokens)
        self.served.count(request, answer)
        return self._told(asked, _Telling(request, answer, scripted, fault), headers)

    def _told(self, asked: Asked, telling: _Telling, headers: Mapping[str, str]) -> Response:
        head = wire.Letterhead(telling.request.model, int(self._wall_clock()), asked.azure)
        if telling.request.stream:
            events = self._events(asked, telling, telling.events(head))
            return StreamingResponse(events, media_type=_EVENTS, headers=dict(headers))
        content = telling.content(head)
        if telling.fault.drop_after is not None:
            half = self._halved(asked, content)
            more = {"content-length": str(len(content))}
            return StreamingResponse(half, media_type="application/json", headers={**headers, **more})
        return Response(content, media_type="application/json", headers=dict(headers))

    async def _events(self, asked: Asked, telling: _Telling, events: list[str]) -> AsyncIterator[str]:
        fault = telling.fault
        for index, event in enumerate(events):
            if index == fault.drop_after:
                asked.abort()
                return
            if index == fault.truncate_after:
                return
            if fault.piece_delay_ms:
                await self._sleep(fault.piece_delay_ms / 1000)
            yield event

    @staticmethod
    async def _halved(asked: Asked, content: bytes) -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        asked.abort()


@dataclass(frozen=True, slots=True)
class _Telling:
    """An answer that is about to be told, with what a test wants of it."""

    request: ChatRequest
    answer: Answer
    scripted: ScriptedAnswer | None
    fault: Fault

    def usage(self) -> Mapping[str, Any]:
        """Give what is reported, which a fault may have be wrong."""
        return wire.usage_of(self.answer) if self.fault.usage is None else self.fault.usage

    def content(self, head: wire.Letterhead) -> bytes:
        """Write a whole answer."""
        if self.scripted is not None and self.scripted.body is not None:
            body = self.scripted.body
        else:
            body = wire.completion(head, self.answer, self.usage())
        return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()

    def events(self, head: wire.Letterhead) -> list[str]:
        """Write a stream's events."""
        if self.scripted is not None and self.scripted.events is not None:
            return [wire.event(data) for data in self.scripted.events]
        usage = self.usage() if self.request.with_usage else None
        return [
            *(wire.event(chunk) for chunk in wire.chunks(head, self.answer, usage)),
            wire.event(wire.DONE),
        ]


def _too_long(request: ChatRequest, prompt_tokens: int) -> RefusedError:
    most = request.family.context
    wanted = f"you requested {prompt_tokens + (request.limit or 0)} tokens ({prompt_tokens} in the messages, "
    return RefusedError(
        f"This model's maximum context length is {most} tokens. However, {wanted}{request.limit or 0} in the "
        "completion). Please reduce the length of the messages or completion.",
        "messages",
        "context_length_exceeded",
    )


def _asked_for(status: int, retry_after_ms: int | None) -> RefusedError:
    """Build the error of a fault."""
    headers = {}
    if retry_after_ms is not None:
        headers = {"retry-after-ms": str(retry_after_ms), "retry-after": str(-(-retry_after_ms // 1000))}
    kind, code = {429: ("requests", "rate_limit_exceeded")}.get(status, ("server_error", None))
    message = f"The server answers {status}, as it was told to."
    azure = {"code": str(status), "message": message}
    return RefusedError(message, None, code, status=status, kind=kind, headers=headers, azure=azure)


def _filtered_prompt() -> RefusedError:
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please "
        "modify your prompt and retry."
    )
    found = {"hate": {"filtered": True, "severity": "high"}}
    azure = {
        "message": message,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found},
    }
    return RefusedError(message, "prompt", "content_filter", azure=azure)
