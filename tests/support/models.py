"""Deployments of models, and a client of them over a transport under control."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
from pydantic import SecretStr

from shared.errors import ValidationError
from shared.llm.chat_model import ModelNotFoundError
from shared.llm.deployment_access import DeploymentAccess, OwnResource
from shared.llm.deployments import CatalogueEntry, CatalogueSource, ModelDeployment, complete_entry
from shared.llm.model_dependencies import ModelDependencies
from shared.llm.model_failures import classify
from shared.llm.openai_client import POLICY, OpenAIChatModel
from shared.llm.openai_embeddings import OpenAIEmbeddingModel
from shared.llm.openai_stream import STREAM_BOUNDS, StreamBounds
from shared.llm.prices import PriceTable
from shared.llm.provider_errors import ProviderConnectionError
from shared.llm.provider_http import ProviderHttp
from shared.llm.route_asker import RouteAsker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping

    from shared.clock import Clock
    from shared.tenancy.context import PlatformContext, TenantContext

OWN = OwnResource("http://model.test", SecretStr("key"))


def deployment(name: str = "gpt-4o", /, **said: object) -> ModelDeployment:
    """Build a deployment as an entry of the catalogue describes it."""
    entry = CatalogueEntry.model_validate(said)
    return complete_entry(name, entry, None, CatalogueSource.STORED)


async def no_token(scope: str) -> str:
    """Fail: a test that expects no token asks for none."""
    raise AssertionError(f"a token of {scope} was asked for")


type Handle = Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]]


@dataclass
class HandledRequests:
    """`SendsRequests` whose requests a handler answers, in memory."""

    handle: Handle

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> HandledAnswer:
        with failures_of_a_connection():
            response = await self.handle(httpx2.Request(method, url, headers=headers, content=content))
        return HandledAnswer(response)

    async def close(self) -> None:
        """Have nothing to close."""


class HandledAnswer:
    """`ProviderAnswer` that a handler gave."""

    def __init__(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._stream = response.stream
        self._parts: AsyncIterator[bytes] = aiter(response.stream)

    async def read_part(self) -> bytes:
        with failures_of_a_connection():
            return await anext(self._parts, b"")

    async def close(self) -> None:
        await self._stream.aclose()


@contextmanager
def failures_of_a_connection() -> Iterator[None]:
    """Raise what a handler fails with as the connections that it stands for do."""
    try:
        yield
    except httpx2.RequestError as error:
        was_sent = not isinstance(error, httpx2.ConnectError)
        raise ProviderConnectionError("failed", was_sent=was_sent) from error


def open_model(
    handle: Handle,
    clock: Clock,
    access: DeploymentAccess | None = None,
    bounds: StreamBounds = STREAM_BOUNDS,
) -> tuple[OpenAIChatModel, ModelDependencies]:
    """Open the client of models over a handler of requests."""
    http = ProviderHttp(HandledRequests(handle))
    dependencies = ModelDependencies(classify, POLICY, clock)
    access = access or DeploymentAccess(OWN, no_token)
    return OpenAIChatModel(http, access, dependencies, bounds), dependencies


def open_embedding_model(
    handle: Handle,
    clock: Clock,
    access: DeploymentAccess | None = None,
) -> OpenAIEmbeddingModel:
    """Open the client of embedding models over a handler of requests."""
    http = ProviderHttp(HandledRequests(handle))
    asker = RouteAsker(ModelDependencies(classify, POLICY, clock))
    return OpenAIEmbeddingModel(http, access or DeploymentAccess(OWN, no_token), asker)


@dataclass
class FakeModels:
    """Catalogue of a capability's test: it has every model but those that are named, and its prices.

    Attributes:
        unknown: The models that it does not have.
        not_azures: Those of another provider.
        names: The names that no new bot may have.
        table: The prices.
    """

    unknown: set[str] = field(default_factory=set)
    not_azures: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=lambda: {"gpt-4o"})
    table: PriceTable = field(default_factory=PriceTable)

    async def prices(self) -> PriceTable:
        return self.table

    async def tokenizer(self, tenant: TenantContext, name: str) -> str:
        assert tenant.tenant_id
        return name

    async def require(
        self, caller: TenantContext | PlatformContext, name: str, path: str, *, only_azure: bool = False
    ) -> None:
        assert caller.principal
        if name in self.unknown:
            raise ModelNotFoundError(name, ["gpt-4o"], path)
        if only_azure and name in self.not_azures:
            raise ValidationError("It is not one of Azure's", {"fields": {path: "is not one of Azure's"}})

    async def known_to(self, caller: TenantContext | PlatformContext) -> Mapping[str, object]:
        assert caller.principal
        return dict.fromkeys(self.names)
