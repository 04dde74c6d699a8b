"""`ChatModel` on the deployments of a prompt's route. Imported when first used.

What is read of an answer stands in `shared.llm.completion_parsing`.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

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
from shared.llm.passed_json import read_passed_json
from shared.llm.request_body import build_chat_body, build_streamed_body
from shared.llm.route_asker import RouteAsker
from shared.resilience.policy import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from shared.llm.chat_model import AnswerStream, ChatPrompt
    from shared.llm.deployment_access import DeploymentAccess
    from shared.llm.deployments import ModelDeployment
    from shared.llm.model_dependencies import ModelDependencies
    from shared.llm.provider_http import ProviderHttp

POLICY = Policy(attempt_seconds=90, total_seconds=150, backoff_seconds=0.5)
"""An answer of ours may take 200 s at most."""


class OpenAIChatModel:
    """Chat models of all deployments.

    The deployments of a prompt's route are asked as `RouteAsker` does.

    Args:
        http: Asks providers.
        access: Where deployments are, and what each is sent.
        dependencies: The one layer that retries, with a breaker for each deployment.
        bounds: Bounds of a stream.
    """

    def __init__(
        self,
        http: ProviderHttp,
        access: DeploymentAccess,
        dependencies: ModelDependencies,
        bounds: StreamBounds = STREAM_BOUNDS,
    ) -> None:
        self._http = http
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
            await opened.answer.close()

    async def check(self) -> None:
        """Ask the own resource for its models: the cheapest call that proves that it answers this app.

        Raises:
            ConfigurationError: The resource does not take this app's credential.
            DependencyUnavailableError: It is down.
            DependencyTimeoutError: It did not answer in time.
        """

        async def ask() -> bytes:
            return await self._http.get(self._access.models_url(), await self._access.own_headers())

        work = CallWork()
        try:
            await self._dependencies.own.call(lambda: work.attempt(ask))
        except CALL_ERRORS as error:
            raise translate_failure(error, work, "") from describe_failure(error, work)

    async def _post(self, prompt: ChatPrompt, deployment: ModelDeployment) -> object:
        headers, body = await self._access.headers(deployment), build_chat_body(prompt, deployment)
        return read_answer(await self._http.post(self._access.chat_url(deployment), body, headers))

    async def _open(self, prompt: ChatPrompt, deployment: ModelDeployment) -> OpenedStream:
        headers, body = await self._access.headers(deployment), build_streamed_body(prompt, deployment)
        return await OpenedStream.of(
            await self._http.open_stream(self._access.chat_url(deployment), body, headers)
        )

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
