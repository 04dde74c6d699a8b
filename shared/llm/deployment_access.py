"""Way to a deployment: its URL, and the one credential that it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.errors import ConfigurationError
from shared.llm.deployments import Provider
from shared.llm.model_address import parse_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pydantic import SecretStr

    from shared.llm.deployments import ModelDeployment

CHAT_PATH = "/chat/completions"
EMBEDDINGS_PATH = "/embeddings"
MODELS_PATH = "/models"
V1_SCOPE = "https://ai.azure.com/.default"
API_VERSION_SCOPE = "https://cognitiveservices.azure.com/.default"

_V1 = "/openai/v1"
_OPENAI = "api.openai.com"

type TokenProvider = Callable[[str], Awaitable[str]]
"""Gives the identity's bearer token of a scope."""


@dataclass(frozen=True, slots=True)
class OwnResource:
    """The app's own Azure resource.

    Attributes:
        endpoint: Its address, without a path or with `/openai/v1`.
        key: Its key; without one it gets the identity's token.
        api_version: The version of its interface; None for v1.
    """

    endpoint: str
    key: SecretStr | None = None
    api_version: str | None = None


@dataclass(frozen=True, slots=True)
class DeploymentAccess:
    """URLs of deployments, and the credential that each is sent.

    Attributes:
        own: The app's own resource.
        token: Gives the identity's token, which is asked for Azure's hosts only.
        keys: The keys of the settings `MODEL_KEY_...`, by their names: an entry names no other setting.
    """

    own: OwnResource
    token: TokenProvider
    keys: Mapping[str, SecretStr] = field(default_factory=dict)

    def chat_url(self, deployment: ModelDeployment) -> str:
        """Return where a chat prompt is sent."""
        return self._url(deployment, CHAT_PATH)

    def embeddings_url(self, deployment: ModelDeployment) -> str:
        """Return where a batch of texts to embed is sent."""
        return self._url(deployment, EMBEDDINGS_PATH)

    def _url(self, deployment: ModelDeployment, path: str) -> str:
        if deployment.provider is Provider.AZURE_API_VERSION:
            base = deployment.base_url or self.own.endpoint.rstrip("/")
            name = quote(deployment.deployment, safe="")
            version = quote(deployment.api_version or "", safe="")
            return f"{base}/openai/deployments/{name}{path}?api-version={version}"
        if deployment.base_url is None:
            return _v1_of(self.own.endpoint) + path
        address = parse_address(deployment.base_url)
        is_bare = address is None or not address.path
        is_v1_missing = is_bare and deployment.provider is Provider.AZURE
        return deployment.base_url + (_V1 if is_v1_missing else "") + path

    def models_url(self) -> str:
        """Return where the app's own resource lists its models."""
        if self.own.api_version is None:
            return _v1_of(self.own.endpoint) + MODELS_PATH
        version = quote(self.own.api_version, safe="")
        return f"{self.own.endpoint.rstrip('/')}/openai{MODELS_PATH}?api-version={version}"

    async def headers(self, deployment: ModelDeployment) -> dict[str, str]:
        """Return the headers with a deployment's credential; none where it needs none.

        Raises:
            ConfigurationError: A setting with its key is missing, or it may not get the identity's token.
        """
        if deployment.base_url is None:
            return await self.own_headers()
        if deployment.key_setting is not None:
            key = self.keys.get(deployment.key_setting)
            if key is None:
                raise ConfigurationError([deployment.key_setting])
            return _key_header(key, azure=deployment.provider.is_azure)
        if not deployment.provider.is_azure:
            return {}
        has_version = deployment.provider is Provider.AZURE_API_VERSION
        return await self._token_header(deployment.base_url, "MODEL_CATALOGUE", has_version=has_version)

    async def own_headers(self) -> dict[str, str]:
        """Return the headers with the credential of the app's own resource.

        Raises:
            ConfigurationError: It has no key, and may not get the identity's token.
        """
        if self.own.key is not None:
            return _key_header(self.own.key, azure=True)
        has_version = self.own.api_version is not None
        return await self._token_header(self.own.endpoint, "AZURE_OPENAI_API_KEY", has_version=has_version)

    async def _token_header(self, url: str, setting: str, *, has_version: bool) -> dict[str, str]:
        # The last of the checks, right before the token leaves: whatever let the address through before.
        address = parse_address(url)
        if address is None or not address.is_azure:
            raise ConfigurationError([setting])
        token = await self.token(API_VERSION_SCOPE if has_version else V1_SCOPE)
        return {"Authorization": f"Bearer {token}"}


def takes_new_fields(deployment: ModelDeployment) -> bool:
    """Tell whether it takes `safety_identifier` and `prompt_cache_key`, which others may refuse."""
    if deployment.provider is Provider.AZURE:
        return True
    address = deployment.address
    return (
        deployment.provider is Provider.OPENAI_COMPATIBLE and address is not None and address.host == _OPENAI
    )


def _v1_of(endpoint: str) -> str:
    base = endpoint.rstrip("/")
    return base if base.endswith(_V1) else base + _V1


def _key_header(key: SecretStr, *, azure: bool) -> dict[str, str]:
    value = key.get_secret_value()
    return {"api-key": value} if azure else {"Authorization": f"Bearer {value}"}
