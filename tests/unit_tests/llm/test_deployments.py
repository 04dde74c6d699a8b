"""Entries of the catalogue: where a deployment may be, and which credential it is sent."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pydantic
import pytest
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.llm.deployment_access import DeploymentAccess, OwnResource
from shared.llm.deployments import CatalogueEntry, CatalogueSource, complete_entry, find_model
from shared.llm.model_address import parse_address
from shared.llm.packaged_models import packaged_models
from tests.support.models import OWN, deployment, no_token

if TYPE_CHECKING:
    from collections.abc import Mapping

AZURE = "https://ours.openai.azure.com"
ELSEWHERE = "https://models.example.com/v1"


async def token(scope: str) -> str:
    return f"token for {scope}"


async def headers_of(said: Mapping[str, object], access: DeploymentAccess | None = None) -> dict[str, str]:
    access = access or DeploymentAccess(OWN, token, {"MODEL_KEY_A": SecretStr("a-key")})
    return await access.headers(deployment(**said))


@pytest.mark.parametrize(
    "url",
    [
        "https://ours.openai.azure.com",
        "https://OURS.openai.azure.com/openai/v1/",
        "https://ours.services.ai.azure.com",
        "https://ours.cognitiveservices.azure.com:443",
    ],
)
def test_a_resource_of_azures_is_known_by_its_host(url: str) -> None:
    address = parse_address(url)
    assert address is not None
    assert address.is_azure


@pytest.mark.parametrize(
    "url",
    [
        "http://ours.openai.azure.com",
        "https://ours.openai.azure.com:8443",
        "https://openai.azure.com",
        "https://.openai.azure.com",
        "https://ours.openai.azure.com.example.com",
        "https://example.com/ours.openai.azure.com",
        "https://oursopenai.azure.com",
        "https://a.b.openai.azure.com",
        "https://-.openai.azure.com",
        "https://ours.openai.azure.co",
        "https://ours.azurewebsites.net",
        "https://localhost",
    ],
)
def test_what_is_not_azures_is_not_taken_for_it(url: str) -> None:
    address = parse_address(url)
    assert address is None or not address.is_azure


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ours.openai.azure.com",
        "ftp://ours.openai.azure.com",
        "https://user@ours.openai.azure.com",
        "https://evil.example#.openai.azure.com",
        "https://evil.example?.openai.azure.com",
        "https://evil.example\\.openai.azure.com",
        "https://ours.openai.azure.com/a?b=c",
        "https://ours.openai.azure.com/../x",
        "https://ours.openai.azure.com/%2e%2e",
        "https://ours.openai.azure.com\n",
        "https://ours.openai.azure.com /",
        "https://ours.openai.azure.com.",
        "https://ours.openai.azure.com:",
        "https://\u043eurs.openai.azure.com",
        "https://[::1%25eth0]",
        "file:///etc/passwd",
    ],
)
def test_what_two_parsers_could_read_as_two_hosts_is_no_address(url: str) -> None:
    assert parse_address(url) is None
    with pytest.raises(pydantic.ValidationError):
        CatalogueEntry.model_validate({"base_url": url, "key_setting": "MODEL_KEY_A"})


@pytest.mark.parametrize(
    "said",
    [
        {"base_url": "http://models.example.com", "key_setting": "MODEL_KEY_A"},
        {"base_url": "http://localhost.example.com", "key_setting": "MODEL_KEY_A"},
        {"base_url": ELSEWHERE},
        {"base_url": "http://localhost:8082"},
        {
            "base_url": "https://models.example.com",
            "provider": "azure-api-version",
            "api_version": "2024-10-21",
        },
        {"provider": "openai-compatible"},
        {"provider": "azure-api-version"},
        {"api_version": "2024-10-21"},
        {"key_setting": "MODEL_KEY_A"},
        {"base_url": AZURE, "key_setting": "ADMIN_API_KEY"},
        {"base_url": AZURE, "key_setting": "COSMOS_KEY"},
        {"base_url": AZURE, "key_setting": "MODEL_KEY_"},
        {"base_url": AZURE, "key_setting": "MODEL_KEY_A\n"},
        {"base_url": AZURE, "key_setting": "AZURE_OPENAI_API_KEY"},
        {"price": {"prompt": "-1", "completion": "1"}},
        {"fallbacks": ["a b"]},
        {"max_output_tokens": 0},
    ],
)
def test_an_entry_that_would_send_a_secret_astray_is_none(said: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        CatalogueEntry.model_validate(said)


async def test_each_deployment_is_sent_its_own_credential_and_no_other() -> None:
    v1, versioned = "https://ai.azure.com/.default", "https://cognitiveservices.azure.com/.default"
    compatible = {"provider": "openai-compatible", "base_url": ELSEWHERE}
    old = {"provider": "azure-api-version", "api_version": "2024-10-21", "base_url": AZURE}

    assert await headers_of({}) == {"api-key": "key"}
    assert await headers_of({"base_url": AZURE}) == {"Authorization": f"Bearer token for {v1}"}
    assert await headers_of(old) == {"Authorization": f"Bearer token for {versioned}"}
    assert await headers_of({"base_url": ELSEWHERE, "key_setting": "MODEL_KEY_A"}) == {"api-key": "a-key"}
    assert await headers_of(compatible | {"key_setting": "MODEL_KEY_A"}) == {"Authorization": "Bearer a-key"}
    assert await headers_of(compatible) == {}


async def test_a_key_that_is_not_set_is_named_and_nothing_else_takes_its_place() -> None:
    with pytest.raises(ConfigurationError, match="MODEL_KEY_B"):
        await headers_of({"base_url": AZURE, "key_setting": "MODEL_KEY_B"})


@pytest.mark.parametrize("endpoint", ["http://model.test", "https://gateway.example.com", "https://a@b"])
async def test_the_own_resource_gets_the_identitys_token_only_where_it_is_azures(endpoint: str) -> None:
    access = DeploymentAccess(OwnResource(endpoint), no_token)
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_API_KEY"):
        await headers_of({}, access)


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({}, "http://model.test/openai/v1/chat/completions"),
        ({"base_url": AZURE}, f"{AZURE}/openai/v1/chat/completions"),
        ({"base_url": f"{AZURE}/openai/v1/"}, f"{AZURE}/openai/v1/chat/completions"),
        ({"provider": "openai-compatible", "base_url": ELSEWHERE}, f"{ELSEWHERE}/chat/completions"),
        (
            {
                "provider": "azure-api-version",
                "api_version": "2024-10-21",
                "base_url": AZURE,
                "deployment": "a/b:c",
            },
            f"{AZURE}/openai/deployments/a%2Fb%3Ac/chat/completions?api-version=2024-10-21",
        ),
        (
            {"provider": "azure-api-version", "api_version": "2024-10-21"},
            "http://model.test/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        ),
    ],
)
def test_each_provider_has_its_own_paths(said: dict[str, object], url: str) -> None:
    assert DeploymentAccess(OWN, no_token).chat_url(deployment(**said)) == url


@pytest.mark.parametrize("version", [None, "2024-10-21"])
@pytest.mark.parametrize("endpoint", ["http://m.test", "http://m.test/", "http://m.test/openai/v1/"])
def test_the_own_resources_models_are_listed_by_its_interface(endpoint: str, version: str | None) -> None:
    url = DeploymentAccess(OwnResource(endpoint, api_version=version), no_token).models_url()
    assert url.endswith("/openai/v1/models" if version is None else "/openai/models?api-version=2024-10-21")


def test_what_an_entry_leaves_out_is_its_models_and_what_it_says_wins() -> None:
    model = find_model(packaged_models(), "gpt-6-sol-2026-09-01")
    entry = CatalogueEntry.model_validate(
        {"model": "gpt-6-sol", "default_output_tokens": 999_999, "retires_on": "2030-01-01"}
    )
    one = complete_entry("ours", entry, model, CatalogueSource.STORED)

    assert (one.reasoning, one.deployment, one.max_input_tokens) == (True, "ours", 922_000)
    assert one.price is not None
    assert (str(one.price.prompt), str(one.price.cached)) == ("2", "0.2")
    assert (one.default_output_tokens, one.retires_on) == (128_000, date(2030, 1, 1))


def test_an_output_limit_is_the_calls_or_the_entrys_default_and_never_above_the_models() -> None:
    one = deployment(max_output_tokens=1_000, default_output_tokens=300)
    assert [one.limit_output(asked) for asked in (None, 7, 5_000)] == [300, 7, 1_000]
    assert (deployment().limit_output(None), deployment(reasoning=True).limit_output(None)) == (4_096, 8_192)


def test_a_malformed_entry_is_told_without_what_was_written() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        CatalogueEntry.model_validate({"key_setting": "my-secret-key"})
    assert "my-secret-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("today", "left", "soon"),
    [
        (date(2027, 1, 13), 91, False),
        (date(2027, 1, 14), 90, True),
        (date(2027, 4, 14), 0, True),
        (date(2028, 1, 1), 0, True),
    ],
)
def test_a_retirement_is_told_ninety_days_before(today: date, left: int, *, soon: bool) -> None:
    one = deployment(retires_on="2027-04-14")
    assert (one.days_left(today), one.retires_soon(today)) == (left, soon)
    assert (deployment().days_left(today), deployment().retires_soon(today)) == (None, False)


def test_the_packaged_table_knows_which_models_reason() -> None:
    table = packaged_models()
    assert all(table[name].reasoning for name in ("gpt-6-sol", "gpt-6.1-sol", "gpt-5", "o3", "o4-mini"))
    assert not any(table[name].reasoning for name in ("gpt-4o", "gpt-4.1", "gpt-5-chat", "gpt-5.1-chat"))
    assert all(entry.price is not None for entry in table.values())
