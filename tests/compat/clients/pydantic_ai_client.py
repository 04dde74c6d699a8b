"""pydantic-ai, over chat completions and over Responses."""

from __future__ import annotations

from pydantic_ai import Agent  # type: ignore[import-not-found]  # here alone
from pydantic_ai.models.openai import (  # type: ignore[import-not-found]  # here alone
    OpenAIChatModel,
    OpenAIResponsesModel,
)
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    WEATHER,
    Verdict,
    get_weather,
)


def check_chat() -> None:
    assert Agent(OpenAIChatModel(CHAT)).run_sync("hello").output.startswith(BEGINNING)


async def check_stream() -> None:
    async with Agent(OpenAIChatModel(CHAT)).run_stream("hello") as answer:
        assert (await answer.get_output()).startswith(BEGINNING)


def check_tools() -> None:
    agent = Agent(OpenAIChatModel(CHAT), tools=[get_weather])
    assert "18 degrees in" in agent.run_sync(WEATHER).output


def check_structured_answers() -> None:
    agent = Agent(OpenAIChatModel(CHAT), output_type=Verdict)
    assert isinstance(agent.run_sync("judge").output, Verdict)


def check_responses() -> None:
    assert Agent(OpenAIResponsesModel(CHAT)).run_sync("hello").output.startswith(BEGINNING)
    agent = Agent(OpenAIResponsesModel(CHAT), tools=[get_weather])
    assert "18 degrees in" in agent.run_sync(WEATHER).output
