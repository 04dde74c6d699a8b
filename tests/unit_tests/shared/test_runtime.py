"""The composition root: opens each client once, when it is first asked for, and closes what it opened."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from shared.errors import APIError, ConfigurationError
from shared.llm.structured_model import StructuredModel
from shared.logging.context import log_context, logging_as
from shared.probes import probe_dependencies
from shared.runtime import Runtime
from shared.settings import Settings
from tests.support.fakes import FakeClock, tenant_context

SERVICEBUS = "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;"
)


def settings() -> Settings:
    return Settings.model_validate(
        {
            "ADMIN_API_KEY": "an-administrators-key",
            "COSMOS_ENDPOINT": "http://127.0.0.1:1",
            "COSMOS_KEY": "a2V5",
            "SERVICEBUS": SERVICEBUS,
            "STORAGE": STORAGE,
            "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:1",
            "AZURE_OPENAI_API_KEY": "local",
        }
    )


async def test_everything_is_opened_once_and_closed_together() -> None:
    runtime = Runtime(settings, FakeClock())
    try:
        assert runtime.container("jobs") is runtime.container("jobs")
        assert runtime.container("jobs") is not runtime.container("bots")
        assert runtime.sender is runtime.sender
        assert runtime.chat_model is runtime.chat_model
        assert runtime.ledger is runtime.ledger
        assert runtime.tenants is runtime.tenants
        assert runtime.quarantine is runtime.quarantine
        assert isinstance(runtime.metered_model(tenant_context(), "app"), StructuredModel)
    finally:
        await runtime.close()


async def test_every_dependency_that_is_down_says_so_by_name() -> None:
    runtime = Runtime(settings, FakeClock())
    try:
        probes = {probe.name: probe for probe in probe_dependencies(runtime)}
        assert {"Cosmos DB", "Service Bus", "Model", "Blob Storage"} <= set(probes)
        for probe in probes.values():
            assert probe.breaker == "closed"
            with pytest.raises(APIError) as caught:
                await probe.check()
            assert caught.value.status in {503, 504}
    finally:
        await runtime.close()


async def test_without_settings_everything_fails_by_name_and_nothing_else_happens() -> None:
    def missing() -> Settings:
        raise ConfigurationError(["COSMOS_ENDPOINT"])

    runtime = Runtime(missing)

    with pytest.raises(ConfigurationError, match="COSMOS_ENDPOINT"):
        runtime.container("jobs")
    await runtime.close()


async def test_work_beside_the_app_begins_with_the_settings_and_ends_with_the_rest() -> None:
    told: list[str] = []

    async def beside() -> None:
        told.append(f"of {log_context().tenant_id}")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("over")

    runtime = Runtime(settings, FakeClock())
    runtime.begin_with(beside)
    await asyncio.to_thread(lambda: None)
    assert told == []
    with logging_as(tenant_id="acme"):
        assert runtime.settings is runtime.settings
    await asyncio.sleep(0)
    assert told == ["of None"], "it belongs to no request"
    await runtime.close()

    assert told == ["of None", "over"]


async def test_what_was_opened_last_is_closed_first() -> None:
    closed: list[int] = []
    runtime = Runtime(settings, FakeClock())

    async def close(number: int) -> None:
        closed.append(number)

    for number in (1, 2):
        runtime.close_with(partial(close, number))
    await runtime.close()

    assert closed == [2, 1]


def test_a_program_that_asks_for_settings_alone_begins_nothing() -> None:
    async def beside() -> None:
        raise AssertionError("nobody runs this")

    runtime = Runtime(settings, FakeClock())
    runtime.begin_with(beside)

    assert runtime.settings is not None
