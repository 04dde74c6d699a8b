"""Images are passed on, counted by the model's formula, and refused where nobody could count them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2
import pytest

from shared.contracts import Usage
from tests.support.fakes import Call
from tests.support.openai_answers import completion_json
from tests.unit_tests.chat.openai.gateway import HELLO, USED, gateway
from tests.unit_tests.llm.test_image_tokens import png

if TYPE_CHECKING:
    from tests.unit_tests.chat.openai.gateway import Json

URL = "https://example.com/x.png"


def look_at(url: str, **more: object) -> list[Json]:
    """Ask about an image."""
    image = {"type": "image_url", "image_url": {"url": url, **more}}
    return [{"role": "user", "content": [{"type": "text", "text": "hello"}, image]}]


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        (look_at(URL), 1_445),
        (look_at(URL, detail="low"), 85),
        (look_at(png(512, 512)), 255),
    ],
)
async def test_an_image_is_counted_by_its_size_and_detail(messages: list[Json], tokens: int) -> None:
    async with gateway() as opened:
        text = await opened.send(HELLO)
        image = await opened.send(HELLO | {"messages": messages})
        left = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in (text, image)]

        assert opened.provider.bodies[1]["messages"] == messages
    more_text = left[0] - left[1] - USED.total_tokens - tokens
    assert 0 <= more_text <= 5  # the words that a content of parts has beside its text


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (look_at("http://169.254.169.254/x"), "messages[0].content[1].image_url.url"),
        (look_at("file:///etc/passwd"), "messages[0].content[1].image_url.url"),
        (look_at(URL, detail="original"), "messages[0].content[1].image_url.detail"),
    ],
)
async def test_an_image_that_nobody_could_count_is_refused(messages: list[Json], param: str) -> None:
    async with gateway() as opened:
        status, error = await opened.refuse(messages=messages)

    assert (status, error["param"]) == (400, param)


async def test_a_model_that_takes_no_images_is_sent_none() -> None:
    async with gateway() as opened:
        status, error = await opened.refuse(model="o3-mini", messages=look_at(URL))

        assert not opened.provider.bodies
    assert (status, error["param"]) == (400, "messages")


async def test_64_callers_with_many_answers_and_images_get_no_token_more_than_the_budget() -> None:
    limit, most = 60_000, 500
    messages = look_at(URL)

    async def respond(body: Json) -> httpx2.Response:
        await asyncio.sleep(0)
        completion = most * body["n"]
        prompt = 1_445 + 12  # the most that an image of an unknown size counts, and the words
        used = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
        reported.append(used.total_tokens)
        return httpx2.Response(200, json=completion_json("Hi.", used, "gpt-4o"))

    reported: list[int] = []
    async with gateway() as opened:
        opened.provider.respond = respond
        limits = Call.of({"tokens_per_minute": limit}, headers=opened.app.admin, tenant_id="acme")
        await opened.app.must("put_limits", limits)
        asked = [
            opened.send(HELLO | {"messages": messages, "n": 1 + number % 4, "max_tokens": most})
            for number in range(64)
        ]
        answers = await asyncio.gather(*asked)
        used, locked = await opened.used_tokens()

    assert {answer.status for answer in answers} == {200, 429}
    assert locked == 0
    assert used == sum(reported) <= limit
    assert sum(reported) > limit - 4 * most - 2_000
