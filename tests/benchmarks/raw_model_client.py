"""The official client alone against the model: what a program without this app would spend for each answer.

`python -m tests.benchmarks.raw_model_client '{"url": …, "answers": …, "together": …, "stream": …}'` prints
its CPU time for each answer and how long the first words took.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import openai


@dataclass(frozen=True, slots=True)
class Plan:
    """Load: so many answers, so many at a time, streamed or not."""

    url: str
    answers: int
    together: int
    stream: bool
    instructions: str
    message: str


async def ask(client: openai.AsyncOpenAI, plan: Plan) -> float:
    """Ask once; return the seconds until the first words."""
    messages: Any = [
        {"role": "system", "content": plan.instructions},
        {"role": "user", "content": plan.message},
    ]
    began = time.perf_counter()
    if not plan.stream:
        answer = await client.chat.completions.create(model="gpt-4o", messages=messages, max_tokens=512)
        if not answer.choices[0].message.content:
            raise RuntimeError("no answer")
        return time.perf_counter() - began
    first = 0.0
    async with await client.chat.completions.create(
        model="gpt-4o", messages=messages, max_tokens=512, stream=True, stream_options={"include_usage": True}
    ) as parts:
        async for part in parts:
            if not first and part.choices and part.choices[0].delta.content:
                first = time.perf_counter() - began
    return first


async def run(plan: Plan) -> None:
    """Ask as planned, and print the figures."""
    client = openai.AsyncOpenAI(api_key="k", base_url=f"{plan.url}/openai/v1", max_retries=0)
    left = iter(range(plan.answers))
    firsts: list[float] = []

    async def keep_asking() -> None:
        for _ in left:
            firsts.append(await ask(client, plan))  # noqa: PERF401  # the iterator is shared

    for _ in range(8):
        await ask(client, plan)
    cpu = time.process_time()
    await asyncio.gather(*(keep_asking() for _ in range(plan.together)))
    cpu = time.process_time() - cpu
    await client.close()
    print(json.dumps({"cpu_ms": 1_000 * cpu / plan.answers, "first_ms": 1_000 * statistics.median(firsts)}))


if __name__ == "__main__":
    asyncio.run(run(Plan(**json.loads(sys.argv[1]))))
