"""The only reader of the environment: one model, checked when it is first needed, failing by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, override

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
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

_UNRESOLVED = "@Microsoft.KeyVault("


class LoggingSettings(BaseSettings):
    """Settings of logging, with defaults throughout, so that a broken configuration can be logged."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    app_name: str = Field("tenantry", alias="APP_NAME", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    """What log lines and telemetry call the app."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", alias="LOG_LEVEL")
    """The least that is logged."""

    log_dir: Path | None = Field(None, alias="LOG_DIR")
    """Where log files go before they are shipped; none are written without it."""


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


class TriggerSettings(BaseSettings):
    """Settings of triggers, read while the app is indexed."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    blob_trigger_source: Literal["EventGrid", "LogsAndContainerScan"] = Field(
        "LogsAndContainerScan", alias="BLOB_TRIGGER_SOURCE"
    )
    """Who tells of new blobs: `EventGrid`, which Flex Consumption needs, or the host, which scans."""


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


def _refuse_reference(secret: SecretStr) -> SecretStr:
    """Refuse the text of a Key Vault reference that was not resolved: it is no secret."""
    if secret.get_secret_value().startswith(_UNRESOLVED):
        raise ValueError("is a reference that was not resolved")
    return secret


type _Secret = Annotated[SecretStr, AfterValidator(_refuse_reference)]


class Settings(LoggingSettings, OidcSettings, TriggerSettings):
    """Settings of a deployment, by the names of its application settings.

    Where no key is set, the clients authenticate with `DefaultAzureCredential`.
    """

    admin_api_key: _Secret = Field(alias="ADMIN_API_KEY", min_length=16)
    """The platform administrator's key, at least 16 characters."""

    admin_api_key_next: _Secret | None = Field(None, alias="ADMIN_API_KEY_NEXT", min_length=16)
    """The administrator's next key while it is rotated; both are in force."""

    auth_cache_seconds: float = Field(20, alias="AUTH_CACHE_SECONDS", ge=0, le=MAX_AUTH_CACHE_SECONDS)
    """How long a key or tenant may go on as it last was; with the store's replication, below 30 s."""

    cosmos_endpoint: str = Field(alias="COSMOS_ENDPOINT")
    """The Cosmos account's address."""

    cosmos_key: SecretStr | None = Field(None, alias="COSMOS_KEY")
    """Its key; without one the identity is used. In Azure there is none."""

    cosmos_client: Literal["fast", "sdk"] = Field("fast", alias="COSMOS_CLIENT")
    """The client of the store: `sdk` is azure-cosmos, `fast` is `tenantry_client.cosmos`."""

    cosmos_database: str = Field("tenantry", alias="COSMOS_DATABASE")
    """The database with the containers of `infra/cosmos.json`."""

    cosmos_background_bucket: int | None = Field(None, alias="COSMOS_BACKGROUND_BUCKET", ge=1, le=5)
    """Throughput bucket of queues and timers, so that chat keeps its share; none is divided without it."""

    prompts_prefetch: str = Field("", alias="PROMPTS_PREFETCH", pattern=r"^[A-Za-z0-9._, -]{0,8000}$")
    """Prompts that are read when a tenant is first seen, such as `greeting,answer`."""

    servicebus: SecretStr | None = Field(None, alias="SERVICEBUS")
    """A connection string of the broker, or:"""

    servicebus_namespace: str | None = Field(None, alias="SERVICEBUS__fullyQualifiedNamespace")
    """The broker's host name, for the identity."""

    reasoner_in_queue: str = Field("reasoner-in", alias="REASONER_IN_QUEUE")
    """The queue of reasoning jobs; it requires sessions."""

    reasoner_out_queue: str = Field("reasoner-out", alias="REASONER_OUT_QUEUE")
    """The queue of their results."""

    reasoner_hold_seconds: float = Field(75.0, alias="REASONER_HOLD_SECONDS", ge=5, le=600)
    """How long a job stays its worker's without a sign of life: longer than its queue locks a message."""

    feedback_in_queue: str = Field("feedback-form-in", alias="FEEDBACK_IN_QUEUE")
    """The queue of feedback that is to be analysed; it has no sessions."""

    feedback_out_queue: str = Field("feedback-form-out", alias="FEEDBACK_OUT_QUEUE")
    """The queue of the analyses."""

    feedback_hold_seconds: float = Field(75.0, alias="FEEDBACK_HOLD_SECONDS", ge=5, le=600)
    """How long a feedback stays its worker's without a sign of life: longer than a message is locked."""

    responses_in_queue: str = Field("responses-in", alias="RESPONSES_IN_QUEUE")
    """The queue of responses that are made in the background; it has no sessions."""

    responses_hold_seconds: float = Field(75.0, alias="RESPONSES_HOLD_SECONDS", ge=5, le=600)
    """How long a response stays its worker's without a sign of life: longer than a message is locked."""

    budget_alerts_queue: str = Field("budget-alerts-out", alias="BUDGET_ALERTS_QUEUE")
    """The queue that tells of budgets used up to 80 and 100 percent."""

    webhook_key: _Secret | None = Field(None, alias="WEBHOOK_KEY", min_length=16)
    """What the secrets of webhooks are encrypted with, at least 16 characters; there are none without it."""

    webhook_key_previous: _Secret | None = Field(None, alias="WEBHOOK_KEY_PREVIOUS", min_length=16)
    """The key before, while it is rotated: what it encrypted is still read."""

    webhooks_allow_loopback: bool = Field(default=False, alias="WEBHOOKS_ALLOW_LOOPBACK")
    """Whether webhooks may lead to this machine itself, and without TLS; for tests."""

    storage: SecretStr | None = Field(None, alias="STORAGE")
    """A connection string of the blobs' account, or:"""

    storage_blob_uri: str | None = Field(None, alias="STORAGE__blobServiceUri")
    """Its address, for the identity."""

    logs_container: str = Field("logs", alias="LOGS_CONTAINER")
    """The blob container of shipped logs."""

    log_retention_days_free: int = Field(7, alias="LOG_RETENTION_DAYS_FREE", ge=1, le=3_650)
    """Days for which shipped logs of tenants in the tier `free` are kept."""

    log_retention_days_standard: int = Field(30, alias="LOG_RETENTION_DAYS_STANDARD", ge=1, le=3_650)
    """The same in the tier `standard`."""

    log_retention_days_premium: int = Field(90, alias="LOG_RETENTION_DAYS_PREMIUM", ge=1, le=3_650)
    """The same in the tiers `premium` and `own`."""

    log_retention_days_platform: int = Field(30, alias="LOG_RETENTION_DAYS_PLATFORM", ge=1, le=3_650)
    """The same of lines that no tenant caused."""

    openai_endpoint: str = Field(alias="AZURE_OPENAI_ENDPOINT")
    """The model resource's address."""

    openai_api_key: SecretStr | None = Field(None, alias="AZURE_OPENAI_API_KEY")
    """Its key; without one the identity is used. In Azure there is none."""

    openai_api_version: str | None = Field(None, alias="AZURE_OPENAI_API_VERSION", min_length=1)
    """The version of its REST interface; without one it is Azure's v1, which has none."""

    openai_model: str = Field("gpt-4o", alias="AZURE_OPENAI_MODEL")
    """The model of the catalogue that answers where bot, job and tenant name none."""

    model_catalogue: Annotated[dict[str, Any], NoDecode, BeforeValidator(_json)] = Field(
        {}, alias="MODEL_CATALOGUE"
    )
    """Further models, as JSON: entries of the catalogue by their names (docs/models.md)."""

    model_currency: str = Field("USD", alias="MODEL_CURRENCY", pattern=r"^[A-Z]{3}$")
    """Currency of all prices in the catalogue, as ISO 4217 names it."""

    model_keys: dict[str, SecretStr] = Field({}, alias="MODEL_KEY_")
    """The beginning of the settings with keys that entries of the catalogue may name."""

    requests_per_minute_free: int = Field(300, alias="REQUESTS_PER_MINUTE_FREE", ge=1)
    """HTTP requests per minute, tenant and instance in the tier `free`."""

    requests_per_minute_standard: int = Field(3_000, alias="REQUESTS_PER_MINUTE_STANDARD", ge=1)
    """The same in the tier `standard`."""

    requests_per_minute_premium: int = Field(15_000, alias="REQUESTS_PER_MINUTE_PREMIUM", ge=1)
    """The same in the tiers `premium` and `own`."""

    requests_per_minute_admin: int = Field(6_000, alias="REQUESTS_PER_MINUTE_ADMIN", ge=1)
    """The same for the platform's administrator."""

    purge_settle_seconds: float = Field(660.0, alias="TENANT_PURGE_SETTLE_SECONDS", ge=0)
    """How long after a tenant was closed something may still write for it: 30 s for which an instance may
    know its credentials, 600 s for which host.json lets a function run, and 30 s for clocks that differ."""

    dragonfly_url: SecretStr | None = Field(None, alias="DRAGONFLY_URL")
    """Dragonfly or Redis as a second cache level; nothing depends on it."""

    otlp_endpoint: str | None = Field(None, alias="OTEL_EXPORTER_OTLP_ENDPOINT", pattern="^https?://")
    """Where traces and metrics go by OpenTelemetry's protocol; it goes before Application Insights."""

    application_insights: SecretStr | None = Field(None, alias="APPLICATIONINSIGHTS_CONNECTION_STRING")
    """Where traces and metrics go in Azure."""

    telemetry_seconds: float = Field(5.0, alias="TELEMETRY_EXPORT_SECONDS", gt=0, le=300)
    """How often they are exported."""

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


def read_trigger_settings() -> TriggerSettings:
    """Read the settings of triggers; the defaults stand for invalid ones, which readiness names."""
    try:
        return TriggerSettings()
    except ValidationError:
        return TriggerSettings.model_construct()


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
