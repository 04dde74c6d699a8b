"""The environment: read in one place, checked at once, failing by name."""

from __future__ import annotations

import pytest

from shared.errors import ConfigurationError
from shared.settings import load_settings

COMPLETE = {
    "ADMIN_API_KEY": "an-administrators-key",
    "COSMOS_ENDPOINT": "http://localhost:8081",
    "SERVICEBUS": "Endpoint=sb://localhost",
    "STORAGE": "UseDevelopmentStorage=true",
    "AZURE_OPENAI_ENDPOINT": "http://localhost:8082",
}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*COMPLETE, "COSMOS_KEY", "LOG_LEVEL", "LOG_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_an_empty_environment_names_everything_that_is_missing() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    assert set(caught.value.missing) == {"ADMIN_API_KEY", "COSMOS_ENDPOINT", "AZURE_OPENAI_ENDPOINT"}


@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_one_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for key, value in COMPLETE.items():
        if key != name:
            monkeypatch.setenv(key, value)

    with pytest.raises(ConfigurationError, match=name):
        load_settings()


def test_a_complete_environment_is_read_and_its_secrets_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in COMPLETE.items():
        monkeypatch.setenv(key, value)

    settings = load_settings()

    assert settings.admin_api_key.get_secret_value() == "an-administrators-key"
    assert "an-administrators-key" not in repr(settings)


def test_an_identity_takes_the_place_of_a_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in COMPLETE.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("SERVICEBUS")
    monkeypatch.setenv("SERVICEBUS__fullyQualifiedNamespace", "example.servicebus.windows.net")

    assert load_settings().servicebus_namespace == "example.servicebus.windows.net"


def test_a_short_administrator_key_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in (COMPLETE | {"ADMIN_API_KEY": "short"}).items():
        monkeypatch.setenv(key, value)

    with pytest.raises(ConfigurationError, match="ADMIN_API_KEY"):
        load_settings()
