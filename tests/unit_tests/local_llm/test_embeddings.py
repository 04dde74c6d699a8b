"""Embeddings: OpenAI's wire format, and vectors that say the same each time and like things of like texts."""

from __future__ import annotations

import base64
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.llm.encodings import count
from local.llm.vectors import embed

if TYPE_CHECKING:
    import httpx

    from tests.unit_tests.local_llm.client import Model

SMALL = "text-embedding-3-small"


async def embeddings(model: Model, /, **body: object) -> httpx.Response:
    return await model.client.post("/v1/embeddings", json={"model": SMALL, "input": "hello world"} | body)


async def vectors(model: Model, /, **body: object) -> list[list[float]]:
    response = await embeddings(model, **body)
    assert response.status_code == 200, response.text
    return [one["embedding"] for one in response.json()["data"]]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_an_answer_has_openais_shape(model: Model) -> None:
    answer = (await embeddings(model, input=["hello world", "bye"])).json()

    assert answer.keys() == {"object", "data", "model", "usage"}
    assert (answer["object"], answer["model"]) == ("list", SMALL)
    assert [(one["object"], one["index"]) for one in answer["data"]] == [("embedding", 0), ("embedding", 1)]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


async def test_the_same_text_has_the_same_unit_vector_and_another_one_another(model: Model) -> None:
    first, again, other = await vectors(model, input=["hello world", "hello world", "bye"])

    assert first == again != other
    assert len(first) == 1536
    assert math.isclose(cosine(first, first), 1, abs_tol=1e-6)


@pytest.mark.parametrize("dimensions", [None, 256, 64])
async def test_like_texts_are_nearer_than_unlike_ones_shortened_too(
    model: Model, dimensions: int | None
) -> None:
    about = [
        "How do I return a broken rocket?",
        "I want to return my broken rocket",
        "Blue cheese is a cheese",
    ]
    question, like, unlike = await vectors(model, input=about, dimensions=dimensions)

    assert cosine(question, like) > cosine(question, unlike) + 0.2


async def test_base64_says_the_same_as_floats(model: Model) -> None:
    floats = await vectors(model)
    (packed,) = (await embeddings(model, encoding_format="base64")).json()["data"]

    assert list(struct.unpack("<1536f", base64.b64decode(packed["embedding"]))) == floats[0]


async def test_tokens_are_the_text_that_they_stand_for(model: Model) -> None:
    text, tokens, batch = "hello world", [15339, 1917], [[15339, 1917], [15339]]

    assert await vectors(model, input=tokens) == await vectors(model, input=text)
    response = await embeddings(model, input=batch)
    assert [len(response.json()["data"]), response.json()["usage"]["total_tokens"]] == [2, 3]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": None}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": 5}, 400, "input"),
        ({"input": ["a", ""]}, 400, "input"),
        ({"input": ["a", 5]}, 400, "input"),
        ({"input": [True]}, 400, "input"),
        ({"input": [999_999_999]}, 400, "input"),
        ({"input": [-1]}, 400, "input"),
        ({"input": [2**70]}, 400, "input"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"input": "a " * 9000}, 400, "input"),
        ({"input": [1] * 8193}, 400, "input"),
        ({"input": ["a " * 8000] * 40}, 400, "input"),
        ({"dimensions": 0}, 400, "dimensions"),
        ({"dimensions": 1537}, 400, "dimensions"),
        ({"model": "text-embedding-ada-002", "dimensions": 8}, 400, "dimensions"),
        ({"encoding_format": "hex"}, 400, "encoding_format"),
        ({"nothing": 1}, 400, "nothing"),
        ({"model": "gpt-4o"}, 403, None),
        ({"model": "text-embedding-4"}, 404, None),
        ({"model": None}, 400, None),
    ],
)
async def test_what_openai_refuses_is_refused(
    model: Model, body: dict[str, Any], status: int, param: str | None
) -> None:
    response = await embeddings(model, **body)

    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


async def test_a_chat_with_an_embedding_model_is_refused(model: Model) -> None:
    assert (await model.ask(model=SMALL)).status_code == 404


async def test_azures_path_takes_a_deployment(model: Model) -> None:
    await model.tell("deployments", name="our-vectors", model="text-embedding-3-large")
    path = "/openai/deployments/{}/embeddings?api-version=2024-10-21"

    answer = await model.client.post(path.format("our-vectors"), json={"input": "x"})
    assert len(answer.json()["data"][0]["embedding"]) == 3072
    refused = await model.client.post(path.format("gpt-4o"), json={"input": "x"})
    assert refused.json()["error"]["code"] == "OperationNotSupported"


async def test_faults_limits_and_counts_are_for_embeddings_too(model: Model) -> None:
    await model.tell("faults", status=503, contains="hello")
    assert (await embeddings(model)).status_code == 503
    await model.tell("limits", model=SMALL, tokens_per_minute=3)
    assert (await embeddings(model, user="ann")).headers["x-ratelimit-remaining-tokens"] == "1"
    assert (await embeddings(model)).status_code == 429
    served = await model.served()
    assert served["by_user"]["ann"]["prompt_tokens"] == 2
    assert served["by_model"][SMALL]["completion_tokens"] == 0


@settings(deadline=None, max_examples=50)
@given(st.text(), st.sampled_from([8, 64, 1536]), st.integers(1, 64))
def test_every_text_has_a_unit_vector_of_every_length(text: str, dimensions: int, wanted: int) -> None:
    vector = embed(text, dimensions, min(wanted, dimensions))

    assert len(vector) == min(wanted, dimensions)
    assert math.isclose(sum(value * value for value in vector), 1)


@pytest.mark.slow
def test_a_run_of_blanks_of_any_length_is_counted() -> None:
    assert count("o200k_base", " " * 1_000_000) > 0
    assert count("o200k_base", "a" + " " * 60_000 + "b") > count("o200k_base", "a b")
