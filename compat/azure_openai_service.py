"""`AzureOpenAIService` with the call shapes of the common library document.

It is a thin facade over the app's own models: what may be called is in the catalogue, and each call is taken
out of a token budget. Inside a request the tenant is the request's own.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Self

from openai.types.chat import ChatCompletion
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from compat.token_counter import RequestTokenClient, TokenCounterBudget
from shared.contracts import ChatMessage
from shared.llm.chat_model import ChatPrompt, Sampling
from shared.llm.deployments import MOST_TOKENS_OF_A_MODEL, ModelName
from shared.logging.context import logging_as
from shared.prompts.rendering import render_prompt
from shared.prompts.stored_models import PromptContent
from shared.prompts.templates import variables_of
from shared.runtime import process_runtime
from shared.tenancy.context import tenant_caller
from shared.validation import validate_input
from tenantry_client.token_limit_retry import with_token_limit_retry
from tenantry_client.token_models import AppId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from shared.llm.chat_model import Completion
    from shared.runtime import Runtime
    from shared.tenancy.context import TenantContext
    from tenantry_client.token_client import TokenClient

MOST_MESSAGES = 10_000

_APP_ID: TypeAdapter[str] = TypeAdapter(AppId)


def _as_list(stop: object) -> object:
    return (stop,) if isinstance(stop, str) else stop


type _StopText = Annotated[str, Field(min_length=1, max_length=1_000)]


class CompletionCall(BaseModel):
    """Arguments of a call, within the bounds that OpenAI has for them.

    Attributes:
        messages: The conversation, oldest first, each with `role` and `content`.
        model: The model's name in the catalogue.
        temperature: How freely it answers; the model's own where None, as of all below.
        max_tokens: The most tokens of the answer; the catalogue's default where None.
        top_p: The share of likely words to choose from.
        frequency_penalty: How much words that were said often are avoided.
        presence_penalty: How much words that were said at all are avoided.
        stop: A text, or up to four, before which the answer ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    messages: tuple[ChatMessage, ...] = Field(min_length=1, max_length=MOST_MESSAGES)
    model: ModelName
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS_OF_A_MODEL)
    top_p: float | None = Field(None, ge=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop: Annotated[tuple[_StopText, ...], BeforeValidator(_as_list)] = Field((), max_length=4)

    def build_prompt(self, user_id: str | None) -> ChatPrompt:
        """Build the prompt that a model is asked with, for a user where there is one."""
        sampling = Sampling(self.top_p, self.frequency_penalty, self.presence_penalty, self.stop)
        return ChatPrompt(
            messages=self.messages,
            model=self.model,
            max_output_tokens=self.max_tokens,
            temperature=self.temperature,
            user=user_id,
            sampling=sampling,
        )


class AzureOpenAIService:
    """Chat models for one application of a tenant, within a token budget.

    A call is estimated, locked, made and reported: its lock is given back where it certainly used nothing.
    Attempts, fallbacks, credentials and API versions are the catalogue's.

    Args:
        model: The model of calls that name none, by its name in the catalogue; without it the deployment's
            `AZURE_OPENAI_MODEL`.
        app_id: The application that calls; usage is kept by it.
        token_counter_url: Where another token counter is served, in the place of this app's own ledger. It
            is sent the key in `TOKEN_COUNTER_KEY`, whose tenant pays.
        token_counter_resource_uri: The application that Azure AD issues tokens for, in the place of that key.
        tenant_id: The tenant, where no request has one. Inside of a request no other can be named.
        runtime: The composition root; the process's own unless another one is given.

    Raises:
        ValidationError: The application's id is none.
        ValueError: A resource is named, and no counter.
    """

    def __init__(  # noqa: PLR0913  # the document's signature, and two that it has no need of
        self,
        model: str | None = None,
        app_id: str = "default_app",
        token_counter_url: str | None = None,
        token_counter_resource_uri: str | None = None,
        *,
        tenant_id: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        if token_counter_url is None and token_counter_resource_uri is not None:
            raise ValueError("token_counter_resource_uri needs the token_counter_url that it is for")
        self._app_id = validate_input(lambda: _APP_ID.validate_python(app_id), "application", "app_id")
        self._runtime = runtime or process_runtime()
        self._model = model
        self._tenant_id = tenant_id
        self._counter: TokenClient | None = None
        if token_counter_url is not None:
            uri = token_counter_resource_uri
            self._counter = RequestTokenClient(app_id, token_counter_url, uri, use_auth=uri is not None)

    async def chat_completion(  # noqa: PLR0913, PLR0917  # the document's signature
        self,
        messages: Sequence[Mapping[str, object]],
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        top_p: float | None = None,
        frequency_penalty: float | None = None,
        presence_penalty: float | None = None,
        stop: str | Sequence[str] | None = None,
    ) -> ChatCompletion:
        """Answer a conversation, in the shape of OpenAI's own client; `CompletionCall` has the arguments.

        Raises:
            ValueError: There is no tenant, or another one than the request's is named.
            TenantNotFoundError: The tenant that is named is none, or suspended.
            ValidationError: An argument is at fault; `detail` names it.
            ModelUnavailableError: The tenant may use no such model.
            PromptTooLongError: No budget of the tenant ever admits it.
            BudgetExceededError: The budget does not admit it now; `retry_after` says when.
            APIError: The model's own errors; see `ChatModel.complete`.
        """
        call = self._read_call(
            messages=messages,
            model=model,
            temperature=temperature,
            max_tokens=max_tokens,
            top_p=top_p,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            stop=stop or (),
        )
        completion = await self._complete(await self._find_tenant(), call)
        return _render(completion, self._runtime.clock.now())

    def format_prompt(
        self,
        system_prompt: str,
        user_prompt: str,
        variables: Mapping[str, object] | None = None,
        examples: Sequence[Mapping[str, str]] | None = None,
    ) -> list[dict[str, str]]:
        """Return the messages of a call: the system prompt, the examples, and the user prompt filled in.

        Args:
            system_prompt: The instructions, in which braces are braces; none where it is empty.
            user_prompt: The template, as those of prompts are written: `{name}` is a variable, `{{` a brace.
                A value is never read as a template again, and no format or attribute is taken.
            variables: The variables' values; those that the template does not name are left out.
            examples: Messages of a conversation that went well, each with `role` and `content`.

        Raises:
            ValidationError: A variable has no value, a brace is none of a variable's, or a message is none.
        """
        names = set(variables_of(user_prompt, "user_prompt"))
        values = {name: str(value) for name, value in (variables or {}).items() if name in names}
        text = render_prompt(PromptContent(template=user_prompt), values).text
        system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        messages = [*system, *(examples or ()), {"role": "user", "content": text}]
        return [message.model_dump() for message in self._read_call(messages=messages).messages]

    async def send_prompt(  # noqa: PLR0913, PLR0917  # the document's signature
        self,
        system_prompt: str,
        user_prompt: str,
        variables: Mapping[str, object] | None = None,
        examples: Sequence[Mapping[str, str]] | None = None,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> str:
        """Answer a prompt with a text; where the budget does not admit it now, wait for that up to twice.

        Raises:
            ValueError: There is no tenant, or another one than the request's is named.
            ValidationError: As of `format_prompt` and `chat_completion`.
            BudgetExceededError: Waiting did not help, or would take longer than two minutes or the request.
            APIError: As of `chat_completion`.
        """
        messages = self.format_prompt(system_prompt, user_prompt, variables, examples)
        call = self._read_call(messages=messages, model=model, temperature=temperature, max_tokens=max_tokens)
        tenant = await self._find_tenant()
        counter = self._counter or self._runtime.token_client(self._app_id, tenant)
        completion = await with_token_limit_retry(lambda: self._complete(tenant, call), counter)
        return completion.text

    async def estimate_tokens(
        self,
        messages: Sequence[Mapping[str, object]],
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> int:
        """Return the tokens that a call is locked for: its prompt's, and its whole output limit.

        Raises:
            ValueError: There is no tenant, or another one than the request's is named.
            ValidationError: An argument is at fault; `detail` names it.
            ModelUnavailableError: The tenant may use no such model.
            PromptTooLongError: It is longer than what is counted.
        """
        call = self._read_call(messages=messages, model=model, max_tokens=max_tokens)
        tenant = await self._find_tenant()
        route = await self._runtime.models.route(tenant, call.model)
        prompt = ChatPrompt(call.messages, call.model, route=route)
        return await self._runtime.token_counter.count_prompt(prompt) + route[0].limit_output(call.max_tokens)

    async def close(self) -> None:
        """Close the connections to the token counter; what the process shares stays open."""
        if self._counter is not None:
            await self._counter.close()

    async def __aenter__(self) -> Self:
        if self._counter is not None:
            await self._counter.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _read_call(self, **arguments: object) -> CompletionCall:
        if arguments.get("model") is None:
            arguments["model"] = self._model or self._runtime.settings.openai_model
        return validate_input(lambda: CompletionCall.model_validate(arguments), "call")

    async def _find_tenant(self) -> TenantContext:
        tenant = tenant_caller(self._tenant_id)
        # Outside of a request only a name is known, and nothing of the tenant's limits.
        return tenant if tenant.tier else await self._runtime.authenticator.for_platform(tenant.tenant_id)

    async def _complete(self, tenant: TenantContext, call: CompletionCall) -> Completion:
        budget = None if self._counter is None else TokenCounterBudget(self._counter)
        model = self._runtime.metered_model(tenant, self._app_id, budget)
        with logging_as(tenant_id=tenant.tenant_id):
            return await model.complete(call.build_prompt(tenant.user_id))


def _render(completion: Completion, at: datetime) -> ChatCompletion:
    usage = completion.usage
    return ChatCompletion.construct(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        object="chat.completion",
        created=int(at.timestamp()),
        model=completion.model,
        choices=[
            {
                "index": 0,
                "finish_reason": completion.finish_reason,
                "message": {"role": "assistant", "content": completion.text},
            }
        ],
        usage={
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        },
    )
