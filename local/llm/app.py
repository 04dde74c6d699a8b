"""The endpoint: chat completions on OpenAI's paths and on Azure's, streamed or not, and the models."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from local.llm.model import Answer, Message, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "o4-mini", "gpt-4")
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_UNSUPPORTED = ("tools", "tool_choice", "functions", "response_format", "audio", "logprobs", "modalities")
_REASONING = ("o1", "o3", "o4", "gpt-5")
_REASONING_REFUSES = {
    "max_tokens": "Use 'max_completion_tokens' instead.",
    "temperature": "Only 1 is supported.",
}


class RefusedError(Exception):
    """A request that the API does not take; rendered in OpenAI's shape."""

    def __init__(
        self, message: str, param: str | None, *, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code


def build_app(clock: Callable[[], float] = time.time) -> Starlette:
    """Build the ASGI application."""

    async def chat(request: Request) -> Response:
        try:
            _authenticate(request)
            body = _parsed(await request.body())
            model = _model(request.path_params.get("deployment") or body.get("model"))
            said = answer(model, _messages(body), _limit(body, model))
        except RefusedError as error:
            return _render(error)
        created = int(clock())
        if body.get("stream"):
            with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            events = _events(model, said, created, with_usage=with_usage)
            return StreamingResponse(events, media_type="text/event-stream")
        return JSONResponse(_completion(model, said, created))

    async def models(request: Request) -> Response:
        try:
            _authenticate(request)
        except RefusedError as error:
            return _render(error)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in MODELS]
        return JSONResponse({"object": "list", "data": data})

    prefixes = ("", "/v1", "/openai", "/openai/v1")
    routes = [Route(f"{prefix}/models", models) for prefix in prefixes]
    routes += [Route(f"{prefix}/chat/completions", chat, methods=["POST"]) for prefix in prefixes]
    routes.append(Route("/openai/deployments/{deployment}/chat/completions", chat, methods=["POST"]))
    return Starlette(routes=routes)


def _authenticate(request: Request) -> None:
    if not (request.headers.get("api-key") or request.headers.get("authorization")):
        raise RefusedError(
            "You didn't provide an API key; any will do here", None, status=401, code="invalid_api_key"
        )


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError as error:
        raise RefusedError(f"The body is not JSON: {error}", None) from error
    if not isinstance(body, dict):
        raise RefusedError("The body is not a JSON object", None)
    for name in _UNSUPPORTED:
        if body.get(name) is not None:
            raise RefusedError(
                f"The local model does not support '{name}'", name, code="unsupported_parameter"
            )
    if body.get("n") not in {None, 1}:
        raise RefusedError("The local model gives one choice", "n", code="unsupported_value")
    return body


def _model(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise RefusedError("you must provide a model parameter", "model")
    return name


def _messages(body: dict[str, Any]) -> list[Message]:
    sent = body.get("messages")
    if not isinstance(sent, list) or not sent:
        raise RefusedError("'messages' has to be an array with at least one message", "messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(sent)]


def _message(message: object, place: str) -> Message:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise RefusedError(f"'{place}.role' has to be one of {sorted(_ROLES)}", f"{place}.role")
    content = message.get("content")
    if isinstance(content, list):
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise RefusedError("The local model takes text only", f"{place}.content")
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise RefusedError(f"'{place}.content' has to be text", f"{place}.content")
    return Message(str(message["role"]), content)


def _limit(body: dict[str, Any], model: str) -> int | None:
    if model.startswith(_REASONING) and "chat" not in model:
        for name, advice in _REASONING_REFUSES.items():
            if body.get(name) not in {None, 1}:
                message = f"Unsupported parameter: '{name}' is not supported with this model. {advice}"
                raise RefusedError(message, name, code="unsupported_parameter")
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if limit is not None:
            if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
                raise RefusedError(f"'{name}' has to be a whole number from 1", name)
            return limit
    return None


def _completion(model: str, said: Answer, created: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": said.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": said.finish_reason, "logprobs": None}
    return _envelope(model, created, "chat.completion") | {"choices": [choice], "usage": _usage(said)}


def _events(model: str, said: Answer, created: int, *, with_usage: bool) -> Iterator[str]:
    envelope = _envelope(model, created, "chat.completion.chunk")

    def event(choices: list[dict[str, Any]], **more: object) -> str:
        return f"data: {json.dumps(envelope | {'choices': choices} | more)}\n\n"

    def choice(delta: dict[str, str], finish_reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]

    yield event(choice({"role": "assistant", "content": ""}))
    for piece in said.pieces:
        yield event(choice({"content": piece}))
    yield event(choice({}, said.finish_reason))
    if with_usage:
        yield event([], usage=_usage(said))
    yield "data: [DONE]\n\n"


def _envelope(model: str, created: int, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": created, "model": model}


def _usage(said: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
    }


def _render(error: RefusedError) -> JSONResponse:
    kind = "invalid_request_error"
    body = {"message": str(error), "type": kind, "param": error.param, "code": error.code}
    return JSONResponse({"error": body}, status_code=error.status)
