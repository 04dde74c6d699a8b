"""Embeddings through the app and the local endpoint, asked for by the official client."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(120)

SMALL = "text-embedding-3-small"


@pytest.fixture
def caller(platform: Platform) -> Caller:
    return platform.caller(platform.new_tenant())


@pytest.fixture
def client(platform: Platform, caller: Caller) -> Iterator[openai.OpenAI]:
    with openai.DefaultHttpxClient(trust_env=False) as http_client:
        base_url = f"{platform.addresses['app']}/api/v1"
        yield openai.OpenAI(base_url=base_url, api_key=caller.key, max_retries=0, http_client=http_client)


def test_vectors_are_the_models_in_either_encoding_and_metered(client: openai.OpenAI, caller: Caller) -> None:
    packed = client.embeddings.create(model=SMALL, input=["How do I return it?", "Where do I return it?"])
    floats = client.embeddings.create(
        model=SMALL, input=["How do I return it?", "Where do I return it?"], encoding_format="float"
    )

    vectors = [one.embedding for one in packed.data]
    assert vectors == [one.embedding for one in floats.data]
    assert math.isclose(sum(value * value for value in vectors[0]), 1, abs_tol=1e-5)
    [row] = caller.must("GET", "/api/v1/usage?group_by=app_id,model")["items"]
    assert (row["app_id"], row["model"], row["requests"]) == ("openai-embeddings", SMALL, 2)
    assert row["total_tokens"] == packed.usage.total_tokens + floats.usage.total_tokens


def test_a_large_batch_comes_back_whole_and_in_its_order(client: openai.OpenAI) -> None:
    texts = [f"text {number}" for number in range(1_000)]

    batch = client.embeddings.create(model=SMALL, input=texts, dimensions=256)

    assert [one.index for one in batch.data] == list(range(1_000))
    alone = client.embeddings.create(model=SMALL, input=texts[-1], dimensions=256)
    assert batch.data[-1].embedding == alone.data[0].embedding


def test_tokens_are_taken_as_inputs(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=SMALL, input=[[15339, 1917], [15339]])

    assert (len(answer.data), answer.usage.prompt_tokens) == (2, 3)


def test_a_model_that_answers_chats_is_not_found_among_those_that_embed(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.embeddings.create(model="gpt-4o", input="x")

    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
