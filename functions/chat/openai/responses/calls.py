"""Chat completions that answer responses: prepared as those of the route for chat completions are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from functions.chat.openai.models import ChatCompletionRequest
from shared.errors import APIError
from shared.llm.deployments import ModelKind
from shared.llm.model_call import CallOrigin
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.chat.openai.forwarding import ForwardedCall, Forwarding
    from functions.chat.openai.responses.chat_request import ChatField
    from shared.errors import JsonValue

_NAMES = {
    "body.max_completion_tokens": "body.max_output_tokens",
    "body.max_tokens": "body.max_output_tokens",
    "body.messages": "body.input",
    "body.reasoning_effort": "body.reasoning.effort",
    "body.response_format": "body.text.format",
    "body.verbosity": "body.text.verbosity",
}
"""What the Responses API calls the parameters of chat completions, where it calls them otherwise."""

_NO_ORIGIN = CallOrigin()


@dataclass(slots=True)
class ResponseCalls:
    """Chat completions of one tenant, in the words of the Responses API where they are refused.

    Attributes:
        forwarding: The tenant's models and bots.
        origin: What the calls are made for.
        prepared: The calls that were prepared, the last one last.
    """

    forwarding: Forwarding
    origin: CallOrigin = _NO_ORIGIN
    prepared: list[ForwardedCall] = field(default_factory=list)

    async def prepare(self, request: ChatField) -> ForwardedCall:
        """Find the model, or the bot, that a request names.

        Raises:
            APIError: There is none, or it does not take the request.
        """
        with _in_words_of_responses():
            asked = validate_input(lambda: ChatCompletionRequest.model_validate(request), "request", "body")
            call = await self.forwarding.prepare(asked, self.origin)
        passed = call.prompt.passed
        if passed is not None:
            named = replace(passed, limit_name="max_output_tokens")
            call = replace(call, prompt=replace(call.prompt, passed=named))
        self.prepared.append(call)
        return call

    async def require_model(self, model: str) -> None:
        """Refuse the name of a model, or a bot, that the tenant may not use.

        Raises:
            ModelNotFoundError: It may not, or there is none.
        """
        usable = await self.forwarding.models.usable(self.forwarding.tenant)
        if model not in usable or usable[model].kind is not ModelKind.CHAT:
            await self.forwarding.require_bot(model)


@contextmanager
def _in_words_of_responses() -> Iterator[None]:
    """Name the parameters of a refusal as the Responses API does."""
    try:
        yield
    except APIError as error:
        fields = error.detail.get("fields")
        if isinstance(fields, Mapping):
            renamed: dict[str, JsonValue] = {_rename(str(name)): told for name, told in fields.items()}
            error.detail = {**error.detail, "fields": renamed}
        raise


def _rename(name: str) -> str:
    for chat, responses in _NAMES.items():
        if name == chat or name.startswith(f"{chat}."):
            return responses  # where in the input it is, the messages that it became do not tell
    return name
