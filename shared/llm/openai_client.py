"""`ChatModel` on the deployments of a prompt's route. Imported when first used.

The official SDK costs 0.5 s. Its connections (over aiohttp) and its errors are used, and not the objects that
it makes of requests and answers: they cost twice the CPU of all the rest. What is read of an answer stands in
`shared.llm.completion_parsing`.
"""

from __future__ import annotations

import ssl
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, override

import httpx2
import openai

from shared.llm.bounded_answer import EVENT_STREAM, AnswerTooLongError, bound_answer
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
from shared.llm.passed_json import read_passed_json, write_passed_json
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


_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",  # what compresses may keep parts back, and unfolds without bound
    "content-type": "application/json",
    "user-agent": f"tenantry/{VERSION}",
}


class BareClient(openai.AsyncOpenAI):
    """The SDK's client without what it takes from the environment by itself: keys, organisation, headers."""

    @property
    @override
    def default_headers(self) -> dict[str, str | openai.Omit]:
        return {**_HEADERS}

    async def send(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str], *, stream: bool = False
    ) -> httpx2.Response:
        """Post a body once; the response has been read, unless it is a stream's.

        Raises:
            openai.APIStatusError: The answer is a refusal.
            openai.APITimeoutError: None came in time.
            openai.APIConnectionError: None came.
        """
        content = write_passed_json(body).encode()
        sent = {**_HEADERS, **headers}
        request = self._client.build_request("POST", url, content=content, headers=sent, timeout=self.timeout)
        try:
            response = await self._client.send(request, stream=stream)
            if stream and not response.is_success:
                await response.aread()
        except httpx2.TimeoutException as error:
            raise openai.APITimeoutError(request=request) from error
        except (httpx2.RequestError, ssl.SSLError, AnswerTooLongError) as error:
            raise openai.APIConnectionError(request=request) from error
        if not response.is_success:
            raise self._make_status_error_from_response(response)
        return response


def open_client(http_client: httpx2.AsyncClient | None = None) -> BareClient:
    """Open a client for any address, whose own retries are off, and which sends no credential by itself.

    Args:
        http_client: What sends the requests; over aiohttp unless given.
    """
    timeout = openai.Timeout(POLICY.attempt_seconds, connect=_CONNECT_SECONDS)
    http_client = http_client or openai.DefaultAioHttpClient(timeout=timeout, follow_redirects=False)
    http_client.event_hooks = {"request": [], "response": [bound_answer]}
    return BareClient(
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
        client: BareClient,
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
            options = _request_options(await self._access.own_headers())
            return await self._client.get(self._access.models_url(), cast_to=object, options=options)

        work = CallWork()
        try:
            await self._dependencies.own.call(lambda: work.attempt(ask))
        except CALL_ERRORS as error:
            raise translate_failure(error, work, "") from describe_failure(error, work)

    async def _post(self, prompt: ChatPrompt, deployment: ModelDeployment) -> object:
        headers, body = await self._access.headers(deployment), build_chat_body(prompt, deployment)
        response = await self._client.send(self._access.chat_url(deployment), body, headers)
        return read_answer(response.content)

    async def _open(self, prompt: ChatPrompt, deployment: ModelDeployment) -> OpenedStream:
        headers, body = await self._access.headers(deployment), build_streamed_body(prompt, deployment)
        response = await self._client.send(
            self._access.chat_url(deployment), body, headers | _EVENTS, stream=True
        )
        try:
            return await OpenedStream.of(response)
        except httpx2.HTTPError as error:
            raise openai.APIConnectionError(request=response.request) from error

    async def _read(
        self, opened: OpenedStream, prompt: ChatPrompt, deployment: ModelDeployment
    ) -> AsyncGenerator[str | Completion]:
        async with aclosing(opened.read(prompt, self._bounds)) as parts:
            async for part in parts:
                yield replace(part, deployment=deployment.name) if isinstance(part, Completion) else part


def read_answer(content: bytes) -> object:
    """Read a whole answer.

    Raises:
        ValueError: It is not JSON, or is nested too deep.
    """
    try:
        return read_passed_json(content)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _request_options(headers: Mapping[str, str]) -> openai.RequestOptions:
    """Build the options of a request with these headers: without a credential the SDK sends an empty one."""
    return {"headers": {"Authorization": openai.Omit(), **headers}}
