"""langchain-openai."""

from __future__ import annotations

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    DIMENSIONS,
    EMBEDDINGS,
    WEATHER,
    Verdict,
    get_weather,
)

_weather = tool(get_weather)


def check_chat() -> None:
    answer = ChatOpenAI(model=CHAT).invoke("hello")
    assert answer.text.startswith(BEGINNING)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] > 0


def check_stream() -> None:
    pieces = [piece.text for piece in ChatOpenAI(model=CHAT, stream_usage=True).stream("hello")]
    assert "".join(pieces).startswith(BEGINNING)


def check_tools() -> None:
    armed = ChatOpenAI(model=CHAT).bind_tools([_weather])
    asked = HumanMessage(WEATHER)
    called = armed.invoke([asked])
    (call,) = called.tool_calls
    result = ToolMessage(_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert "18 degrees in" in armed.invoke([asked, called, result]).text


def check_structured_answers() -> None:
    chat = ChatOpenAI(model=CHAT)
    assert isinstance(chat.with_structured_output(Verdict, method="json_schema").invoke("judge"), Verdict)
    assert isinstance(
        chat.with_structured_output(Verdict, method="function_calling").invoke("judge"), Verdict
    )


async def check_asynchronous() -> None:
    chat = ChatOpenAI(model=CHAT)
    assert (await chat.ainvoke("hello")).text.startswith(BEGINNING)
    assert "".join([piece.text async for piece in chat.astream("hello")]).startswith(BEGINNING)


def check_embeddings_which_it_sends_as_tokens() -> None:
    model = OpenAIEmbeddings(model=EMBEDDINGS)
    vectors = model.embed_documents(["hello world", "good bye"])
    assert [len(vector) for vector in vectors] == [DIMENSIONS, DIMENSIONS]
    assert len(OpenAIEmbeddings(model=EMBEDDINGS, dimensions=64).embed_query("hello")) == 64
