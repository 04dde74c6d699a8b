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


OIDC = {"OIDC_ISSUER": "https://login.example/v2.0", "OIDC_AUDIENCE": "api://tenantry"}


def test_user_tokens_are_off_unless_an_issuer_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in COMPLETE.items():
        monkeypatch.setenv(key, value)

    assert load_settings().oidc_issuer is None


def test_the_meaning_of_claims_is_read_as_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = {"OIDC_ROLE_MAP": "App.Admin=tenant_admin, App.User=user", "OIDC_TENANT_MAP": "8f=acme"}
    for key, value in (COMPLETE | OIDC | maps).items():
        monkeypatch.setenv(key, value)

    settings = load_settings()

    assert settings.oidc_role_map == {"App.Admin": "tenant_admin", "App.User": "user"}
    assert settings.oidc_tenant_map == {"8f": "acme"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"OIDC_AUDIENCE": None}, "OIDC_AUDIENCE"),
        ({"OIDC_ISSUER": None}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "http://login.example"}, "OIDC_ISSUER"),
        ({"OIDC_JWKS_URL": "http://login.example/keys"}, "OIDC_JWKS_URL"),
        ({"OIDC_ROLE_MAP": "App.Owner=admin"}, "OIDC_ROLE_MAP"),
        ({"OIDC_ROLE_MAP": "App.Owner"}, "OIDC_ROLE_MAP"),
        ({"OIDC_LEEWAY_SECONDS": "301"}, "OIDC_LEEWAY_SECONDS"),
        ({"AUTH_CACHE_SECONDS": "30"}, "AUTH_CACHE_SECONDS"),
    ],
)
def test_what_would_weaken_authentication_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], named: str
) -> None:
    for key, value in (COMPLETE | OIDC | changed).items():
        if value is not None:
            monkeypatch.setenv(key, value)

    with pytest.raises(ConfigurationError, match=named):
        load_settings()


def test_the_keys_of_models_are_read_by_the_beginning_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in COMPLETE.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MODEL_KEY_GROQ", "a-key")
    monkeypatch.setenv("MODEL_KEY_EMPTY", "")
    monkeypatch.setenv("A_MODEL_KEY_X", "another's")
    monkeypatch.setenv("MODEL_CATALOGUE", '{"ours": {"model": "gpt-4o"}}')

    settings = load_settings()

    assert {name: key.get_secret_value() for name, key in settings.model_keys.items()} == {
        "MODEL_KEY_GROQ": "a-key"
    }
    assert settings.model_catalogue == {"ours": {"model": "gpt-4o"}}
    assert "a-key" not in repr(settings)


@pytest.mark.parametrize("value", ["{", "[]", "1", ""])
def test_a_catalogue_that_is_no_json_object_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for key, complete in COMPLETE.items():
        monkeypatch.setenv(key, complete)
    monkeypatch.setenv("MODEL_CATALOGUE", value)

    with pytest.raises(ConfigurationError, match="MODEL_CATALOGUE"):
        load_settings()
