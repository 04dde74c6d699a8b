"""One endpoint for all tests of this folder, told to forget after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from tests.integration_tests.local_host.parts import running_part
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_part("llm", tmp_path_factory.mktemp("llm")) as port:
        yield port


@pytest.fixture(scope="session")
def switches(running: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{running}/_local/", verify=NO_TLS) as client:
        yield client


@pytest.fixture
def port(running: int, switches: httpx.Client) -> Iterator[int]:
    yield running
    for what in ("answers", "faults", "limits", "deployments", "keys", "releases", "served"):
        switches.delete(what).raise_for_status()


@pytest.fixture(scope="session")
def any_client(running: int) -> Iterator[openai.OpenAI]:
    """The client of all tests: to open one takes 25 ms."""
    with openai.OpenAI(base_url=f"http://127.0.0.1:{running}/v1", api_key="local", max_retries=0) as client:
        yield client


@pytest.fixture
def client(port: int, any_client: openai.OpenAI) -> openai.OpenAI:
    return any_client


@pytest.fixture(scope="session")
def any_azure(running: int) -> Iterator[openai.AzureOpenAI]:
    """The client of all tests, of Azure's way to ask."""
    address = f"http://127.0.0.1:{running}"
    with openai.AzureOpenAI(
        azure_endpoint=address, api_key="local", api_version="2024-10-21", max_retries=0
    ) as client:
        yield client


@pytest.fixture
def azure(port: int, any_azure: openai.AzureOpenAI) -> openai.AzureOpenAI:
    return any_azure


@pytest.fixture
def tell(port: int, switches: httpx.Client) -> Callable[..., None]:
    """Tell the endpoint what to do."""

    def tell(what: str, **body: object) -> None:
        switches.post(what, json=body).raise_for_status()

    return tell
