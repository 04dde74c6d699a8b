"""The families that the endpoint stands in for, beside the app's own table of Azure's models."""

from __future__ import annotations

import pytest

from local.llm.families import LISTED, LISTED_EMBEDDINGS, embedding_family_of, family_of
from shared.llm.deployments import ModelKind
from shared.llm.packaged_models import packaged_models

TABLE = packaged_models()
CHAT = [name for name, entry in TABLE.items() if entry.kind is not ModelKind.EMBEDDINGS]


@pytest.mark.parametrize("name", CHAT)
def test_every_chat_model_of_azures_table_is_of_a_family_with_its_facts(name: str) -> None:
    family, entry = family_of(name), TABLE[name]

    assert family is not None
    assert family.reasoning is bool(entry.reasoning)
    assert family.encoding == entry.tokenizer
    assert family.output == entry.max_output_tokens
    assert entry.max_input_tokens is not None
    assert entry.max_input_tokens <= family.context


def test_every_embedding_model_of_azures_table_is_known() -> None:
    assert all(embedding_family_of(name) for name in TABLE.keys() - set(CHAT))


def test_what_is_listed_is_of_a_family() -> None:
    assert all(family_of(name) for name in LISTED)
    assert all(embedding_family_of(name) for name in LISTED_EMBEDDINGS)
    assert family_of("gpt-7") is None
