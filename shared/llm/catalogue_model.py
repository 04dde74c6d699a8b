"""Chat models of the catalogue, as one application of a tenant uses them."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from shared.llm.answer_format import AnswerFormatKind
from shared.llm.chat_model import ModelUnavailableError, PromptRejectedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.llm.chat_model import AnswerStream, ChatPrompt, Completion, StreamingChatModel
    from shared.llm.deployments import ModelDeployment
    from shared.llm.passed_request import PassedRequest
    from shared.tenancy.context import TenantContext

_HASH_CHARACTERS = 40


class FindsDeployments(Protocol):
    """Model catalogue, as far as a call needs it."""

    async def route(self, tenant: TenantContext, name: str) -> tuple[ModelDeployment, ...]:
        """Return the deployment of a name, and after it those that may be asked in its place.

        Raises:
            ModelUnavailableError: There is none (any more), or the tenant may not use it.
        """
        ...


class CatalogueModel:
    """`StreamingChatModel` that knows models by name: it adds routes and limits before anything is counted.

    Args:
        catalogue: The deployments that there are.
        model: What answers, within the tenant's budget.
        tenant: Who asks.
        app_id: The tenant's application that asks.
    """

    def __init__(
        self, catalogue: FindsDeployments, model: StreamingChatModel, tenant: TenantContext, app_id: str
    ) -> None:
        self._catalogue = catalogue
        self._model = model
        self._tenant = tenant
        self._app_id = app_id

    async def complete(self, prompt: ChatPrompt) -> Completion:
        """Answer a prompt.

        Raises:
            ModelUnavailableError: The catalogue has no such model for the tenant (any more).
            APIError: The model's own errors, and the budget's; see `ChatModel`.
        """
        return await self._model.complete(await self.prepare(prompt))

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        """Open the stream of an answer.

        Raises:
            ModelUnavailableError: The catalogue has no such model for the tenant (any more).
            APIError: The model's own errors, and the budget's; see `StreamingChatModel`.
        """
        async with self._model.stream(await self.prepare(prompt)) as answer:
            yield answer

    async def prepare(self, prompt: ChatPrompt) -> ChatPrompt:
        """Return the prompt with all that its model's entry says.

        Raises:
            ModelUnavailableError: The catalogue has no such model for the tenant (any more), or it is not
                Azure's while nobody else may be shown the prompt.
            PromptRejectedError: The model reasons, and the prompt wants it to stop at a text; or a request
                that is passed on holds images, which it takes none of, or wants a longer answer than it has.
        """
        route = _fitting(prompt, await self._catalogue.route(self._tenant, prompt.model))
        if prompt.passed is not None:
            _refuse_longer_answer(prompt, prompt.passed, route[0])
        prompt.progress.route = route
        tenant_id = self._tenant.tenant_id
        return replace(
            prompt,
            route=route,
            max_output_tokens=route[0].limit_output(prompt.max_output_tokens),
            safety_identifier=None if prompt.user is None else hash_names("user", tenant_id, prompt.user),
            cache_key=hash_names("prompt", tenant_id, self._app_id, prompt.version),
        )


def _fitting(prompt: ChatPrompt, route: tuple[ModelDeployment, ...]) -> tuple[ModelDeployment, ...]:
    """Return those of a route that may be asked; its first one has to be."""
    first, *others = route
    if not _is_shown_to(first, prompt):
        raise ModelUnavailableError(first.name, "is not one of Azure's, which alone may answer here")
    if not _sees(first, prompt):
        problem = "holds an image, which this model takes none of"
        raise PromptRejectedError(
            f"Model '{first.name}' takes no images",
            {"model": first.name, "fields": {"body.messages": problem}},
        )
    if not _stops_for(first, prompt):
        problem = "is for models that do not reason"
        raise PromptRejectedError(
            f"Model '{first.name}' reasons: it takes no text to stop at",
            {"model": first.name, "fields": {"stop": problem}},
        )
    return (first, *(one for one in others if _fits(one, prompt)))


def _fits(deployment: ModelDeployment, prompt: ChatPrompt) -> bool:
    return all(fits(deployment, prompt) for fits in (_is_shown_to, _stops_for, _sees, _holds_to_its_form))


def _refuse_longer_answer(prompt: ChatPrompt, passed: PassedRequest, first: ModelDeployment) -> None:
    """Refuse a limit that is beyond the model's own: to lower it would be to drop what was asked for."""
    most = first.max_output_tokens
    if prompt.max_output_tokens is not None and prompt.max_output_tokens > most:
        problem = f"must be <= {most}, the most that this model gives"
        raise PromptRejectedError(
            f"{passed.limit_name} is too large: {problem}", {"fields": {f"body.{passed.limit_name}": problem}}
        )


def _is_shown_to(deployment: ModelDeployment, prompt: ChatPrompt) -> bool:
    return deployment.provider.is_azure or not prompt.only_azure


def _stops_for(deployment: ModelDeployment, prompt: ChatPrompt) -> bool:
    return not (deployment.reasoning and prompt.has_stops)


def _sees(deployment: ModelDeployment, prompt: ChatPrompt) -> bool:
    return deployment.images is not None or prompt.passed is None or not prompt.passed.counted.images


def _holds_to_its_form(deployment: ModelDeployment, prompt: ChatPrompt) -> bool:
    """Tell whether it can be held to a schema, where a request that is passed on has one."""
    answer_format = None if prompt.passed is None else prompt.passed.fields.get("response_format")
    asked = answer_format.get("type") if isinstance(answer_format, dict) else None
    return asked != AnswerFormatKind.JSON_SCHEMA or deployment.answer_format is AnswerFormatKind.JSON_SCHEMA


def hash_names(*names: str) -> str:
    """Return the same short text for the same names, from which none of them can be read."""
    # Lengths keep ("a", "bc") and ("ab", "c") apart.
    told = "".join(f"{len(name)}:{name}" for name in names)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
