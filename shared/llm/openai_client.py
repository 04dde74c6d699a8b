"""`ChatModel` on the deployments of a prompt's route. Imported when first used.

The official SDK costs 0.5 s. It is asked with a plain body and for a plain answer, over aiohttp: its own
models of both sides cost three times the CPU. What is read of an answer stands in
`shared.llm.completion_parsing`.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, override

import httpx2
import openai

from shared.llm.bounded_answer import EVENT_STREAM, bound_answer
from shared.llm.chat_model import Completion
from shared.llm.completion_parsing import parse_completion
from shared.llm.model_failures import (
    CALL_ERRORS,
    CallWork,
    describe_failure,
    translate_failure,
)
from shared.llm.openai_stream import STREAM_BOUNDS, OpenedStream, StreamBounds
from shared.llm.passed_answer import parse_passed_answer
from shared.llm.request_body import build_chat_body, build_streamed_body
from shared.llm.route_asker import RouteAsker
from shared.resilience.policy import Policy
from shared.version import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from shared.llm.chat_model import AnswerStream, ChatPrompt
    from shared.llm.deployment_access import DeploymentAccess
    from shared.llm.deployments import ModelDeployment
    from shared.llm.model_dependencies import ModelDependencies

POLICY = Policy(attempt_seconds=90, total_seconds=150, backoff_seconds=0.5)
"""An answer of ours may take 200 s at most."""

_CONNECT_SECONDS = 5.0
_EVENTS = {"accept": EVENT_STREAM}


class _BareClient(openai.AsyncOpenAI):
    """The SDK's client without what it takes from the environment by itself: keys, organisation, headers."""

    @property
    @override
    def default_headers(self) -> dict[str, str | openai.Omit]:
        return {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # what compresses may keep parts back, and unfolds without bound
            "Content-Type": "application/json",
            "User-Agent": f"tenantry/{VERSION}",
        }


def open_client(http_client: httpx2.AsyncClient | None = None) -> openai.AsyncOpenAI:
    """Open a client for any address, whose own retries are off, and which sends no credential by itself.

    Args:
        http_client: What sends the requests; over aiohttp unless given.
    """
    timeout = openai.Timeout(POLICY.attempt_seconds, connect=_CONNECT_SECONDS)
    http_client = http_client or openai.DefaultAioHttpClient(timeout=timeout, follow_redirects=False)
    http_client.event_hooks = {"request": [], "response": [bound_answer]}
    return _BareClient(
        api_key="",
        admin_api_key="",
        base_url="https://each.request.names.its.own.invalid",
        max_retries=0,
        timeout=timeout,
        http_client=http_client,
    )


class OpenAIChatModel:
    """Chat models of all deployments.

    The deployments of a prompt's route are asked as `RouteAsker` does.

    Args:
        client: The SDK's client.
        access: Where deployments are, and what each is sent.
        dependencies: The one layer that retries, with a breaker for each deployment.
        bounds: Bounds of a stream.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        access: DeploymentAccess,
        dependencies: ModelDependencies,
        bounds: StreamBounds = STREAM_BOUNDS,
    ) -> None:
        self._client = client
        self._access = access
        self._dependencies = dependencies
        self._asker = RouteAsker(dependencies)
        self._bounds = bounds

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            ModelUnavailableError: No deployment of the route is there any more.
            PromptRejectedError: The model does not take it, and did no work.
            PromptRefusedError: The model does not take it.
            FilteredPromptError: The provider's content filter does not take it.
            FilteredAnswerError: The provider's content filter stopped the answer.
            DeclinedAnswerError: The model declined to answer.
            OutputLimitReachedError: Its output limit was used before any text.
            ConfigurationError: A deployment does not take this app's credential.
            ModelOutageError: No attempt used anything.
            UnusableAnswerError: The answer is no whole text.
            DependencyUnavailableError: It failed; tokens may have been used.
            DependencyTimeoutError: It did not answer in time; tokens may have been used.
        """
        answer, deployment = await self._asker.ask(prompt, lambda one: self._post(prompt, one))
        parse = parse_completion if prompt.passed is None else parse_passed_answer
        completion = parse(answer, deployment.deployment)
        return replace(completion, deployment=deployment.name)

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer: tried again until its first bytes have come, then no more.

        Raises:
            APIError: On entering, as `complete` does; later, as `OpenedStream.read` does.
        """
        opened, deployment = await self._asker.ask(prompt, lambda one: self._open(prompt, one))
        try:
            async with aclosing(self._read(opened, prompt, deployment)) as answer:
                yield answer
        finally:
            await opened.response.aclose()

    async def check(self) -> None:
        """Ask the own resource for its models: the cheapest call that proves that it answers this app.

        Raises:
            ConfigurationError: The resource does not take this app's credential.
            DependencyUnavailableError: It is down.
            DependencyTimeoutError: It did not answer in time.
        """

        async def ask() -> object:
            options = request_options(await self._access.own_headers())
            return await self._client.get(self._access.models_url(), cast_to=object, options=options)

        work = CallWork()
        try:
            await self._dependencies.own.call(lambda: work.attempt(ask))
        except CALL_ERRORS as error:
            raise translate_failure(error, work, "") from describe_failure(error, work)

    async def _post(self, prompt: ChatPrompt, deployment: ModelDeployment) -> object:
        options = request_options(await self._access.headers(deployment))
        body = build_chat_body(prompt, deployment)
        return await self._client.post(
            self._access.chat_url(deployment), cast_to=object, body=body, options=options
        )

    async def _open(self, prompt: ChatPrompt, deployment: ModelDeployment) -> OpenedStream:
        options = request_options(await self._access.headers(deployment) | _EVENTS)
        stream = await self._client.post(
            self._access.chat_url(deployment),
            cast_to=object,
            body=build_streamed_body(prompt, deployment),
            options=options,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        try:
            return await OpenedStream.of(stream.response)
        except httpx2.HTTPError as error:
            raise openai.APIConnectionError(request=stream.response.request) from error

    async def _read(
        self, opened: OpenedStream, prompt: ChatPrompt, deployment: ModelDeployment
    ) -> AsyncGenerator[str | Completion]:
        async with aclosing(opened.read(prompt, self._bounds)) as parts:
            async for part in parts:
                yield replace(part, deployment=deployment.name) if isinstance(part, Completion) else part


def request_options(headers: Mapping[str, str]) -> openai.RequestOptions:
    """Build the options of a request with these headers: without a credential the SDK sends an empty one."""
    return {"headers": {"Authorization": openai.Omit(), **headers}}
