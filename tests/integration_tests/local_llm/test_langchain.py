"""The stand-in model through langchain-openai, as an application built on it would ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langchain_openai.chat_models.base import BaseChatOpenAI


class Verdict(BaseModel):
    """A judgement."""

    summary: str = Field(min_length=5, max_length=40)
    score: int = Field(ge=1, le=10)


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"18 degrees in {city}"


@pytest.fixture(params=["openai", "azure"])
async def chat(request: pytest.FixtureRequest, port: int) -> AsyncIterator[BaseChatOpenAI]:
    # Of its own, because those that the library makes are cached and never closed.
    with openai.DefaultHttpxClient() as http_client:
        async with openai.DefaultAsyncHttpxClient() as http_async_client:
            if request.param == "azure":
                yield AzureChatOpenAI(
                    azure_endpoint=f"http://127.0.0.1:{port}",
                    azure_deployment="gpt-4o",
                    api_version="2024-10-21",
                    api_key=SecretStr("local"),
                    http_client=http_client,
                    http_async_client=http_async_client,
                )
            else:
                yield ChatOpenAI(
                    model="gpt-4o",
                    base_url=f"http://127.0.0.1:{port}/v1",
                    api_key=SecretStr("local"),
                    http_client=http_client,
                    http_async_client=http_async_client,
                )


def test_it_answers_with_its_usage(chat: BaseChatOpenAI) -> None:
    answer = chat.invoke("hello world")

    assert answer.text.startswith("[stand-in for gpt-4o]")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == 9


async def test_it_streams_the_same(chat: BaseChatOpenAI) -> None:
    whole = await chat.ainvoke("hello world")
    pieces = [piece.text async for piece in chat.astream("hello world")]

    assert "".join(pieces) == whole.text
    assert len(pieces) > 10
    assert "".join(piece.text for piece in chat.stream("hello world")) == whole.text


def test_it_calls_tools_and_takes_up_their_answers(chat: BaseChatOpenAI) -> None:
    armed = chat.bind_tools([get_weather])
    asked = HumanMessage("What is the weather in Paris?")
    called = armed.invoke([asked])
    (call,) = called.tool_calls
    answered = armed.invoke(
        [asked, called, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    )

    assert call["name"] == "get_weather"
    assert "18 degrees in" in answered.text


def test_streamed_tool_calls_add_up(chat: BaseChatOpenAI) -> None:
    armed = chat.bind_tools([get_weather], tool_choice="any")
    first, *others = [piece for piece in armed.stream("hello") if isinstance(piece, AIMessageChunk)]

    whole = add_ai_message_chunks(first, *others)
    assert whole.tool_calls == armed.invoke("hello").tool_calls


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_answers_parse(chat: BaseChatOpenAI, method: str) -> None:
    structured = chat.with_structured_output(Verdict, method=method)  # type: ignore[arg-type]  # a parameter

    assert isinstance(structured.invoke("judge"), Verdict)


def test_a_reasoning_model_is_asked_as_it_wants(port: int) -> None:
    chat = ChatOpenAI(
        model="o4-mini",
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key=SecretStr("local"),
        max_completion_tokens=20,
    )
    answer = chat.invoke("hello")
    chat.root_client.close()

    assert answer.response_metadata["finish_reason"] == "length"
