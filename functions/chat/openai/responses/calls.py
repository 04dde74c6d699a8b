"""Chat completions that answer responses: prepared as those of the route for chat completions are."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from functions.chat.openai.models import ChatCompletionRequest
from functions.chat.openai.parameters import naming_parameters
from shared.llm.deployments import ModelKind
from shared.llm.model_call import CallOrigin
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from functions.chat.openai.forwarding import ForwardedCall, Forwarding
    from functions.chat.openai.parameters import Renaming
    from functions.chat.openai.responses.chat_request import TranslatedRequest
    from shared.llm.chat_model import AnswerStream, Completion
    from shared.llm.model_call import CallProgress

_NO_ORIGIN = CallOrigin()


@dataclass(frozen=True, slots=True)
class ResponseCall:
    """Chat completion that answers a response, in the words of the Responses API where it is refused.

    Attributes:
        call: The chat completion.
        rename: Returns what a response's request calls a parameter of it.
    """

    call: ForwardedCall
    rename: Renaming

    @property
    def begun(self) -> Sequence[CallProgress]:
        """Return what is learnt of it, once it has begun."""
        return self.call.begun

    async def complete(self) -> Completion:
        """Make the call.

        Raises:
            APIError: As `ForwardedCall.complete` does.
        """
        with naming_parameters(self.rename):
            return await self.call.complete()

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AnswerStream]:
        """Make the call for an answer in parts.

        Raises:
            APIError: As `ForwardedCall.stream` does.
        """
        with naming_parameters(self.rename):
            async with self.call.stream() as answer:
                yield answer


@dataclass(slots=True)
class ResponseCalls:
    """Chat completions of one tenant that answer responses.

    Attributes:
        forwarding: The tenant's models and bots.
        origin: What the calls are made for.
        prepared: The calls that were prepared, the last one last.
    """

    forwarding: Forwarding
    origin: CallOrigin = _NO_ORIGIN
    prepared: list[ResponseCall] = field(default_factory=list)

    async def prepare(self, request: TranslatedRequest) -> ResponseCall:
        """Find the model, or the bot, that a request names.

        Raises:
            APIError: There is none, or it does not take the request.
        """
        body = request.body
        with naming_parameters(request.rename):
            asked = validate_input(lambda: ChatCompletionRequest.model_validate(body), "request", "body")
            call = await self.forwarding.prepare(asked, self.origin)
        passed = call.prompt.passed
        if passed is not None:
            named = replace(passed, limit_name="max_output_tokens")
            call = replace(call, prompt=replace(call.prompt, passed=named))
        made = ResponseCall(call, request.rename)
        self.prepared.append(made)
        return made

    async def require_model(self, model: str) -> None:
        """Refuse the name of a model, or a bot, that the tenant may not use.

        Raises:
            ModelNotFoundError: It may not, or there is none.
        """
        usable = await self.forwarding.models.usable(self.forwarding.tenant)
        if model not in usable or usable[model].kind is not ModelKind.CHAT:
            await self.forwarding.require_bot(model)
