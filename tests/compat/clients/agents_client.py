"""The OpenAI Agents SDK, over chat completions and over Responses."""

from __future__ import annotations

import openai
from agents import (  # type: ignore[import-not-found]  # here alone
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from stand_in import (  # type: ignore[import-not-found]  # beside this file, where it runs
    BEGINNING,
    CHAT,
    WEATHER,
    Verdict,
    get_weather,
)

set_tracing_disabled(disabled=True)
_weather = function_tool(get_weather)


def _agent(kind: type, **more: object) -> Agent:
    return Agent(name="helper", instructions="Be brief.", model=kind(CHAT, openai.AsyncOpenAI()), **more)


async def check_chat() -> None:
    told = await Runner.run(_agent(OpenAIChatCompletionsModel), "hello")
    assert told.final_output.startswith(BEGINNING)


async def check_tools() -> None:
    told = await Runner.run(_agent(OpenAIChatCompletionsModel, tools=[_weather]), WEATHER)
    assert "18 degrees in" in told.final_output


async def check_structured_answers() -> None:
    told = await Runner.run(_agent(OpenAIChatCompletionsModel, output_type=Verdict), "judge")
    assert isinstance(told.final_output, Verdict)


async def check_stream() -> None:
    running = Runner.run_streamed(_agent(OpenAIChatCompletionsModel), "hello")
    async for _ in running.stream_events():
        pass
    assert running.final_output.startswith(BEGINNING)


async def check_responses() -> None:
    told = await Runner.run(_agent(OpenAIResponsesModel), "hello")
    assert told.final_output.startswith(BEGINNING)


async def check_responses_with_tools() -> None:
    told = await Runner.run(_agent(OpenAIResponsesModel, tools=[_weather]), WEATHER)
    assert "18 degrees in" in told.final_output


async def check_responses_streamed() -> None:
    running = Runner.run_streamed(_agent(OpenAIResponsesModel, tools=[_weather]), WEATHER)
    async for _ in running.stream_events():
        pass
    assert "18 degrees in" in running.final_output
