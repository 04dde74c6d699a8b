"""The only reader of the environment: one model, checked when it is first needed, failing by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, override

from pydantic import BeforeValidator, Field, JsonValue, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_MODEL_KEY = "MODEL_KEY_"

MAX_AUTH_CACHE_SECONDS = 25.0
"""The longest that a key or tenant may go on as it last was (`shared/tenancy/credential_cache.py`)."""


class LoggingSettings(BaseSettings):
    """Settings of logging, with defaults throughout, so that a broken configuration can be logged."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    app_name: str = Field("tenantry", alias="APP_NAME", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", alias="LOG_LEVEL")
    log_dir: Path | None = Field(None, alias="LOG_DIR")


def _pairs(text: object) -> object:
    """Read `this=that,these=those`."""
    if not isinstance(text, str):
        return text
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(sign for _, sign, _ in pairs):
        raise ValueError("pairs such as this=that,these=those are expected")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _json(text: object) -> object:
    """Read JSON; pydantic-settings itself would not name the setting that has none."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("JSON is expected") from None


type _Map[V] = Annotated[dict[str, V], NoDecode, BeforeValidator(_pairs)]


class OidcSettings(BaseSettings):
    """Settings of user tokens, which are accepted beside API keys; none are without an issuer.

    Attributes:
        oidc_issuer: The `iss` of each token, to the letter.
        oidc_audience: The `aud` that tokens for this app have.
        oidc_jwks_url: Where the signing keys are; by the issuer's discovery document unless it is set.
        oidc_tenant_claim: The claim that names the tenant. Only the provider's administrators may be able to
            set it: whoever sets it chooses the tenant.
        oidc_tenant_map: Tenant ids by the claim's values, as `value=id,...`; without it the value is the id.
        oidc_role_claim: The claim with the roles, a text or a list.
        oidc_role_map: Roles by the claim's values. A token without any of them is refused.
        oidc_leeway_seconds: How far the provider's clock may be off.
        oidc_allow_http: Whether the provider may be asked without TLS; for tests.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    oidc_issuer: str | None = Field(None, alias="OIDC_ISSUER", pattern=r"^https?://\S+$")
    oidc_audience: str | None = Field(None, alias="OIDC_AUDIENCE", min_length=1)
    oidc_jwks_url: str | None = Field(None, alias="OIDC_JWKS_URL", pattern=r"^https?://\S+$")
    oidc_tenant_claim: str = Field("tid", alias="OIDC_TENANT_CLAIM", min_length=1)
    oidc_tenant_map: _Map[str] = Field({}, alias="OIDC_TENANT_MAP")
    oidc_role_claim: str = Field("roles", alias="OIDC_ROLE_CLAIM", min_length=1)
    oidc_role_map: _Map[Literal["user", "tenant_admin"]] = Field(
        {"user": "user", "tenant_admin": "tenant_admin"}, alias="OIDC_ROLE_MAP"
    )
    oidc_leeway_seconds: float = Field(60, alias="OIDC_LEEWAY_SECONDS", ge=0, le=300)
    oidc_allow_http: bool = Field(default=False, alias="OIDC_ALLOW_HTTP")

    @model_validator(mode="after")
    def _name_what_an_issuer_needs(self) -> Self:
        if self.oidc_issuer is not None and self.oidc_audience is None:
            raise ConfigurationError(["OIDC_AUDIENCE"])
        if self.oidc_issuer is None and self.oidc_audience is not None:
            raise ConfigurationError(["OIDC_ISSUER"])
        plain = {"OIDC_ISSUER": self.oidc_issuer, "OIDC_JWKS_URL": self.oidc_jwks_url}
        insecure = [name for name, url in plain.items() if url is not None and url.startswith("http://")]
        if insecure and not self.oidc_allow_http:
            raise ConfigurationError(insecure)
        return self


class _ModelKeysSource(PydanticBaseSettingsSource):
    """All settings `MODEL_KEY_...` as one field."""

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        return None, field_name, False

    @override
    def __call__(self) -> dict[str, object]:
        keys = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(_MODEL_KEY) and name != _MODEL_KEY and value
        }
        return {_MODEL_KEY: keys}


class Settings(LoggingSettings, OidcSettings):
    """Settings of a deployment, by the names of its application settings.

    Where no key is set, the clients authenticate with `DefaultAzureCredential`.
    """

    admin_api_key: SecretStr = Field(alias="ADMIN_API_KEY", min_length=16)
    admin_api_key_next: SecretStr | None = Field(None, alias="ADMIN_API_KEY_NEXT", min_length=16)

    auth_cache_seconds: float = Field(20, alias="AUTH_CACHE_SECONDS", ge=0, le=MAX_AUTH_CACHE_SECONDS)
    """How long a key or tenant may go on as it last was; with the store's replication, below 30 s."""

    cosmos_endpoint: str = Field(alias="COSMOS_ENDPOINT")
    cosmos_key: SecretStr | None = Field(None, alias="COSMOS_KEY")
    cosmos_database: str = Field("tenantry", alias="COSMOS_DATABASE")

    prompts_prefetch: str = Field("", alias="PROMPTS_PREFETCH", pattern=r"^[A-Za-z0-9._, -]{0,8000}$")

    servicebus: SecretStr | None = Field(None, alias="SERVICEBUS")
    servicebus_namespace: str | None = Field(None, alias="SERVICEBUS__fullyQualifiedNamespace")
    reasoner_in_queue: str = Field("reasoner-in", alias="REASONER_IN_QUEUE")
    reasoner_out_queue: str = Field("reasoner-out", alias="REASONER_OUT_QUEUE")
    reasoner_hold_seconds: float = Field(75.0, alias="REASONER_HOLD_SECONDS", ge=5, le=600)
    """How long a job stays its worker's without a sign of life: longer than its queue locks a message."""

    budget_alerts_queue: str = Field("budget-alerts-out", alias="BUDGET_ALERTS_QUEUE")

    storage: SecretStr | None = Field(None, alias="STORAGE")
    storage_blob_uri: str | None = Field(None, alias="STORAGE__blobServiceUri")
    logs_container: str = Field("logs", alias="LOGS_CONTAINER")

    openai_endpoint: str = Field(alias="AZURE_OPENAI_ENDPOINT")
    openai_api_key: SecretStr | None = Field(None, alias="AZURE_OPENAI_API_KEY")
    openai_api_version: str | None = Field(None, alias="AZURE_OPENAI_API_VERSION", min_length=1)
    """Azure's v1 without it, which has no versions."""

    openai_model: str = Field("gpt-4o", alias="AZURE_OPENAI_MODEL")

    model_catalogue: Annotated[dict[str, JsonValue], NoDecode, BeforeValidator(_json)] = Field(
        {}, alias="MODEL_CATALOGUE"
    )
    """Entries by name over the packaged ones (`shared/llm/catalogue.py`)."""

    model_currency: str = Field("USD", alias="MODEL_CURRENCY", pattern=r"^[A-Z]{3}$")
    """ISO 4217: of the catalogue's prices."""

    model_keys: dict[str, SecretStr] = Field({}, alias="MODEL_KEY_")
    """The keys that entries of the catalogue may name, by the whole names of their settings."""

    requests_per_minute_free: int = Field(300, alias="REQUESTS_PER_MINUTE_FREE", ge=1)
    requests_per_minute_standard: int = Field(3_000, alias="REQUESTS_PER_MINUTE_STANDARD", ge=1)
    requests_per_minute_premium: int = Field(15_000, alias="REQUESTS_PER_MINUTE_PREMIUM", ge=1)
    requests_per_minute_admin: int = Field(6_000, alias="REQUESTS_PER_MINUTE_ADMIN", ge=1)

    purge_settle_seconds: float = Field(660.0, alias="TENANT_PURGE_SETTLE_SECONDS", ge=0)
    """How long after a tenant was closed something may still write for it: 30 s for which an instance may
    know its credentials, 600 s for which host.json lets a function run, and 30 s for clocks that differ."""

    dragonfly_url: SecretStr | None = Field(None, alias="DRAGONFLY_URL")
    """Dragonfly or Redis as a second cache level; nothing depends on it."""

    otlp_endpoint: str | None = Field(None, alias="OTEL_EXPORTER_OTLP_ENDPOINT", pattern="^https?://")
    application_insights: SecretStr | None = Field(None, alias="APPLICATIONINSIGHTS_CONNECTION_STRING")
    telemetry_seconds: float = Field(5.0, alias="TELEMETRY_EXPORT_SECONDS", gt=0, le=300)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic-settings' signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment, and the keys of models by the beginning of their names."""
        return init_settings, env_settings, _ModelKeysSource(settings_cls)

    @property
    def exports_telemetry(self) -> bool:
        """Tell whether there is somewhere to export traces and metrics to."""
        return self.otlp_endpoint is not None or self.application_insights is not None

    @model_validator(mode="after")
    def _name_what_no_connection_was_given_for(self) -> Settings:
        if self.servicebus is None and self.servicebus_namespace is None:
            raise ConfigurationError(["SERVICEBUS or SERVICEBUS__fullyQualifiedNamespace"])
        if self.storage is None and self.storage_blob_uri is None:
            raise ConfigurationError(["STORAGE or STORAGE__blobServiceUri"])
        return self


def load_settings() -> Settings:
    """Read and check the environment.

    Raises:
        ConfigurationError: Settings are missing or invalid; it names each of them.
    """
    try:
        return Settings()
    except ValidationError as error:
        names = sorted({".".join(str(part) for part in problem["loc"]) for problem in error.errors()})
        raise ConfigurationError(names) from error
