"""The document's example runs, changed in its import alone; the methods have its signatures."""

from __future__ import annotations

import ast
import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from compat.azure_openai_service import AzureOpenAIService
from compat.fastapi import init_bot_manager, register_exception_handlers, reset_bot_manager, serve_caller
from shared.tenancy.context import Role
from tests.support.fakes import tenant_context

if TYPE_CHECKING:
    from tests.support.whole_app import EchoModel, WholeApp

EXAMPLE = Path(__file__).parent / "document_example.py.txt"
IMPORT = "from common.azure_openai_service import AzureOpenAIService\n"
METHODS = {
    "__init__": ["model", "app_id", "token_counter_url", "token_counter_resource_uri"],
    "chat_completion": [
        "messages",
        "model",
        "temperature",
        "max_tokens",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "stop",
    ],
    "format_prompt": ["system_prompt", "user_prompt", "variables", "examples"],
    "send_prompt": [
        "system_prompt",
        "user_prompt",
        "variables",
        "examples",
        "model",
        "temperature",
        "max_tokens",
    ],
}


@pytest.mark.usefixtures("as_acme")
async def test_the_documents_example_answers_what_it_asks(app: WholeApp) -> None:
    program = EXAMPLE.read_text()
    assert program.count(IMPORT) == 1
    names: dict[str, Any] = {"AzureOpenAIService": partial(AzureOpenAIService, runtime=app.runtime)}

    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    await eval(compile(program.replace(IMPORT, ""), "example", "exec", flags), names)  # noqa: S307  # the document's own lines

    assert names["response"] == "You said: Tell me about AI."
    model: EchoModel = app.runtime.__dict__["chat_model"]
    said = [(message.role, message.content) for message in model.prompts[0].messages]
    assert said == [("system", "You are a helpful assistant."), ("user", "Tell me about AI.")]


async def test_in_an_app_the_tenant_of_each_requests_credential_pays(app: WholeApp) -> None:
    await app.new_tenant("globex")
    init_bot_manager(runtime=app.runtime)
    ai_service = AzureOpenAIService(app_id="my_app", runtime=app.runtime)
    served = FastAPI()
    register_exception_handlers(served)

    @served.get("/about/{topic}", dependencies=[Depends(serve_caller)])
    async def tell_about(topic: str) -> str:
        return await ai_service.send_prompt(
            "You are a helpful assistant.", "Tell me about {topic}.", {"topic": topic}
        )

    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as http:
        key = await app.new_key("globex", Role.USER)
        answered = await http.get("/about/AI", headers=key)
        refused = await http.get("/about/AI")
    reset_bot_manager()

    assert answered.json() == "You said: Tell me about AI."
    assert (refused.status_code, refused.json()["error"]) == (401, "AuthenticationError")
    used = {
        tenant: (await app.runtime.token_client("my_app", tenant_context(tenant)).get_status()).used_tokens
        for tenant in ("acme", "globex")
    }
    assert used == {"acme": 0, "globex": 10}


@pytest.mark.parametrize("method", METHODS)
def test_the_methods_take_what_the_document_says_in_its_order(method: str) -> None:
    parameters = inspect.signature(getattr(AzureOpenAIService, method)).parameters.values()
    positional = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert positional[1:] == METHODS[method]
