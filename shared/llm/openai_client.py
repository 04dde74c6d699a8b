"""`ChatModel` on Azure OpenAI through the official client. Imported when first used: the SDK costs 0.5 s.

The client is asked with a plain body and for a plain answer, over aiohttp: its own models of both sides cost
three times the CPU. What is read of an answer stands in `shared.llm.completion_parsing`.
"""

from __future__ import annotations

import re
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import httpx2
import openai
from azure.core.exceptions import AzureError

from shared.errors import APIError, ConfigurationError, DependencyTimeoutError, DependencyUnavailableError
from shared.llm.chat_model import (
    ModelNotFoundError,
    ModelOutageError,
    PromptRejectedError,
    UnusableAnswerError,
)
from shared.llm.completion_parsing import parse_completion
from shared.llm.errors import PromptRefusedError
from shared.llm.openai_stream import STREAM_BOUNDS, OpenedStream, StreamBounds
from shared.llm.retry_after import read_retry_after
from shared.logging.logger import get_logger
from shared.resilience.policy import Policy, Transient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from shared.llm.chat_model import AnswerStream, ChatPrompt, Completion
    from shared.resilience.dependency import Dependency

POLICY = Policy(attempt_seconds=90, total_seconds=150, backoff_seconds=0.5)
"""An answer of ours may take 200 s at most."""

_CONNECT_SECONDS = 5.0
_PATH = "/chat/completions"
_MODELS_PATH = "/models"
_UNCOMPRESSED = {"accept": "text/event-stream", "accept-encoding": "identity"}
"""Of a stream: whatever compresses it may keep parts back."""

_STREAMED: dict[str, object] = {"stream": True, "stream_options": {"include_usage": True}}
_REASONING_MODEL = re.compile(r"(o\d|gpt-5(?!.*chat))", re.IGNORECASE)
_UNAUTHORISED = frozenset({401, 403})
_PROMPT_AT_FAULT = frozenset({400, 404, 413, 422})
_TRANSIENT = frozenset({408, 409, 429})
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_NOT_FOUND = 404
_BAD_REQUEST = 400
_UNCERTAIN = frozenset({408, 409})
_PAID_REFUSALS = frozenset({"content_filter", "context_length_exceeded"})
"""Azure may charge for a 400 because of the content filter or of the input's length (its page of prices)."""

_MISSING_MODEL_CODES = frozenset({"DeploymentNotFound", "model_not_found", "404"})
_MOST_MODELS = 1_000
_LONGEST_NAME = 128
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

_logger = get_logger(__name__)

type Provider = Callable[[], Awaitable[str]]
"""Gives a bearer token."""


def open_client(
    endpoint: str,
    api_version: str,
    credential: str | Provider,
    http_client: httpx2.AsyncClient | None = None,
) -> openai.AsyncAzureOpenAI:
    """Open a client whose own retries are off.

    Args:
        endpoint: The resource's address, without `/openai`.
        api_version: The version of the REST interface.
        credential: A key, or what gives bearer tokens.
        http_client: What sends the requests; over aiohttp unless given.
    """
    timeout = openai.Timeout(POLICY.attempt_seconds, connect=_CONNECT_SECONDS)
    key = credential if isinstance(credential, str) else None
    return openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint,
        api_version=api_version,
        api_key=key,
        azure_ad_token_provider=None if isinstance(credential, str) else credential,
        max_retries=0,
        timeout=timeout,
        http_client=http_client or openai.DefaultAioHttpClient(timeout=timeout, follow_redirects=False),
    )


def classify(error: BaseException) -> Transient | None:
    """Tell which failures of the model another attempt may cure."""
    if isinstance(error, openai.APIStatusError):
        if error.status_code in _TRANSIENT or error.status_code >= _SERVER_ERRORS:
            throttled = error.status_code == _TOO_MANY_REQUESTS
            return Transient(
                read_retry_after(error.response.headers, throttled=throttled), throttled=throttled
            )
        return None
    return Transient() if isinstance(error, openai.APIConnectionError) else None


class OpenAIChatModel:
    """Chat models of one Azure OpenAI resource.

    Args:
        client: The SDK's client, its retries off.
        dependency: The one layer that retries.
        bounds: Bounds of a stream.
    """

    def __init__(
        self,
        client: openai.AsyncAzureOpenAI,
        dependency: Dependency,
        bounds: StreamBounds = STREAM_BOUNDS,
    ) -> None:
        self._client = client
        self._dependency = dependency
        self._bounds = bounds

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            ModelNotFoundError: The resource has no such model.
            PromptRejectedError: The model does not take it, and did no work.
            PromptRefusedError: The model does not take it.
            FilteredAnswerError: The provider's content filter stopped the answer.
            DeclinedAnswerError: The model declined to answer.
            ConfigurationError: The resource does not take this app's credential.
            ModelOutageError: No attempt used anything.
            UnusableAnswerError: The answer is no whole text.
            DependencyUnavailableError: It failed; tokens may have been used.
            DependencyTimeoutError: It did not answer in time; tokens may have been used.
        """
        return parse_completion(await self._request(lambda: self._post(prompt), prompt.model), prompt.model)

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer: tried again until its first bytes have come, then no more.

        Raises:
            APIError: On entering, as `complete` does; later, as `OpenedStream.read` does.
        """
        opened = await self._request(lambda: self._open(prompt), prompt.model)
        try:
            async with aclosing(opened.read(prompt, self._bounds)) as answer:
                yield answer
        finally:
            await opened.response.aclose()

    async def check(self) -> None:
        """Ask for the list of models: the cheapest call that proves that the resource answers this app.

        Raises:
            ConfigurationError: The resource does not take this app's credential.
            DependencyUnavailableError: It is down.
            DependencyTimeoutError: It did not answer in time.
        """
        await self._request(lambda: self._client.get(_MODELS_PATH, cast_to=object))

    async def _post(self, prompt: ChatPrompt) -> object:
        return await self._client.post(_PATH, cast_to=object, body=_body(prompt))

    async def _open(self, prompt: ChatPrompt) -> OpenedStream:
        stream = await self._client.post(
            _PATH,
            cast_to=object,
            body=_body(prompt) | _STREAMED,
            options={"headers": _UNCOMPRESSED},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        try:
            return await OpenedStream.of(stream.response)
        except httpx2.HTTPError as error:
            raise openai.APIConnectionError(request=stream.response.request) from error

    async def _request[T](self, request: Callable[[], Awaitable[T]], deployment: str = "") -> T:
        work = _Work()
        try:
            return await self._dependency.call(lambda: work.attempt(request), deployment)
        except (DependencyUnavailableError, DependencyTimeoutError) as error:
            if work.possible:
                raise
            raise ModelOutageError(self._dependency.name, retry_after=error.retry_after or 1.0) from error
        except openai.APIStatusError as error:
            refused = _refusal(error, self._dependency.name, worked=work.possible)
            is_missing = _is_missing_model(error) and not work.possible
        except AzureError as error:
            raise ModelOutageError(self._dependency.name, "did not get a credential") from error
        except (openai.OpenAIError, ValueError) as error:
            raise UnusableAnswerError("gave an answer that is not JSON", None) from error
        if is_missing and deployment:
            raise ModelNotFoundError(deployment, await self._list_models())
        raise refused

    async def _list_models(self) -> list[str]:
        """Return the names of the resource's models, as far as it tells: they only advise."""
        try:
            listing = await self._request(lambda: self._client.get(_MODELS_PATH, cast_to=object))
        except APIError as error:
            _logger.warning("The models could not be listed", extra={"error": type(error).__name__})
            return []
        return list(islice(_read_model_names(listing), _MOST_MODELS))


@dataclass(slots=True)
class _Work:
    """Whether one of the attempts of a call may have made the model work, and be paid for."""

    possible: bool = False

    async def attempt[T](self, request: Callable[[], Awaitable[T]]) -> T:
        before, self.possible = self.possible, True
        try:
            return await request()
        except (openai.APIError, AzureError) as error:
            if _did_no_work(error):
                self.possible = before
            raise


def _did_no_work(error: Exception) -> bool:
    match error:
        case openai.APIStatusError():
            return _is_refused_before_work(error)
        case openai.APIConnectionError():
            return isinstance(error.__cause__, _NEVER_SENT)
        case _:
            return isinstance(error, AzureError)


def _is_refused_before_work(error: openai.APIStatusError) -> bool:
    status = error.status_code
    is_refusal = _BAD_REQUEST <= status < _SERVER_ERRORS and status not in _UNCERTAIN
    return is_refusal and (status != _BAD_REQUEST or error.code not in _PAID_REFUSALS)


def _body(prompt: ChatPrompt) -> dict[str, object]:
    body: dict[str, object] = {
        "model": prompt.model,
        "messages": [message.model_dump() for message in prompt.messages],
    }
    if _REASONING_MODEL.match(prompt.model):
        body["max_completion_tokens"] = prompt.max_output_tokens  # and no temperature: they refuse any
    else:
        body["max_tokens"] = prompt.max_output_tokens
        if prompt.temperature is not None:
            body["temperature"] = prompt.temperature
    if prompt.reasoning_effort is not None:
        body["reasoning_effort"] = prompt.reasoning_effort
    if prompt.user is not None:
        body["user"] = prompt.user
    return body


def _refusal(error: openai.APIStatusError, name: str, *, worked: bool) -> APIError:
    """Turn a status that is not worth another attempt into the app's error.

    Args:
        error: The provider's answer.
        name: The dependency's.
        worked: Whether this attempt, or one before it, may have made the model work.
    """
    status = error.status_code
    if status in _PROMPT_AT_FAULT:
        code = error.code or str(status)
        kind = PromptRefusedError if worked else PromptRejectedError
        return kind(f"The model refused the prompt: {code}", {"code": code})
    reason = f"refused the request with {status}"
    if worked:
        return DependencyUnavailableError(name, reason)
    if status in _UNAUTHORISED:
        return ConfigurationError(["AZURE_OPENAI_API_KEY"])
    return ModelOutageError(name, reason)


def _is_missing_model(error: openai.APIStatusError) -> bool:
    return error.status_code == _NOT_FOUND and (not error.code or error.code in _MISSING_MODEL_CODES)


def _read_model_names(listing: object) -> Iterator[str]:
    """Read the names of chat models; what tells that it is none, or of no more use, is left out."""
    data = listing.get("data") if isinstance(listing, dict) else None
    for model in data if isinstance(data, list) else ():
        name = model.get("id") if isinstance(model, dict) else None
        capabilities = model.get("capabilities") if isinstance(model, dict) else None
        chats = not isinstance(capabilities, dict) or capabilities.get("chat_completion") is not False
        if chats and isinstance(name, str) and len(name) <= _LONGEST_NAME and name.isprintable():
            yield name
