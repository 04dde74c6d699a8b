"""Deployments as dependencies: each has its breaker, and is left alone for as long as it asked to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import LRUCache

from shared.resilience.circuit_breaker import BreakerState
from shared.resilience.dependency import Dependency

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.clock import Clock
    from shared.llm.deployments import ModelDeployment
    from shared.resilience.policy import Classify, Policy

NAME = "The model"
_MOST_DEPLOYMENTS = 512
_LONGEST_REST_SECONDS = 60.0

type _Place = tuple[str | None, str]


class ModelDependencies:
    """The policy that all calls of models share, and the breakers of the deployments.

    Args:
        classify: Tells which failures are transient.
        policy: Attempts and times of a call.
        clock: Measures and waits.
    """

    def __init__(self, classify: Classify, policy: Policy, clock: Clock) -> None:
        self._classify = classify
        self._policy = policy
        self._clock = clock
        self._by_place: LRUCache[_Place, Dependency] = LRUCache(_MOST_DEPLOYMENTS)
        self._rests: LRUCache[_Place, float] = LRUCache(_MOST_DEPLOYMENTS)
        self.own = self._build()
        """The app's own resource, for what is asked of no deployment."""

    @property
    def clock(self) -> Clock:
        """The time that calls are measured by."""
        return self._clock

    @property
    def policy(self) -> Policy:
        """The attempts and times of a call."""
        return self._policy

    def of(self, deployment: ModelDeployment) -> Dependency:
        """Return a deployment's dependency: entries that are one deployment share it."""
        place = _place_of(deployment)
        if place not in self._by_place:
            self._by_place[place] = self._build()
        return self._by_place[place]

    def known(self) -> Iterable[Dependency]:
        """Return all that was called of late."""
        return (self.own, *self._by_place.values())

    def rest(self, deployment: ModelDeployment, seconds: float) -> None:
        """Leave a deployment alone that asked for it, for so long, while another can be asked."""
        until = self._clock.monotonic() + min(seconds, _LONGEST_REST_SECONDS)
        self._rests[_place_of(deployment)] = until

    def order(self, route: Sequence[ModelDeployment]) -> list[ModelDeployment]:
        """Return the deployments to ask, in their order: those that would refuse now only where all would."""
        return [one for one in route if self._is_ready(one)] or list(route)

    def _is_ready(self, deployment: ModelDeployment) -> bool:
        rests_until = self._rests.get(_place_of(deployment), 0.0)
        is_open = self.of(deployment).breaker.state is BreakerState.OPEN
        return not is_open and self._clock.monotonic() >= rests_until

    def _build(self) -> Dependency:
        return Dependency(NAME, self._classify, self._policy, self._clock)


def _place_of(deployment: ModelDeployment) -> _Place:
    return deployment.base_url, deployment.deployment
