"""Ask each dependency whether it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from functions.ops.models import DependencyReply, DependencyState, ReadyReply
from shared.errors import APIError, ConfigurationError, NotReadyError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Probe(Protocol):
    """One dependency as health sees it."""

    @property
    def name(self) -> str:
        """How it is called."""
        ...

    @property
    def breaker(self) -> str:
        """Whether calls to it are let through."""
        ...

    async def check(self) -> None:
        """Make the cheapest call that proves it answers; raise the `APIError` of what is wrong."""
        ...


class HealthService:
    """Readiness of what this app depends on."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    async def ready(self) -> ReadyReply:
        """Return each dependency's state.

        Raises:
            NotReadyError: At least one is not up; its detail has them all.
        """
        replies = await asyncio.gather(*(_checked(probe) for probe in self._probes))
        if all(reply.state is DependencyState.UP for reply in replies):
            return ReadyReply(dependencies=list(replies))
        down = [reply.name for reply in replies if reply.state is not DependencyState.UP]
        raise NotReadyError(down, [reply.model_dump(mode="json") for reply in replies])


async def _checked(probe: Probe) -> DependencyReply:
    try:
        await probe.check()
    except ConfigurationError as error:
        state, reason = DependencyState.NOT_CONFIGURED, error.message
    except APIError as error:
        state, reason = DependencyState.DOWN, error.message
    else:
        return DependencyReply(name=probe.name, state=DependencyState.UP, breaker=probe.breaker)
    return DependencyReply(name=probe.name, state=state, breaker=probe.breaker, reason=reason)
