"""The OpenAI service on the platform's store, model and token counter: the document's call, and its use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from compat.azure_openai_service import AzureOpenAIService
from local.supervisor.addresses import COSMOS_KEY
from shared.runtime import Runtime
from shared.settings import Settings
from tests.integration_tests.platform import ADMIN_KEY
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration_tests.platform import Caller, Platform

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def runtime(platform: Platform) -> AsyncIterator[Runtime]:
    """Open the composition root in this process, over the platform that the app is on."""
    settings = Settings.model_validate(
        {
            "ADMIN_API_KEY": ADMIN_KEY,
            "COSMOS_ENDPOINT": platform.addresses["cosmos"],
            "COSMOS_KEY": COSMOS_KEY,
            "SERVICEBUS": "Endpoint=sb://unused;SharedAccessKeyName=n;SharedAccessKey=a2V5",
            "STORAGE": "UseDevelopmentStorage=true",
            "AZURE_OPENAI_ENDPOINT": platform.addresses["llm"],
            "AZURE_OPENAI_API_KEY": "local",
        }
    )
    opened = Runtime(lambda: settings)
    yield opened
    await opened.close()


async def send_the_documents_prompt(service: AzureOpenAIService) -> str:
    async with service:
        return await service.send_prompt(
            system_prompt="You are a helpful assistant.",
            user_prompt="Tell me about {topic}.",
            variables={"topic": "AI"},
        )


def usage_of(caller: Caller) -> list[tuple[str, int]]:
    items = caller.must("GET", "/api/v1/usage?group_by=app_id")["items"]
    return [(row["app_id"], row["total_tokens"]) for row in items]


async def test_the_documents_call_is_answered_and_counted_for_its_tenant(
    platform: Platform, runtime: Runtime
) -> None:
    tenant_id = platform.new_tenant()
    async with httpx.AsyncClient(base_url=platform.addresses["llm"], trust_env=False, verify=NO_TLS) as model:
        before = (await model.get("/_local/served")).json()["total_tokens"]
        service = AzureOpenAIService(app_id="my_app", tenant_id=tenant_id, runtime=runtime)
        text = await send_the_documents_prompt(service)
        served = (await model.get("/_local/served")).json()["total_tokens"] - before

    assert text.startswith("[stand-in for gpt-4o]")
    assert "Tell me about AI." in text
    assert usage_of(platform.caller(tenant_id)) == [("my_app", served)]


async def test_a_token_counter_elsewhere_keeps_the_budget_of_whose_key_it_is_sent(
    platform: Platform, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, pays = platform.new_tenant(), platform.new_tenant()
    payer = platform.caller(pays)
    monkeypatch.setenv("TOKEN_COUNTER_KEY", payer.key)
    service = AzureOpenAIService(
        app_id="my_app",
        token_counter_url=platform.addresses["app"],
        tenant_id=calls,
        runtime=runtime,
    )

    assert await send_the_documents_prompt(service)

    ((app_id, tokens),) = usage_of(payer)
    assert app_id == "my_app"
    assert tokens > 0
    assert payer.must("GET", "/api/v1/tokens/status?app_id=my_app")["locked_tokens"] == 0
    assert usage_of(platform.caller(calls)) == []
