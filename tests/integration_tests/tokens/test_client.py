"""`TokenClient` in earnest: one contract over HTTP to the real app, and over the real store in process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from local.supervisor.addresses import COSMOS_KEY
from shared.errors import ValidationError
from shared.runtime import Runtime
from shared.settings import Settings
from shared.tokens.errors import LockNotFoundError
from tenantry_client.errors import CredentialError, OutOfReachError
from tenantry_client.http.aiohttp_sender import AiohttpSender
from tenantry_client.http.credentials import FixedKey
from tenantry_client.http.service import HttpService
from tenantry_client.token_client import MOST_ANSWER_BYTES, NAME, HttpTransport, TokenClient
from tenantry_client.token_limit_retry import with_token_limit_retry
from tests.integration_tests.platform import ADMIN_KEY, ROOT
from tests.support.token_client_contract import TokenClientContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration_tests.platform import Platform

pytestmark = pytest.mark.timeout(180)

DOCUMENTED = """
from tenantry_client.token_client import TokenClient
import asyncio
async def main():
    # Initialize client
    client = TokenClient(app_id="my_app", base_url="http://token-counter:8000")

    # Lock tokens for usage
    allowed, request_id, error = await client.lock_tokens(1000)

    # Report actual usage
    await client.report_usage(request_id, prompt_tokens=500, completion_tokens=200)
    print(allowed, request_id.count(":"), error, (await client.get_status()).used_tokens)
asyncio.run(main())
"""
"""The token client's usage as the common library's document has it, but for its import line."""


def over_http(address: str, key: str) -> TokenClient:
    service = HttpService(address, FixedKey(key), AiohttpSender(MOST_ANSWER_BYTES), name=NAME)
    return TokenClient("my_app", transport=HttpTransport(service))


class TestOverSockets(TokenClientContract):
    """The contract over HTTP."""

    @pytest.fixture
    def client(self, platform: Platform) -> TokenClient:
        return over_http(platform.addresses["app"], platform.caller(platform.new_tenant(), "user").key)

    @pytest.fixture
    def other(self, platform: Platform) -> TokenClient:
        return over_http(platform.addresses["app"], platform.caller(platform.new_tenant(), "user").key)


@pytest.fixture
async def runtime(platform: Platform) -> AsyncIterator[Runtime]:
    settings = Settings.model_validate(
        {
            "ADMIN_API_KEY": ADMIN_KEY,
            "COSMOS_ENDPOINT": platform.addresses["cosmos"],
            "COSMOS_KEY": COSMOS_KEY,
            "SERVICEBUS": "not used here",
            "STORAGE": "not used here",
            "AZURE_OPENAI_ENDPOINT": platform.addresses["llm"],
        }
    )
    opened = Runtime(lambda: settings)
    yield opened
    await opened.close()


class TestInProcess(TokenClientContract):
    """The contract over the ledger of this process, in the real store."""

    not_found = LockNotFoundError
    invalid = ValidationError

    @pytest.fixture
    async def client(self, platform: Platform, runtime: Runtime) -> TokenClient:
        tenant = await runtime.authenticator.for_platform(platform.new_tenant())
        return runtime.token_client("my_app", tenant)

    @pytest.fixture
    async def other(self, platform: Platform, runtime: Runtime) -> TokenClient:
        tenant = await runtime.authenticator.for_platform(platform.new_tenant())
        return runtime.token_client("my_app", tenant)


def test_the_documents_usage_runs_but_for_the_import_line_and_the_address(platform: Platform) -> None:
    script = textwrap.dedent(DOCUMENTED).replace("http://token-counter:8000", platform.addresses["app"])
    key = platform.caller(platform.new_tenant(), "user").key

    ran = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TOKEN_COUNTER_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.stdout, ran.stderr) == ("True 1 None 700\n", "")


async def test_the_documents_retry_takes_the_client_as_it_is(platform: Platform) -> None:
    client = over_http(platform.addresses["app"], platform.caller(platform.new_tenant(), "user").key)

    async def my_async_function(tokens: int, *, model: str) -> str:
        allowed, request_id, error = await client.lock_tokens(tokens, model)
        assert allowed, error
        assert request_id is not None
        await client.report_usage(request_id, tokens, 0)
        return model

    assert await with_token_limit_retry(my_async_function, client, 100, model="gpt-4o") == "gpt-4o"
    assert (await client.get_status()).used_tokens == 100


async def test_locks_of_one_client_and_another_in_process_come_out_of_one_budget(
    platform: Platform, runtime: Runtime
) -> None:
    tenant_id = platform.new_tenant()
    http = over_http(platform.addresses["app"], platform.caller(tenant_id, "user").key)
    inside = runtime.token_client("my_app", await runtime.authenticator.for_platform(tenant_id))

    _, by_http, _ = await http.lock_tokens(150_000)
    refused = await inside.lock_tokens(60_000)
    assert by_http is not None
    await inside.release_tokens(by_http)

    assert not refused.allowed
    assert (await inside.lock_tokens(60_000)).allowed
    assert (await http.get_status()).locked_tokens == 60_000


async def test_a_wrong_key_is_named_and_no_key_leaks_into_what_is_raised(platform: Platform) -> None:
    key = platform.caller(platform.new_tenant(), "user").key
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")

    with pytest.raises(CredentialError) as refused:
        await over_http(platform.addresses["app"], wrong).lock_tokens(1)

    assert not re.search(r"tk\.", f"{refused.value!r} {refused.value.detail}")


async def test_a_counter_that_is_not_there_admits_nothing() -> None:
    with pytest.raises(OutOfReachError, match="The token counter"):
        await over_http("http://127.0.0.1:9", "tk.x.y.z").lock_tokens(1)
