"""`ChatModel` on Azure OpenAI through the official client. Imported when first used: the SDK costs 0.5 s.

The client is asked with a plain body and for a plain answer, over aiohttp: its own models of both sides cost
three times the CPU. What this app reads of an answer is checked here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import httpx2
import openai
import pydantic
from azure.core.exceptions import AzureError
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.contracts import MOST_TOKENS, Usage
from shared.errors import (
    ConfigurationError,
    DependencyTimeoutError,
    DependencyUnavailableError,
    PromptRefusedError,
)
from shared.llm.chat_model import Completion, FilteredAnswerError, ModelUnavailableError, UnusableAnswerError
from shared.resilience.policy import Policy, Transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.llm.chat_model import ChatPrompt
    from shared.resilience.dependency import Dependency

POLICY = Policy(attempt_seconds=90, total_seconds=150, backoff_seconds=0.5)
"""An answer of ours may take 200 s at most."""

_CONNECT_SECONDS = 5.0
_PATH = "/chat/completions"
_MODELS_PATH = "/models"
_REASONING_MODEL = re.compile(r"(o\d|gpt-5(?!.*chat))", re.IGNORECASE)
_UNAUTHORISED = frozenset({401, 403})
_PROMPT_AT_FAULT = frozenset({400, 404, 413, 422})
_TRANSIENT = frozenset({408, 409, 429})
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_REFUSED_BEFORE_WORK = frozenset({401, 403, 404, 429})
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

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
            return Transient(_retry_after(error.response.headers), throttled=throttled)
        return None
    return Transient() if isinstance(error, openai.APIConnectionError) else None


class OpenAIChatModel:
    """Chat models of one Azure OpenAI resource.

    Args:
        client: The SDK's client, its retries off.
        dependency: The one layer that retries.
    """

    def __init__(self, client: openai.AsyncAzureOpenAI, dependency: Dependency) -> None:
        self._client = client
        self._dependency = dependency

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            PromptRefusedError: The model does not take it.
            ModelUnavailableError: No attempt used anything.
            UnusableAnswerError: The answer is no whole text.
            DependencyUnavailableError: It failed; tokens may have been used.
            DependencyTimeoutError: It did not answer in time; tokens may have been used.
        """
        return _completion(await self._ask(lambda: self._post(prompt), prompt.model))

    async def check(self) -> None:
        """Ask for the list of models: the cheapest call that proves that the resource answers this app."""
        await self._ask(lambda: self._client.get(_MODELS_PATH, cast_to=object))

    async def _post(self, prompt: ChatPrompt) -> object:
        return await self._client.post(_PATH, cast_to=object, body=_body(prompt))

    async def _ask(self, request: Callable[[], Awaitable[object]], deployment: str = "") -> object:
        work = _Work()
        try:
            return await self._dependency.call(lambda: work.attempt(request), deployment)
        except (DependencyUnavailableError, DependencyTimeoutError) as error:
            if work.possible:
                raise
            raise ModelUnavailableError(
                self._dependency.name, retry_after=error.retry_after or 1.0
            ) from error
        except openai.APIStatusError as error:
            raise _refusal(error, self._dependency.name) from error
        except AzureError as error:
            raise ModelUnavailableError(self._dependency.name, "did not get a credential") from error
        except (openai.OpenAIError, ValueError) as error:
            raise UnusableAnswerError("gave an answer that is not JSON", None) from error


@dataclass(slots=True)
class _Work:
    """Whether one of the attempts of a call may have made the model work, and be paid for."""

    possible: bool = False

    async def attempt(self, request: Callable[[], Awaitable[object]]) -> object:
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
            return error.status_code in _REFUSED_BEFORE_WORK
        case openai.APIConnectionError():
            return isinstance(error.__cause__, _NEVER_SENT)
        case _:
            return isinstance(error, AzureError)


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
    if prompt.user is not None:
        body["user"] = prompt.user
    return body


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Literal["stop", "length", "content_filter"]


class _Answer(BaseModel):
    """What is read of an answer; a cut one lacks something of it."""

    model_config = ConfigDict(hide_input_in_errors=True)  # the log gets the error, not what the model said

    model: str
    choices: list[_Choice] = Field(min_length=1)
    usage: Usage

    @field_validator("usage")
    @classmethod
    def _can_be_stored(cls, usage: Usage) -> Usage:
        if max(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) > MOST_TOKENS:
            raise ValueError("no call uses as much")
        return usage


def _completion(answer: object) -> Completion:
    try:
        read = _Answer.model_validate(answer)
    except pydantic.ValidationError as error:
        raise UnusableAnswerError("gave a malformed answer", None) from error
    choice = read.choices[0]
    if choice.finish_reason == "content_filter":
        raise FilteredAnswerError(read.usage)
    if not choice.message.content:
        raise UnusableAnswerError(f"gave no text (it finished by '{choice.finish_reason}')", read.usage)
    return Completion(_whole(choice.message.content), read.usage, read.model, choice.finish_reason)


def _whole(text: str) -> str:
    """Replace halves of characters, as a cut answer may end with: nothing could store or send them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _refusal(error: openai.APIStatusError, name: str) -> Exception:
    if error.status_code in _UNAUTHORISED:
        return ConfigurationError(["AZURE_OPENAI_API_KEY"])
    if error.status_code in _PROMPT_AT_FAULT:
        code = error.code or str(error.status_code)
        return PromptRefusedError(f"The model refused the prompt: {code}", {"code": code})
    return ModelUnavailableError(name, f"refused the request with {error.status_code}")


def _retry_after(headers: httpx2.Headers) -> float | None:
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):  # absent, or a date
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
