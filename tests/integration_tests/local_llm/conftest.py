"""One endpoint for all tests of this folder, told to forget after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from tests.integration_tests.local_host.parts import running_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_part("llm", tmp_path_factory.mktemp("llm")) as port:
        yield port


@pytest.fixture
def port(running: int) -> Iterator[int]:
    yield running
    for what in ("answers", "faults", "limits", "deployments", "keys", "releases", "served"):
        httpx.delete(f"http://127.0.0.1:{running}/_local/{what}").raise_for_status()


@pytest.fixture
def client(port: int) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="local", max_retries=0) as client:
        yield client


@pytest.fixture
def azure(port: int) -> Iterator[openai.AzureOpenAI]:
    with openai.AzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:{port}", api_key="local", api_version="2024-10-21", max_retries=0
    ) as client:
        yield client


@pytest.fixture
def tell(port: int) -> Callable[..., None]:
    """Tell the endpoint what to do."""

    def tell(what: str, **body: object) -> None:
        httpx.post(f"http://127.0.0.1:{port}/_local/{what}", json=body).raise_for_status()

    return tell
