"""The client of embedding models: where it asks, what it reads of an answer, and what it does not take."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field

import httpx2
import pytest

from shared.contracts import Usage
from shared.llm.bounded_answer import MOST_BYTES
from shared.llm.chat_model import UnusableAnswerError
from shared.llm.embedding_answer import BLOCK_BYTES, read_embeddings, rename_model
from shared.llm.embedding_model import EmbeddingPrompt
from tests.support.fakes import FakeClock
from tests.support.models import deployment, open_embedding_model
from tests.support.openai_answers import embeddings_json

SMALL = "text-embedding-3-small"
BATCH = EmbeddingPrompt(
    model=SMALL,
    fields={"input": ["a", "b"], "dimensions": 2},
    texts=["a", "b"],
    inputs=2,
    route=(deployment(SMALL, kind="embeddings"),),
)


def answer(**changes: object) -> bytes:
    return json.dumps(embeddings_json(2, 5) | changes).encode()


@dataclass
class Endpoint:
    """Answers as it is told, and keeps what it was sent."""

    content: bytes
    requests: list[httpx2.Request] = field(default_factory=list)

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200, content=self.content)


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({}, "http://model.test/openai/v1/embeddings"),
        (
            {"provider": "azure-api-version", "api_version": "2024-10-21"},
            f"http://model.test/openai/deployments/{SMALL}/embeddings?api-version=2024-10-21",
        ),
        (
            {"provider": "openai-compatible", "base_url": "http://localhost:11434/v1"},
            "http://localhost:11434/v1/embeddings",
        ),
    ],
)
async def test_a_batch_is_sent_where_its_deployment_is(said: dict[str, object], url: str) -> None:
    endpoint = Endpoint(answer())
    model = open_embedding_model(endpoint.handle, FakeClock())
    prompt = EmbeddingPrompt(
        model=SMALL, fields=BATCH.fields, texts=BATCH.texts, inputs=2, route=(deployment(SMALL, **said),)
    )
    embeddings = await model.embed(prompt)

    [request] = endpoint.requests
    assert str(request.url) == url
    assert json.loads(request.content) == {"input": ["a", "b"], "dimensions": 2, "model": SMALL}
    assert (embeddings.usage, embeddings.deployment) == (Usage(prompt_tokens=5, total_tokens=5), SMALL)


async def test_an_answer_may_be_larger_than_any_chats() -> None:
    vector = base64.b64encode(bytes(MOST_BYTES)).decode()
    endpoint = Endpoint(answer(data=[{"index": index, "embedding": vector} for index in range(2)]))

    embeddings = await open_embedding_model(endpoint.handle, FakeClock()).embed(BATCH)

    assert embeddings.content == endpoint.content


@pytest.mark.parametrize(
    ("content", "usage"),
    [
        (b"not JSON", None),
        (b"[]", None),
        (answer(usage={}), None),
        (answer(data=[]), Usage(prompt_tokens=5, total_tokens=5)),
        (answer(data=[{"index": 0}, {"index": 0}]), Usage(prompt_tokens=5, total_tokens=5)),
        (answer(data=[{"index": 1}, {"index": 2}]), Usage(prompt_tokens=5, total_tokens=5)),
    ],
)
async def test_an_answer_without_one_vector_for_each_input_or_its_usage_is_none(
    content: bytes, usage: Usage | None
) -> None:
    with pytest.raises(UnusableAnswerError) as refused:
        await read_embeddings(content, SMALL, 2)

    assert refused.value.usage == usage


async def test_the_order_of_vectors_is_the_providers() -> None:
    content = answer(data=[{"index": 1}, {"index": 0}])

    assert (await read_embeddings(content, SMALL, 2)).content == content


@pytest.mark.parametrize("vector", [[0.5, -1e-05, 1], "AAA/+w==", [1]])
async def test_vectors_are_left_out_of_what_is_read_however_they_are_written(vector: object) -> None:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(2)]
    for content in (
        answer(data=data),
        answer(data=data).replace(b": ", b":"),
        answer(data=data, model="embedding"),
    ):
        embeddings = await read_embeddings(content, SMALL, 2)

        assert (embeddings.content, embeddings.usage.prompt_tokens) == (content, 5)


@pytest.mark.parametrize("vector", ["[]", '""', "[1, x]", '[1, "a"]', '"no base64!"', "[[1]]", "[1", '"AA'])
async def test_what_is_no_vector_is_no_answer(vector: str) -> None:
    content = answer(data=[{"index": 0, "embedding": "HERE"}]).replace(b'"HERE"', vector.encode())

    with pytest.raises(UnusableAnswerError):
        await read_embeddings(content, SMALL, 1)


async def test_a_large_answer_is_read_in_steps_between_which_others_run() -> None:
    vector = [0.0123456789] * 1_536
    data = [{"index": index, "embedding": vector} for index in range(256)]
    content = answer(data=data)
    reading = asyncio.create_task(read_embeddings(content, SMALL, 256))
    steps = 0
    while not reading.done():
        steps += 1
        await asyncio.sleep(0)

    assert len(reading.result().content) == len(content)
    assert steps >= len(content) // BLOCK_BYTES > 5


async def test_an_answer_that_is_large_beside_its_vectors_is_none() -> None:
    with pytest.raises(UnusableAnswerError):
        await read_embeddings(answer(padding="x" * 2 * 1024 * 1024), SMALL, 2)


@pytest.mark.parametrize(
    "written", [b'{"model": "theirs", "a": "theirs"}', b'{"model":"th\\"eirs","a":"theirs"}']
)
def test_an_answer_is_renamed_and_nothing_else_of_it_is_changed(written: bytes) -> None:
    assert json.loads(rename_model(written, "ours")) == {"model": "ours", "a": "theirs"}


def test_an_answer_that_names_no_model_stays_as_it_is() -> None:
    assert rename_model(b'{"a": 1}', "ours") == b'{"a": 1}'
