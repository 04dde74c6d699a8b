"""Bodies of requests to models: what a deployment's entry says decides, never its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.llm.deployment_access import takes_new_fields

if TYPE_CHECKING:
    from shared.llm.chat_model import ChatPrompt, Sampling
    from shared.llm.deployments import ModelDeployment


def build_chat_body(prompt: ChatPrompt, deployment: ModelDeployment) -> dict[str, object]:
    """Build the body of a request for a chat completion."""
    limit = min(prompt.output_limit, deployment.max_output_tokens)
    body: dict[str, object] = {
        "model": deployment.deployment,
        "messages": [message.model_dump() for message in prompt.messages],
    }
    if deployment.reasoning:
        body["max_completion_tokens"] = limit  # and no temperature: they refuse any
        _put(body, "reasoning_effort", prompt.reasoning_effort)
    else:
        body["max_tokens"] = limit
        _put(body, "temperature", prompt.temperature)
        _put_sampling(body, prompt.sampling)
    if takes_new_fields(deployment):
        _put(body, "safety_identifier", prompt.safety_identifier)
        _put(body, "prompt_cache_key", prompt.cache_key)
    else:
        _put(body, "user", prompt.safety_identifier)
    return body


def _put_sampling(body: dict[str, object], sampling: Sampling) -> None:
    _put(body, "top_p", sampling.top_p)
    _put(body, "frequency_penalty", sampling.frequency_penalty)
    _put(body, "presence_penalty", sampling.presence_penalty)
    _put(body, "stop", list(sampling.stop) or None)


def _put(body: dict[str, object], name: str, value: object) -> None:
    if value is not None:
        body[name] = value
