"""Facts that all checks share: what the stand-in model is asked, and the shapes that it is to answer in."""

from __future__ import annotations

from pydantic import BaseModel, Field

CHAT = "gpt-4o"
REASONING = "o4-mini"
EMBEDDINGS = "text-embedding-3-small"
DIMENSIONS = 1536
BEGINNING = "[stand-in for gpt-4o]"
WEATHER = "What is the weather in Paris?"
REPORT = "18 degrees in Paris"


class Verdict(BaseModel):
    """A judgement."""

    summary: str = Field(description="What is judged, in a few words.")
    score: int = Field(description="From 1 to 10.")


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"18 degrees in {city}"


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
