"""Probes of the dependencies: the cheapest call to each that proves that it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.resilience.dependency import Dependency
    from shared.runtime import Runtime


@dataclass(frozen=True, slots=True)
class DependencyProbe:
    """Probe of one dependency.

    Attributes:
        name: The dependency, as readiness names it.
        dependency: Opens its policy and breaker; raises `ConfigurationError` where it is not configured.
        call: Makes the call; raises the `APIError` of what is wrong.
    """

    name: str
    dependency: Callable[[], Dependency]
    call: Callable[[], Awaitable[None]]

    @property
    def breaker(self) -> str:
        """Tell whether calls to it are let through."""
        return self.dependency().breaker.state

    @property
    def throttled_parts(self) -> int:
        """Return how many of its parts are left alone."""
        return self.dependency().throttled_parts

    async def check(self) -> None:
        """Make the call.

        Raises:
            APIError: The dependency is down or not configured.
        """
        await self.call()


def probe_dependencies(runtime: Runtime) -> list[DependencyProbe]:
    """Return a probe for each dependency of the app; nothing is opened before one is checked."""

    async def ask_cosmos() -> None:
        await runtime.container("tenants").read(("global:tenants",), "probe")

    async def ask_servicebus() -> None:
        await runtime.sender.check(runtime.settings.reasoner_in_queue)

    async def ask_blobs() -> None:
        await runtime.blobs.check()

    async def ask_model() -> None:
        await runtime.chat_model.check()

    async def ask_identity_provider() -> None:
        await runtime.signing_keys.check()

    probes = [
        DependencyProbe("Cosmos DB", lambda: runtime.cosmos, ask_cosmos),
        DependencyProbe("Service Bus", lambda: runtime.servicebus, ask_servicebus),
        DependencyProbe("Blob Storage", lambda: runtime.blob_storage, ask_blobs),
        DependencyProbe("Model", lambda: runtime.model_dependencies.own, ask_model),
    ]
    if _has_identity_provider(runtime):
        probe = DependencyProbe("Identity provider", lambda: runtime.identity_provider, ask_identity_provider)
        probes.append(probe)
    return probes


def _has_identity_provider(runtime: Runtime) -> bool:
    try:
        return runtime.settings.oidc_issuer is not None
    except ConfigurationError:
        return False  # the other probes name what is missing
