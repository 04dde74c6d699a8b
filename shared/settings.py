"""The only reader of the environment: one model, checked when it is first needed, failing by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigurationError


class LoggingSettings(BaseSettings):
    """What logging needs; it has defaults throughout, so that a broken configuration can be logged."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    app_name: str = Field("tenantry", alias="APP_NAME", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", alias="LOG_LEVEL")
    log_dir: Path | None = Field(None, alias="LOG_DIR")


class Settings(LoggingSettings):
    """What a deployment configures, by the names of its application settings.

    Where no key is set, the clients authenticate with `DefaultAzureCredential`.
    """

    admin_api_key: SecretStr = Field(alias="ADMIN_API_KEY", min_length=16)
    admin_api_key_next: SecretStr | None = Field(None, alias="ADMIN_API_KEY_NEXT", min_length=16)

    auth_cache_seconds: float = Field(20, alias="AUTH_CACHE_SECONDS", ge=0, le=25)
    """How long a key or tenant may go on as it last was; with the store's replication, below 30 s."""

    cosmos_endpoint: str = Field(alias="COSMOS_ENDPOINT")
    cosmos_key: SecretStr | None = Field(None, alias="COSMOS_KEY")
    cosmos_database: str = Field("tenantry", alias="COSMOS_DATABASE")

    servicebus: SecretStr | None = Field(None, alias="SERVICEBUS")
    servicebus_namespace: str | None = Field(None, alias="SERVICEBUS__fullyQualifiedNamespace")
    reasoner_in_queue: str = Field("reasoner-in", alias="REASONER_IN_QUEUE")
    reasoner_out_queue: str = Field("reasoner-out", alias="REASONER_OUT_QUEUE")

    storage: SecretStr | None = Field(None, alias="STORAGE")
    storage_blob_uri: str | None = Field(None, alias="STORAGE__blobServiceUri")
    logs_container: str = Field("logs", alias="LOGS_CONTAINER")

    openai_endpoint: str = Field(alias="AZURE_OPENAI_ENDPOINT")
    openai_api_key: SecretStr | None = Field(None, alias="AZURE_OPENAI_API_KEY")
    openai_api_version: str = Field("2024-10-21", alias="AZURE_OPENAI_API_VERSION")
    openai_model: str = Field("gpt-4o", alias="AZURE_OPENAI_MODEL")

    purge_settle_seconds: float = Field(660.0, alias="TENANT_PURGE_SETTLE_SECONDS", ge=0)
    """How long after a tenant was closed something may still write for it: 30 s for which an instance may
    know its credentials, 600 s for which host.json lets a function run, and 30 s for clocks that differ."""

    @model_validator(mode="after")
    def _name_what_no_connection_was_given_for(self) -> Settings:
        if self.servicebus is None and self.servicebus_namespace is None:
            raise ConfigurationError(["SERVICEBUS or SERVICEBUS__fullyQualifiedNamespace"])
        if self.storage is None and self.storage_blob_uri is None:
            raise ConfigurationError(["STORAGE or STORAGE__blobServiceUri"])
        return self


class TokenClientSettings(BaseSettings):
    """What an application needs that uses the token counter of another app: a key of its tenant."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    token_counter_key: SecretStr | None = Field(None, alias="TOKEN_COUNTER_KEY")


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
