"""The composition root: opens SDK clients lazily, once per worker, on its loop.

Importing this opens nothing and imports no SDK; what is missing in the environment fails by name when it is
first needed, so that the app always indexes. Python workers get no shutdown hook, so `close` is for tests and
for hosts that can call it; no promise depends on it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from contextvars import Context
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from shared.caching.region import Cache
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.http.idempotency import Idempotency
from shared.http.rate_limiter import RequestRateLimiter
from shared.llm.settings import CHAT_DEFAULT_MODEL, CHAT_RETENTION_DAYS, LOGS_KEEP_CONTENT, MODELS_ALLOWED
from shared.logging.configure import configure_from_environment
from shared.messaging.quarantine import Quarantine
from shared.process_metrics import measure_process
from shared.prompts.library import PromptLibrary
from shared.prompts.settings import PROMPTS_GLOBAL_FALLBACK
from shared.resilience.concurrency import Paces
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy
from shared.resilience.tasks import spawn
from shared.settings import load_settings
from shared.telemetry.spans import start_telemetry, stop_telemetry
from shared.tenancy.audit import AuditTrail
from shared.tenancy.authentication import Authenticator, KeyVerifier
from shared.tenancy.credential_cache import CredentialCache
from shared.tenancy.key_store import KeyStore
from shared.tenancy.keys import AdminKeys
from shared.tenancy.purges import Purges
from shared.tenancy.settings import SettingRegistry, TenantSettings
from shared.tenancy.store import TenantStore, Tier
from shared.tokens.settings import TOKENS_APP_SHARES, TOKENS_ON_STORE_FAILURE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient
    from azure.storage.blob.aio import BlobServiceClient
    from pydantic import SecretStr

    from shared.blob.sdk import SdkBlobStore
    from shared.caching.redis import RedisLevel
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.cosmos.sdk import AnyCosmosClient
    from shared.http.route import Route
    from shared.jobs.queues import JobQueue
    from shared.llm.call_account import TokenBudget
    from shared.llm.call_content import ContentKeeper
    from shared.llm.catalogue import ModelCatalogue
    from shared.llm.chat_model import StreamingChatModel
    from shared.llm.deployment_access import DeploymentAccess
    from shared.llm.embedding_model import EmbeddingModel
    from shared.llm.model_dependencies import ModelDependencies
    from shared.llm.openai_client import OpenAIChatModel
    from shared.llm.provider_http import ProviderHttp
    from shared.llm.token_counting import TokenCounter
    from shared.messaging.listener import DeadLetterLink
    from shared.messaging.servicebus import SdkSender
    from shared.settings import Settings
    from shared.telemetry.measurements import Measurement
    from shared.tenancy.context import TenantContext
    from shared.tenancy.jwks import SigningKeys
    from shared.tenancy.oidc import UserTokens
    from shared.tokens.ledger import TokenLedger
    from shared.tokens.ledger_client import LedgerTokenClient


SETTINGS = SettingRegistry(
    (
        CHAT_DEFAULT_MODEL,
        CHAT_RETENTION_DAYS,
        LOGS_KEEP_CONTENT,
        MODELS_ALLOWED,
        PROMPTS_GLOBAL_FALLBACK,
        TOKENS_APP_SHARES,
        TOKENS_ON_STORE_FAILURE,
    )
)
"""Every tenant setting that the app's domains declare."""

_DEPENDENCIES = ("cosmos", "servicebus", "blob_storage")


def _start() -> Settings:
    """Set logging up before the settings are checked, so that broken ones can be logged."""
    configure_from_environment()
    return load_settings()


class Runtime:
    """Everything that capabilities share, built when it is first asked for.

    Args:
        load: Reads the settings; it raises `ConfigurationError` with the names of what is missing.
        clock: The app's time.

    Attributes:
        job_queues: The queues of jobs by their names, as the capabilities have bound them.
    """

    def __init__(self, load: Callable[[], Settings] = _start, clock: Clock | None = None) -> None:
        self._load = load
        self.clock: Clock = clock or SystemClock()
        self.routes: list[Route] = []
        self.job_queues: dict[str, JobQueue[Any, Any]] = {}
        self._containers: dict[str, Container] = {}
        self._built: dict[object, Any] = {}
        self._open = AsyncExitStack()
        self._companions: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._companions_work: list[asyncio.Task[None]] = []

    def begin_with(self, companion: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let work run beside the app's, on its loop, from when the settings are first asked for there.

        A Functions worker says when it begins only by its first request or message.
        """
        self._companions.append(companion)

    def close_with(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close something with the clients: before those that are open by now."""
        self._open.push_async_callback(close)

    def _begin_companions(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # a program that asks for settings alone
        for companion in self._companions:
            # A context of its own: it outlives the request that happened to come first.
            self._companions_work.append(spawn(companion(), context=Context()))

    @cached_property
    def settings(self) -> Settings:
        """Return the checked settings.

        Raises:
            ConfigurationError: Some are missing or invalid.
        """
        settings = self._load()
        if settings.exports_telemetry:
            from shared.telemetry.opentelemetry import open_telemetry  # noqa: PLC0415  # the SDK loads when it is configured

            if start_telemetry(lambda: open_telemetry(settings, self._measure)):
                self._open.push_async_callback(stop_telemetry)
        self._begin_companions()
        return settings

    def _measure(self) -> Iterator[Measurement]:
        """Read what was opened so far: telemetry opens nothing."""
        opened = (self.__dict__.get(name) for name in _DEPENDENCIES)
        known = [one for one in opened if one is not None]
        if (models := self.__dict__.get("model_dependencies")) is not None:
            known += models.known()
        if (level := self.__dict__.get("second_level")) is not None:
            known.append(level.dependency)
        return measure_process(self.__dict__.get("cache"), known)

    @cached_property
    def authenticator(self) -> Authenticator:
        """Return what turns credentials into contexts."""
        keys = [self.settings.admin_api_key, self.settings.admin_api_key_next]
        admins = AdminKeys([key.get_secret_value() for key in keys if key is not None])
        keys_of_tenants = KeyVerifier(self._credentials, self.clock)
        return Authenticator(self._credentials, self.audit, admins, keys_of_tenants, self._user_tokens)

    @cached_property
    def _user_tokens(self) -> UserTokens | None:
        if self.settings.oidc_issuer is None:
            return None
        from shared.tenancy.oidc import UserTokens  # noqa: PLC0415  # PyJWT loads where it is needed

        return UserTokens(self.settings, self.signing_keys, self._credentials, self.clock)

    @cached_property
    def signing_keys(self) -> SigningKeys:
        """Return the identity provider's signing keys.

        Raises:
            ConfigurationError: No provider is configured.
        """
        from shared.resilience.http_get import HttpGet  # noqa: PLC0415  # aiohttp loads where it is needed
        from shared.tenancy.jwks import MAX_BYTES, SigningKeys  # noqa: PLC0415  # so does PyJWT

        settings = self.settings
        if settings.oidc_issuer is None:
            raise ConfigurationError(["OIDC_ISSUER"])
        documents = HttpGet(self.identity_provider, MAX_BYTES)
        self._open.push_async_callback(documents.close)
        return SigningKeys(
            settings.oidc_issuer,
            settings.oidc_jwks_url,
            documents,
            self.clock,
            allow_http=settings.oidc_allow_http,
        )

    @cached_property
    def identity_provider(self) -> Dependency:
        """Return the policy and the breaker that all questions to the identity provider share."""
        from shared.resilience.http_get import classify  # noqa: PLC0415  # aiohttp loads where it is needed
        from shared.tenancy.jwks import POLICY, PROVIDER  # noqa: PLC0415  # so does PyJWT

        return Dependency(PROVIDER, classify, POLICY, self.clock)

    @cached_property
    def _credentials(self) -> CredentialCache:
        return CredentialCache(self.tenants, self.clock, self.settings.auth_cache_seconds)

    @cached_property
    def audit(self) -> AuditTrail:
        """Return where it is kept who did what."""
        return AuditTrail(self.container("audit"), self.clock)

    @cached_property
    def idempotency(self) -> Idempotency:
        """Return what knows the requests that were answered before."""
        return Idempotency(self.container("idempotency"), self.clock)

    @cached_property
    def paces(self) -> Paces:
        """Return the turns of what holds the event loop, by tenant."""
        return Paces(self.clock)

    @cached_property
    def rate_limiter(self) -> RequestRateLimiter:
        """Return what bounds the requests of each tenant on this instance."""
        settings = self.settings
        per_minute: dict[str, int] = {
            Tier.FREE: settings.requests_per_minute_free,
            Tier.STANDARD: settings.requests_per_minute_standard,
            Tier.PREMIUM: settings.requests_per_minute_premium,
            Tier.OWN: settings.requests_per_minute_premium,
        }
        return RequestRateLimiter(per_minute, settings.requests_per_minute_admin, self.clock)

    @cached_property
    def tenants(self) -> TenantStore:
        """Return the tenants."""
        return TenantStore(self.container("tenants"))

    @cached_property
    def keys(self) -> KeyStore:
        """Return the API keys of the tenants."""
        return KeyStore(self.container("tenants"), self.tenants)

    @cached_property
    def purges(self) -> Purges:
        """Return which tenants were or are being purged."""
        return Purges(self.container("tenants"), self.clock)

    @cached_property
    def tenant_settings(self) -> TenantSettings:
        """Return the settings in force for each tenant."""
        return TenantSettings(SETTINGS, self.container("tenants"), self.clock, self.cache)

    @cached_property
    def prompts(self) -> PromptLibrary:
        """Return the prompts of all tenants."""
        return PromptLibrary(
            self.container("prompts"),
            self.clock,
            self.cache,
            lambda tenant: self.tenant_settings.value(tenant, PROMPTS_GLOBAL_FALLBACK),
            self.settings.prompts_prefetch.replace(",", " ").split(),
        )

    @cached_property
    def cosmos(self) -> Dependency:
        """Return the policy and the breaker that all Cosmos calls share."""
        from shared.cosmos.sdk import classify  # noqa: PLC0415  # the SDK loads when first used

        return Dependency("Cosmos DB", classify, Policy(attempt_seconds=5, total_seconds=12), self.clock)

    def container(self, name: str) -> Container:
        """Return one container of the app's database."""
        if name not in self._containers:
            from shared.cosmos.sdk import SdkContainer  # noqa: PLC0415  # the SDK loads when first used

            database = self._cosmos_client.get_database_client(self.settings.cosmos_database)
            self._containers[name] = SdkContainer(
                database.get_container_client(name), self.cosmos, self.settings.cosmos_background_bucket
            )
        return self._containers[name]

    @cached_property
    def cache(self) -> Cache:
        """Return what this process remembers of its dependencies."""
        cache = Cache(self.clock, lambda: self.second_level)
        self._open.push_async_callback(cache.close)
        return cache

    @cached_property
    def second_level(self) -> RedisLevel | None:
        """Return the cache that all instances share, if one is configured."""
        url = self.settings.dragonfly_url
        if url is None:
            return None
        from shared.caching.redis import RedisLevel  # noqa: PLC0415  # the SDK loads when it is configured

        level = RedisLevel(url.get_secret_value(), self.clock)
        self._open.push_async_callback(level.close)
        return level

    @cached_property
    def ledger(self) -> TokenLedger:
        """Return the token ledger; the administrator's keys are the secret that all instances share."""
        from shared.tokens.alerts import ExhaustionAlerts  # noqa: PLC0415  # loads when first used
        from shared.tokens.ledger import LedgerHooks, TokenLedger  # noqa: PLC0415  # same
        from shared.tokens.lock_ids import LockIds  # noqa: PLC0415  # same
        from shared.tokens.policy import SettingsPolicy  # noqa: PLC0415  # same

        keys = [self.settings.admin_api_key, self.settings.admin_api_key_next]
        lock_ids = LockIds([key.get_secret_value() for key in keys if key is not None])
        policy = SettingsPolicy(self.tenant_settings, self.cache)
        container = self.container("ledger")
        hooks = LedgerHooks(on_exhausted=ExhaustionAlerts(container, self.clock).claim)
        return TokenLedger(container, lock_ids, self.clock, policy, hooks)

    def token_client(self, app_id: str, tenant: TenantContext | None = None) -> LedgerTokenClient:
        """Return one application's client of the ledger; without a tenant, for the ambient one."""
        from shared.tokens import ledger_client  # noqa: PLC0415  # loads when first used

        transport = ledger_client.LedgerTransport(self.ledger, self.settings.openai_model, tenant)
        return ledger_client.LedgerTokenClient(app_id, transport)

    @cached_property
    def chat_model(self) -> OpenAIChatModel:
        """Return the chat models of all deployments, unmetered."""
        from shared.llm.openai_client import OpenAIChatModel  # noqa: PLC0415  # loads when first used

        return OpenAIChatModel(self._provider_http, self._model_access, self.model_dependencies)

    @cached_property
    def embedding_model(self) -> EmbeddingModel:
        """Return the embedding models of all deployments, unmetered."""
        from shared.llm.openai_embeddings import OpenAIEmbeddingModel  # noqa: PLC0415  # loads when first used
        from shared.llm.route_asker import RouteAsker  # noqa: PLC0415  # same

        asker = RouteAsker(self.model_dependencies)
        return OpenAIEmbeddingModel(self._provider_http, self._model_access, asker)

    @cached_property
    def _provider_http(self) -> ProviderHttp:
        from shared.llm.provider_http import AiohttpConnections, ProviderHttp  # noqa: PLC0415  # aiohttp loads when used

        http = ProviderHttp(AiohttpConnections())
        self._open.push_async_callback(http.close)
        return http

    @cached_property
    def _model_access(self) -> DeploymentAccess:
        from shared.llm.deployment_access import DeploymentAccess, OwnResource  # noqa: PLC0415  # loads when used

        settings = self.settings
        own = OwnResource(settings.openai_endpoint, settings.openai_api_key, settings.openai_api_version)
        return DeploymentAccess(own, self._model_token, settings.model_keys)

    @cached_property
    def model_dependencies(self) -> ModelDependencies:
        """Return the policy that all model calls share, and the breakers of the deployments."""
        from shared.llm.model_dependencies import ModelDependencies  # noqa: PLC0415  # loads when first used
        from shared.llm.model_failures import classify  # noqa: PLC0415  # loads when first used
        from shared.llm.openai_client import POLICY  # noqa: PLC0415  # same

        return ModelDependencies(classify, POLICY, self.clock)

    @cached_property
    def models(self) -> ModelCatalogue:
        """Return the models that there are, and which of them a tenant may use.

        Raises:
            ConfigurationError: The setting with the deployment's own entries is malformed.
        """
        from shared.llm.catalogue import CatalogueBase, ModelCatalogue, parse_configured  # noqa: PLC0415  # loads when used
        from shared.llm.catalogue_store import CatalogueStore  # noqa: PLC0415  # same
        from shared.llm.packaged_models import packaged_models  # noqa: PLC0415  # same

        settings = self.settings
        base = CatalogueBase(
            packaged_models(),
            parse_configured(settings.model_catalogue),
            settings.model_currency,
            settings.openai_api_version,
            settings.openai_model,
        )
        return ModelCatalogue(
            base,
            CatalogueStore(self.container("tenants"), self.clock),
            lambda tenant: self.tenant_settings.value(tenant, MODELS_ALLOWED),
            self.clock,
        )

    def metered_model(
        self, tenant: TenantContext, app_id: str, budget: TokenBudget | None = None
    ) -> StreamingChatModel:
        """Return the catalogue's chat models for one application of a tenant: within the tenant's budget.

        Args:
            tenant: The tenant.
            app_id: The application.
            budget: The ledger that the calls are taken out of; this app's own unless another one is given.
        """
        from shared.llm.call_recorder import CallRecorder  # noqa: PLC0415  # loads when first used
        from shared.llm.catalogue_model import CatalogueModel  # noqa: PLC0415  # same
        from shared.llm.metering import MeteredModel  # noqa: PLC0415  # same
        from shared.llm.recorded_model import RecordedModel  # noqa: PLC0415  # same
        from shared.llm.structured_model import StructuredModel  # noqa: PLC0415  # same

        metered = MeteredModel(self.chat_model, self.token_counter, budget or self.ledger, tenant, app_id)
        models = CatalogueModel(self.models, metered, tenant, app_id)
        recorder = CallRecorder(tenant, app_id, self.settings.model_currency, self.clock)
        return StructuredModel(RecordedModel(models, recorder, self.content_keeper))

    def metered_embedding_model(self, tenant: TenantContext, app_id: str) -> EmbeddingModel:
        """Return the catalogue's embedding models for one application of a tenant: within its budget.

        Args:
            tenant: The tenant.
            app_id: The application.
        """
        from shared.llm.call_account import CallAccount  # noqa: PLC0415  # loads when first used
        from shared.llm.call_recorder import CallRecorder  # noqa: PLC0415  # same
        from shared.llm.metered_embeddings import MeteredEmbeddingModel  # noqa: PLC0415  # same

        return MeteredEmbeddingModel(
            self.embedding_model,
            self.models,
            self.token_counter,
            CallAccount(self.ledger, tenant, app_id),
            CallRecorder(tenant, app_id, self.settings.model_currency, self.clock),
            tenant,
        )

    @cached_property
    def token_counter(self) -> TokenCounter:
        """Return the tokenizer of all models."""
        from shared.llm.token_counting import TokenCounter  # noqa: PLC0415  # loads when first used

        return TokenCounter()

    async def _model_token(self, scope: str) -> str:
        return (await self.credential.get_token(scope)).token

    @cached_property
    def sender(self) -> SdkSender:
        """Return the way to the queues."""
        from shared.messaging.servicebus import SdkSender  # noqa: PLC0415  # the SDK loads when first used

        sender = SdkSender(self._broker, self.servicebus)
        self._open.push_async_callback(sender.close)
        return sender

    def open_dead_letters(self, queue: str) -> AbstractAsyncContextManager[DeadLetterLink]:
        """Open a link to the dead letters of a queue, by what the broker calls that."""
        from shared.messaging.servicebus_link import open_dead_letters  # noqa: PLC0415  # same

        return open_dead_letters(self._broker, queue)

    @cached_property
    def _broker(self) -> ServiceBusClient:
        from shared.messaging.servicebus import open_client  # noqa: PLC0415  # same

        settings = self.settings
        connection = None if settings.servicebus is None else settings.servicebus.get_secret_value()
        client = open_client(
            connection, settings.servicebus_namespace, None if connection else self.credential
        )
        self._open.push_async_callback(client.close)
        return client

    @cached_property
    def servicebus(self) -> Dependency:
        """Return the policy and the breaker that all sends share."""
        from shared.messaging.servicebus import POLICY, classify  # noqa: PLC0415  # the SDK loads when first used

        return Dependency("Service Bus", classify, POLICY, self.clock)

    @cached_property
    def blobs(self) -> SdkBlobStore:
        """Return the container of shipped logs."""
        return self._open_blobs(self.settings.logs_container)

    @cached_property
    def job_blobs(self) -> SdkBlobStore:
        """Return the container of what is too large for a job's message."""
        from shared.jobs.contents import CONTAINER  # noqa: PLC0415  # loads when first used

        return self._open_blobs(CONTAINER)

    @cached_property
    def content_blobs(self) -> SdkBlobStore:
        """Return the container of what model calls said, for tenants that have it kept."""
        from shared.llm.call_content import CONTAINER  # noqa: PLC0415  # loads when first used

        blobs = self._open_blobs(CONTAINER)
        self.close_with(self.content_keeper.close)  # before the client that it writes by
        return blobs

    @cached_property
    def content_keeper(self) -> ContentKeeper:
        """Return what keeps the contents of model calls."""
        from shared.llm.call_content import ContentKeeper, ContentPorts  # noqa: PLC0415  # loads when first used

        ports = ContentPorts(
            lambda tenant: self.tenant_settings.value(tenant, LOGS_KEEP_CONTENT),
            self.purges.is_taken,
            lambda: self.content_blobs,
        )
        keeper = ContentKeeper(ports, self.clock)
        self.close_with(keeper.close)
        return keeper

    def blob_container(self, name: str) -> SdkBlobStore:
        """Return a container of blobs by its name in infra/storage.json.

        Raises:
            KeyError: There is none of this name.
        """
        opened: Mapping[str, Callable[[], SdkBlobStore]] = {
            "logs": lambda: self.blobs,
            "jobs": lambda: self.job_blobs,
            "content": lambda: self.content_blobs,
        }
        return opened[name]()

    def _open_blobs(self, container: str) -> SdkBlobStore:
        from shared.blob.sdk import SdkBlobStore  # noqa: PLC0415  # the SDK loads when first used

        return SdkBlobStore(self._blob_client.get_container_client(container), self.blob_storage)

    @cached_property
    def _blob_client(self) -> BlobServiceClient:
        from shared.blob.sdk import open_client  # noqa: PLC0415  # the SDK loads when first used

        settings = self.settings
        connection = None if settings.storage is None else settings.storage.get_secret_value()
        client = open_client(connection, settings.storage_blob_uri, None if connection else self.credential)
        self._open.push_async_callback(client.close)
        return client

    @cached_property
    def blob_storage(self) -> Dependency:
        """Return the policy and the breaker that all blob calls share."""
        from shared.blob.sdk import POLICY, classify  # noqa: PLC0415  # the SDK loads when first used

        return Dependency("Blob Storage", classify, POLICY, self.clock)

    @cached_property
    def quarantine(self) -> Quarantine:
        """Return where messages go that are refused for good."""
        return Quarantine(self.container("quarantine"), self.clock)

    def once[T](self, build: Callable[[Runtime], T]) -> T:
        """Return what a capability builds once for the whole process, when it is first asked for."""
        if build not in self._built:
            self._built[build] = build(self)
        built: T = self._built[build]
        return built

    async def close(self) -> None:
        """Close every client that was opened, the last one first."""
        for work in self._companions_work:
            work.cancel()
        await asyncio.gather(*self._companions_work, return_exceptions=True)
        self._companions_work.clear()
        await self._open.aclose()

    @cached_property
    def _cosmos_client(self) -> AnyCosmosClient:
        from shared.cosmos.sdk import open_client, open_fast_client  # noqa: PLC0415  # they load when first used

        settings = self.settings
        open_chosen = open_fast_client if settings.cosmos_client == "fast" else open_client
        client = open_chosen(settings.cosmos_endpoint, self._key_or_credential(settings.cosmos_key))
        self._open.push_async_callback(client.close)
        return client

    @cached_property
    def credential(self) -> AsyncTokenCredential:
        """Return the identity that is used where no key or connection string is set."""
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # loads when first used

        credential = DefaultAzureCredential()
        self._open.push_async_callback(credential.close)
        return credential

    def _key_or_credential(self, key: SecretStr | None) -> str | AsyncTokenCredential:
        return self.credential if key is None else key.get_secret_value()


@cache
def process_runtime() -> Runtime:
    """Return the composition root of this process: the app's, and that of whoever is given none."""
    return Runtime()
