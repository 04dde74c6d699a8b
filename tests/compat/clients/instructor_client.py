"""instructor, by tools and by JSON Schema."""

from __future__ import annotations

import instructor  # type: ignore[import-not-found]  # here alone
import openai
from stand_in import CHAT, Verdict  # type: ignore[import-not-found]  # beside this file, where it runs

_ASKED = {"model": CHAT, "messages": [{"role": "user", "content": "judge"}], "response_model": Verdict}


def check_by_tools() -> None:
    answer = instructor.from_openai(openai.OpenAI(), mode=instructor.Mode.TOOLS).create(**_ASKED)
    assert isinstance(answer, Verdict)


def check_by_json_schema() -> None:
    client = instructor.from_openai(openai.OpenAI(), mode=instructor.Mode.JSON_SCHEMA)
    assert isinstance(client.create(**_ASKED), Verdict)


async def check_asynchronous() -> None:
    client = instructor.from_openai(openai.AsyncOpenAI())
    assert isinstance(await client.create(**_ASKED), Verdict)


def check_parts_of_an_answer() -> None:
    client = instructor.from_openai(openai.OpenAI())
    *_, last = client.create_partial(**_ASKED)
    assert last.score is not None
