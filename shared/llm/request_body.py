"""Bodies of requests to models: what a deployment's entry says decides, never its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.contracts import ChatMessage
from shared.llm.answer_format import AnswerFormatKind
from shared.llm.deployment_access import takes_new_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.llm.answer_format import AnswerFormat
    from shared.llm.chat_model import ChatPrompt, Sampling
    from shared.llm.deployments import ModelDeployment

_SCHEMA_NAME = "answer"


def build_chat_body(prompt: ChatPrompt, deployment: ModelDeployment) -> dict[str, object]:
    """Build the body of a request for a chat completion."""
    limit = min(prompt.output_limit, deployment.max_output_tokens)
    if prompt.passed is not None:
        passed = {**prompt.passed.fields, "model": deployment.deployment}
        passed["max_completion_tokens" if deployment.reasoning else "max_tokens"] = limit
        return passed | _identify(prompt, deployment)
    body: dict[str, object] = {
        "model": deployment.deployment,
        "messages": [message.model_dump() for message in prompt.messages],
    }
    if prompt.answer_format is not None:
        body |= _ask_for_format(prompt, prompt.answer_format, deployment)
    if deployment.reasoning:
        body["max_completion_tokens"] = limit  # and no temperature: they refuse any
        _put(body, "reasoning_effort", prompt.reasoning_effort)
    else:
        body["max_tokens"] = limit
        _put(body, "temperature", prompt.temperature)
        _put_sampling(body, prompt.sampling)
    return body | _identify(prompt, deployment)


def build_streamed_body(prompt: ChatPrompt, deployment: ModelDeployment) -> dict[str, object]:
    """Build the body of a request for a chat completion in parts, the last of which tells its usage."""
    options = {} if prompt.passed is None else prompt.passed.stream_options
    streamed = {"stream": True, "stream_options": {**options, "include_usage": True}}
    return build_chat_body(prompt, deployment) | streamed


def _identify(prompt: ChatPrompt, deployment: ModelDeployment) -> dict[str, object]:
    """Tell for whom the prompt is, and what it shares a beginning with, without a name of anybody's."""
    told: dict[str, object] = {}
    if takes_new_fields(deployment):
        _put(told, "safety_identifier", prompt.safety_identifier)
        _put(told, "prompt_cache_key", prompt.cache_key)
    else:
        _put(told, "user", prompt.safety_identifier)
    return told


def _ask_for_format(
    prompt: ChatPrompt, answer_format: AnswerFormat, deployment: ModelDeployment
) -> dict[str, object]:
    """Ask for a form as strictly as the deployment can be: what it cannot be held to, it is told."""
    schema = answer_format.json_schema
    if answer_format.type is AnswerFormatKind.TEXT:
        return {}
    if schema is not None and deployment.answer_format is AnswerFormatKind.JSON_SCHEMA:
        return describe_format(answer_format)
    told = _tell(prompt.messages, answer_format.instruction)
    if deployment.answer_format is AnswerFormatKind.TEXT:
        return {"messages": told}
    return {"messages": told, "response_format": {"type": "json_object"}}


def describe_format(answer_format: AnswerFormat) -> dict[str, object]:
    """Describe a form as models that can be held to it take it."""
    schema = answer_format.json_schema
    if schema is None:
        return {"response_format": {"type": answer_format.type.value}}
    wrapped = {"name": _SCHEMA_NAME, "schema": schema.as_written(), "strict": schema.is_strict}
    return {"response_format": {"type": "json_schema", "json_schema": wrapped}}


def _tell(messages: Sequence[ChatMessage], instruction: str) -> list[dict[str, object]]:
    """Add an instruction to the last message of the user's: a message's own schema weighs no more than it.

    It is no message of its own, since some models take none but those that alternate.
    """
    *before, last = messages
    if last.role == "user":
        told = [*before, ChatMessage(role="user", content=f"{last.content}\n\n{instruction}")]
    else:
        told = [*messages, ChatMessage(role="user", content=instruction)]
    return [message.model_dump() for message in told]


def _put_sampling(body: dict[str, object], sampling: Sampling) -> None:
    _put(body, "top_p", sampling.top_p)
    _put(body, "frequency_penalty", sampling.frequency_penalty)
    _put(body, "presence_penalty", sampling.presence_penalty)
    _put(body, "stop", list(sampling.stop) or None)


def _put(body: dict[str, object], name: str, value: object) -> None:
    if value is not None:
        body[name] = value
