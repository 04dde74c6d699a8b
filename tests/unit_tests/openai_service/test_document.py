"""The document's example runs, changed in its import alone; the methods have its signatures."""

from __future__ import annotations

import ast
import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compat.azure_openai_service import AzureOpenAIService

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


@pytest.mark.parametrize("method", METHODS)
def test_the_methods_take_what_the_document_says_in_its_order(method: str) -> None:
    parameters = inspect.signature(getattr(AzureOpenAIService, method)).parameters.values()
    positional = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert positional[1:] == METHODS[method]
