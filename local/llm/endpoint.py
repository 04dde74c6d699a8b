"""The endpoint behind its routes: one request in, one answer, stream or refusal out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, override

from starlette.responses import JSONResponse, Response, StreamingResponse

from local.llm import responses_wire, wire
from local.llm.answer import Answer, count_prompt, cut_and_count
from local.llm.deployments import Deployments
from local.llm.embeddings import read_embedding_request, usage_of, write_embeddings
from local.llm.errors import RefusedError
from local.llm.keys import Keys
from local.llm.limits import Limits
from local.llm.prompt_cache import PromptCache
from local.llm.releases import Releases
from local.llm.request import ChatRequest, read_body, read_request
from local.llm.responses_request import read_response_request
from local.llm.script import Fault, Faults, Scripts
from local.llm.served import Count, Served
from local.llm.speech import speak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from local.llm.script import Asking, ScriptedAnswer

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


@dataclass(frozen=True, slots=True)
class Manners:
    """Behaviour of the endpoint until it is told otherwise.

    Attributes:
        accepted_keys: The only keys that it takes; none of them for any.
        dated_releases: Whether an answer names the release behind the model that was asked.
    """

    accepted_keys: tuple[str, ...] = ()
    dated_releases: bool = False


MANNERS = Manners()


class Endpoint:
    """Answers requests for chat completions, responses and embeddings.

    Args:
        wall_clock: Seconds since the epoch.
        clock: Seconds that only grow, for the limits.
        sleep: How delays are waited.
        manners: How it behaves until it is told otherwise.
    """

    def __init__(
        self,
        wall_clock: Callable[[], float],
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        manners: Manners = MANNERS,
    ) -> None:
        self.keys = Keys(manners.accepted_keys)
        self.releases = Releases(dated=manners.dated_releases)
        self.scripts = Scripts()
        self.faults = Faults()
        self.limits = Limits(clock)
        self.served = Served()
        self.prompt_cache = PromptCache(clock)
        self.deployments = Deployments()
        self._wall_clock = wall_clock
        self._sleep = sleep

    async def chat(self, asked: Asked) -> Response:
        """Answer a request for a completion; refusals are answers as well."""
        return await self._answer(asked, self._chat)

    async def respond(self, asked: Asked) -> Response:
        """Answer a request for a response; refusals are answers as well."""
        return await self._answer(asked, self._respond)

    async def embed(self, asked: Asked) -> Response:
        """Answer a request for embeddings; refusals are answers as well."""
        return await self._answer(asked, self._embed)

    async def _answer(self, asked: Asked, answer: Callable[[Asked], Awaitable[Response]]) -> Response:
        try:
            return await answer(asked)
        except RefusedError as error:
            self.served.refuse(error.status)
            return JSONResponse(
                error.body(azure=asked.azure), status_code=error.status, headers=dict(error.headers)
            )

    async def _fail(self, asked: Asked, request: Asking) -> tuple[Fault, bool]:
        """Do what a fault wants before anything is served; tell the fault, and whether the client is cut off.

        Raises:
            RefusedError: The fault's.
        """
        fault = self.faults.hit(request) or _NO_FAULT
        if fault.delay_ms:
            await self._sleep(fault.delay_ms / 1000)
        if fault.drop:
            asked.abort()
        elif fault.status is not None:
            raise _asked_for(fault.status, fault.retry_after_ms)
        return fault, fault.drop

    async def _embed(self, asked: Asked) -> Response:
        body = read_body(asked.content)
        model, family = self.deployments.find_embedding(asked.deployment or body.get("model"))
        request = read_embedding_request(body, model, family)
        fault, is_cut_off = await self._fail(asked, request)
        if is_cut_off:
            return Response(status_code=500)  # which nobody reads any more
        headers = self.limits.admit(model, request.prompt_tokens)
        usage = usage_of(request) if fault.usage is None else fault.usage
        self.served.count(request, Count(1, request.prompt_tokens))
        # In a thread, because a batch may take a second.
        written = await asyncio.to_thread(write_embeddings, request, self.releases.reported(model), usage)
        return self._tell_whole(asked, json.dumps(written).encode(), fault, headers)

    async def _chat(self, asked: Asked) -> Response:
        body = read_body(asked.content)
        model, family = self.deployments.find(asked.deployment or body.get("model"))
        return await self._converse(asked, read_request(body, model, family), _Telling)

    async def _respond(self, asked: Asked) -> Response:
        body = read_body(asked.content)
        model, family = self.deployments.find(asked.deployment or body.get("model"))
        request = read_response_request(body, model, family)
        return await self._converse(asked, request.chat, partial(_ResponseTelling, echoed=request.echoed))

    async def _converse(self, asked: Asked, request: ChatRequest, tell: Callable[..., _Telling]) -> Response:
        prompt_tokens = count_prompt(request)
        if prompt_tokens + (request.limit or 0) > request.family.context:
            raise _too_long(request, prompt_tokens)
        fault, is_cut_off = await self._fail(asked, request)
        if is_cut_off:
            return Response(status_code=500)  # which nobody reads any more
        headers = self.limits.admit(request.model, prompt_tokens + (request.limit or 0))
        scripted = self.scripts.take(request)
        if scripted is not None and scripted.filtered_prompt:
            raise _filtered_prompt()
        speech = speak(request) if scripted is None else scripted.speech()
        answer = cut_and_count(
            request, speech, prompt_tokens, self.prompt_cache.count_cached(request, prompt_tokens)
        )
        self.served.count(request, _count_of(answer))
        return self._told(asked, tell(request, answer, scripted, fault), headers)

    def _told(self, asked: Asked, telling: _Telling, headers: Mapping[str, str]) -> Response:
        head = wire.Letterhead(
            self.releases.reported(telling.request.model), int(self._wall_clock()), asked.azure
        )
        if telling.request.stream:
            events = self._events(asked, telling, telling.events(head))
            return StreamingResponse(events, media_type=_EVENTS, headers=dict(headers))
        return self._tell_whole(asked, telling.content(head), telling.fault, headers)

    def _tell_whole(self, asked: Asked, content: bytes, fault: Fault, headers: Mapping[str, str]) -> Response:
        if fault.drop_after is None:
            return Response(content, media_type="application/json", headers=dict(headers))
        half = self._halved(asked, content)
        more = {"content-length": str(len(content))}
        return StreamingResponse(half, media_type="application/json", headers={**headers, **more})

    async def _events(self, asked: Asked, telling: _Telling, events: list[str]) -> AsyncIterator[str]:
        fault = telling.fault
        try:
            for index, event in enumerate(events):
                if index == fault.drop_after:
                    asked.abort()
                    return
                if index == fault.truncate_after:
                    return
                if fault.piece_delay_ms:
                    await self._sleep(fault.piece_delay_ms / 1000)
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.served.leave(self._wall_clock())
            raise

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
        return self._write(body)

    @staticmethod
    def _write(body: object) -> bytes:
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


@dataclass(frozen=True, slots=True)
class _ResponseTelling(_Telling):
    """The same of a response; `echoed` is what it repeats of its request."""

    echoed: Mapping[str, Any] = field(default_factory=dict)

    @override
    def usage(self) -> Mapping[str, Any]:
        return responses_wire.usage_of(self.answer) if self.fault.usage is None else self.fault.usage

    @override
    def content(self, head: wire.Letterhead) -> bytes:
        if self.scripted is not None and self.scripted.body is not None:
            return self._write(self.scripted.body)
        return self._write(responses_wire.response(head, self.answer, self.usage(), self.echoed))

    @override
    def events(self, head: wire.Letterhead) -> list[str]:
        if self.scripted is not None and self.scripted.events is not None:
            return [wire.event(data) for data in self.scripted.events]
        return list(responses_wire.events(head, self.answer, self.usage(), self.echoed))


def _count_of(answer: Answer) -> Count:
    return Count(
        1, answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens, answer.reasoning_tokens
    )


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
