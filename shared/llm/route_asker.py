"""Asking of a route: its deployments one after the other, until one answers. Imported when first used."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

from shared.errors import DependencyUnavailableError
from shared.llm.model_failures import (
    CALL_ERRORS,
    CallWork,
    can_be_asked_elsewhere,
    describe_failure,
    may_go_elsewhere,
    status_of,
    translate_failure,
)
from shared.logging.logger import get_logger
from shared.resilience.deadlines import deadline
from shared.resilience.policy import AttemptLimits
from shared.telemetry.spans import count_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.llm.deployments import ModelDeployment
    from shared.llm.model_call import CallProgress
    from shared.llm.model_dependencies import ModelDependencies

LONGEST_RETRY_AFTER = 5.0
"""The longest wait that a deployment may ask for within a call, in seconds.

A call holds more than its caller: a turn's conversation or a job's session, its lock, and one of the tenant's
places. A job is put off for longer than that, as for a budget (shared/jobs/claims.py).
"""

_TOO_MANY_REQUESTS = 429
_logger = get_logger(__name__)


class RoutedPrompt(Protocol):
    """Prompt of a call, as far as asking its route needs one."""

    @property
    def model(self) -> str:
        """The name of the model in the catalogue."""
        ...

    @property
    def route(self) -> tuple[ModelDeployment, ...]:
        """The deployments to ask."""
        ...

    @property
    def progress(self) -> CallProgress:
        """What is learnt of the call on the way."""
        ...


class RouteAsker:
    """Asker of routes.

    A prompt goes to the first deployment of its route, and to the next one where that did no work for it or
    said that it failed: three attempts in all. Where an attempt may have been paid for unseen (its connection
    broke, it took too long) no other deployment is asked. A wait of more than `LONGEST_RETRY_AFTER` that one
    asks for is not waited for: whoever calls is told of it.

    Args:
        dependencies: The one layer that retries, with a breaker for each deployment.
    """

    def __init__(self, dependencies: ModelDependencies) -> None:
        self._dependencies = dependencies

    async def ask[T](
        self, prompt: RoutedPrompt, send: Callable[[ModelDeployment], Awaitable[T]]
    ) -> tuple[T, ModelDeployment]:
        """Ask the deployments of a prompt's route one after the other, until one answers.

        Args:
            prompt: The prompt; its route has one deployment at least.
            send: Asks a deployment once.

        Raises:
            APIError: The last one's error; see `OpenAIChatModel.complete`.
        """
        work = CallWork()
        try:
            return await self._ask_route(prompt, send, work)
        finally:
            prompt.progress.attempts = work.attempts

    async def _ask_route[T](
        self, prompt: RoutedPrompt, send: Callable[[ModelDeployment], Awaitable[T]], work: CallWork
    ) -> tuple[T, ModelDeployment]:
        order, waits = self._dependencies.order(prompt.route), list[float]()
        policy, clock = self._dependencies.policy, self._dependencies.clock
        with nullcontext() if len(order) == 1 else deadline(policy.total_seconds, clock):
            for deployment in order:
                prompt.progress.deployment = deployment
                is_last = deployment is order[-1]
                limits = AttemptLimits(
                    policy.attempts - work.attempts,
                    None if is_last else can_be_asked_elsewhere,
                    LONGEST_RETRY_AFTER,
                )
                try:
                    answer = await self._ask_one(deployment, send, work, limits)
                except CALL_ERRORS as error:
                    failure = translate_failure(error, work, prompt.model)
                    waits += [failure.retry_after] if failure.retry_after else []
                    if is_last or work.attempts >= policy.attempts or not may_go_elsewhere(failure, work):
                        failure.retry_after = min(waits, default=failure.retry_after)
                        raise failure from describe_failure(error, work)
                else:
                    if deployment.name != prompt.model:
                        _tell_fallback(prompt.model, deployment.name, work)
                    return answer, deployment
        raise AssertionError("unreachable: the last failure is raised")

    async def _ask_one[T](
        self,
        deployment: ModelDeployment,
        send: Callable[[ModelDeployment], Awaitable[T]],
        work: CallWork,
        limits: AttemptLimits,
    ) -> T:
        work.last_error = None
        dependency = self._dependencies.of(deployment)
        try:
            return await dependency.call(
                lambda: work.attempt(lambda: send(deployment)), deployment.name, limits
            )
        except DependencyUnavailableError as error:
            if status_of(work.last_error) == _TOO_MANY_REQUESTS and error.retry_after:
                self._dependencies.rest(deployment, error.retry_after)
            raise


def _tell_fallback(asked: str, answered: str, work: CallWork) -> None:
    """Tell that another deployment answered, and whether one before it may have to be paid as well."""
    count_event("tenantry.model.fallbacks", {"model": asked, "deployment": answered})
    facts = {"model": asked, "deployment": answered, "attempts": work.attempts}
    _logger.warning("Another deployment answered in a model's place", extra=facts)
