"""The stand-in model as the official client sees it, and as a part of the platform."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import openai
import pytest

from tests.integration_tests.local_host.parts import running_part
from tests.integration_tests.platform import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai.types.chat import ChatCompletionMessageParam

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello world"}]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_part("llm", tmp_path_factory.mktemp("llm")) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="local", max_retries=0) as client:
        yield client


def test_the_client_gets_an_answer_within_its_limit(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=ASKED, max_tokens=5)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9, 5)


def test_a_stream_adds_up_to_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gpt-4o", messages=ASKED)
    with client.chat.completions.create(
        model="gpt-4o", messages=ASKED, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)

    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def test_the_asynchronous_client_works_too(port: int) -> None:
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="local") as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=ASKED)

    assert (answer.choices[0].message.content or "").startswith("[stand-in for gpt-4o]")


def test_azures_client_works_too(port: int) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:{port}", api_key="local", api_version="2024-10-21"
    ) as client:
        answer = client.chat.completions.create(model="my-deployment", messages=ASKED)

    assert answer.model == "my-deployment"


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert "gpt-4o" in [model.id for model in client.models.list()]


def test_a_refusal_is_the_clients_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="response_format") as caught:
        client.chat.completions.create(
            model="gpt-4o", messages=ASKED, response_format={"type": "json_object"}
        )
    assert caught.value.param == "response_format"


def run_part(tmp_path: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own command line
        [sys.executable, "-m", "local.llm", "--port", str(port), "--data-dir", str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_taken_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with run_part(tmp_path, taken.getsockname()[1]) as process:
            _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert len(said.splitlines()) == 1
    assert "already in use" in said


@pytest.mark.parametrize("how", ["told", "orphaned"])
def test_it_stops_when_told_and_when_its_supervisor_is_gone(tmp_path: Path, how: str) -> None:
    with run_part(tmp_path, 0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening ")
        if how == "told":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        assert process.wait(30) == 0
