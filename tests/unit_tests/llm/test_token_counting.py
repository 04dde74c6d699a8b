"""Tokens are counted as the models count them, from the deployment's own ranks."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import tiktoken

from shared.contracts import ChatMessage
from shared.errors import ConfigurationError
from shared.llm.chat_model import ChatPrompt, CountedTexts
from shared.llm.token_counting import RANKS, TokenCounter, encoding_name

if TYPE_CHECKING:
    from pathlib import Path

COUNTER = TokenCounter()


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("our-deployment", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-32k", "cl100k_base"),
        ("GPT-35-Turbo", "cl100k_base"),
        ("gpt-3.5-turbo-16k", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
    ],
)
def test_a_model_has_its_encoding(model: str, encoding: str) -> None:
    assert encoding_name(model) == encoding


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.slow
async def test_counts_are_tiktokens_own(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(RANKS))
    reference = tiktoken.get_encoding(encoding_name(model))
    chance = random.Random(7)  # noqa: S311  # repeats the same texts
    alphabet = "abcXYZ 0123456789\n\r\t.,'\u2019éßжあ😀<|endoftext|>"
    for length in (0, 1, 11, 500, 9_000):
        text = "".join(chance.choices(alphabet, k=length)) + " It's HELLO World's end   \n\n x"
        assert await COUNTER.count_text(text, model) == len(reference.encode_ordinary(text))


async def test_hello_world_is_two_tokens() -> None:
    assert await COUNTER.count_text("hello world", "gpt-4o") == 2


async def test_a_prompt_is_counted_with_its_framing() -> None:
    messages = (
        ChatMessage(role="system", content="hello world"),
        ChatMessage(role="user", content="hello world"),
    )
    # Each: 3 + role 1 + content 2; the answer's beginning: 3.
    assert await COUNTER.count_prompt(ChatPrompt(messages, "gpt-4o", 10)) == 15


@pytest.mark.parametrize(
    ("tokenizer", "is_known"), [("o200k_base", True), ("gpt-4o", True), ("gpt-4", False)]
)
async def test_texts_that_were_counted_in_the_same_encoding_are_not_counted_again(
    tokenizer: str, *, is_known: bool
) -> None:
    said = (
        ChatMessage(role="user", content="hello world"),
        ChatMessage(role="assistant", content="good day"),
    )
    plain = ChatPrompt(said, "gpt-4o", 10)
    pretended = CountedTexts(tokenizer, {"hello world": 1_000})

    counted = await COUNTER.count_prompt(plain)
    known = await COUNTER.count_prompt(replace(plain, counted=pretended))

    assert known - counted == (1_000 - 2 if is_known else 0)


async def test_missing_ranks_are_named_and_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await TokenCounter(tmp_path).count_text("x", "gpt-4o")
    assert "fb374d419588a4632f3f557e76b4b70aebbca790" in caught.value.message


async def test_spoiled_ranks_are_named(tmp_path: Path) -> None:
    (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").write_bytes(b"IQ== 0\n")
    with pytest.raises(ConfigurationError, match="cl100k_base"):
        await TokenCounter(tmp_path).count_text("x", "gpt-4")


async def test_a_long_text_is_counted_off_the_loop() -> None:
    await COUNTER.count_text("x", "gpt-4o")
    progress = 0
    done = threading.Event()

    async def tick() -> None:
        nonlocal progress
        while not done.is_set():
            progress += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    await COUNTER.count_text("the quick brown fox " * 20_000, "gpt-4o")
    done.set()
    await ticking
    assert progress > 10
