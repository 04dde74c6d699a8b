"""Kinds of tokens that the local model tells: those that its cache knew, those that it thought with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit_tests.local_llm.client import Model

LONG = "It is so. " * 500
"""1,500 tokens and some."""


async def used(endpoint: Model, system: str, **body: object) -> Any:  # noqa: ANN401  # JSON
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Why?"}]
    response = await endpoint.ask(messages=messages, **body)
    assert response.status_code == 200, response.text
    return response.json()["usage"]


async def cached(endpoint: Model, system: str, **body: object) -> int:
    tokens: int = (await used(endpoint, system, **body))["prompt_tokens_details"]["cached_tokens"]
    return tokens


async def test_a_long_beginning_that_came_before_is_cached_in_steps(model: Model) -> None:
    first = await used(model, LONG)
    again = await cached(model, LONG)
    longer = await cached(model, LONG + "And more. " * 50)

    assert first["prompt_tokens"] > 1_500
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert first["prompt_tokens"] - 128 < again <= first["prompt_tokens"]
    assert longer >= again - 128
    assert {again % 128, longer % 128} == {0}


async def test_a_short_or_another_beginning_is_not_cached(model: Model) -> None:
    assert [await cached(model, "Be brief.") for _ in range(2)] == [0, 0]
    await used(model, LONG)
    assert await cached(model, f"No. {LONG}") == 0


async def test_another_model_or_cache_key_has_its_own_cache(model: Model) -> None:
    await used(model, LONG, prompt_cache_key="a")

    assert await cached(model, LONG, prompt_cache_key="b") == 0
    assert await cached(model, LONG, model="gpt-4.1", prompt_cache_key="a") == 0
    assert await cached(model, LONG, prompt_cache_key="a") > 1_024


async def test_a_prompt_is_forgotten_after_ten_minutes(model: Model) -> None:
    await used(model, LONG)
    model.now += 599
    kept = await cached(model, LONG)
    model.now += 601

    assert (kept > 0, await cached(model, LONG)) == (True, 0)


@pytest.mark.parametrize(("effort", "thought"), [(None, 32), ("none", 0), ("low", 16), ("xhigh", 128)])
async def test_a_reasoning_model_thinks_by_its_effort(model: Model, effort: str | None, thought: int) -> None:
    usage = (await model.ask(model="o3", reasoning_effort=effort)).json()["usage"]
    plain = (await model.ask(model="gpt-4o")).json()["usage"]

    assert usage["completion_tokens_details"]["reasoning_tokens"] == thought
    assert usage["completion_tokens"] > thought
    assert plain["completion_tokens_details"]["reasoning_tokens"] == 0


async def test_kinds_of_tokens_are_in_the_count_of_what_was_served(model: Model) -> None:
    usages = [await used(model, LONG, model="o3", safety_identifier="u") for _ in range(2)]

    (served,) = (await model.served())["by_user"].values()
    assert served["cached_tokens"] == sum(one["prompt_tokens_details"]["cached_tokens"] for one in usages) > 0
    assert served["reasoning_tokens"] == 64
