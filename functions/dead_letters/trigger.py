"""Bind the routes of dead letters, and the timer that tells how many wait, and for how long."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.dead_letters.draining import DeadLetterDrain
from functions.dead_letters.models import (
    DeadLetterPath,
    DeadLetterQuery,
    DeadLetterReply,
    ReplayedReply,
    ReplayReply,
    ReplayRequest,
)
from functions.dead_letters.replay import Replayer
from functions.dead_letters.repository import DeadLetterRepository
from functions.dead_letters.service import DeadLetterService
from functions.dead_letters.watching import DeadLetterWatch
from shared.http.bounds import RouteBounds
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.messaging.consumer import Queue
from shared.messaging.outbox_sweeper import Sweeper
from shared.resilience.background import background_work
from shared.tenancy.context import PlatformContext, Role, TenantContext, platform_work

if TYPE_CHECKING:
    from shared.runtime import Runtime

_REPLAY_SECONDS = 120.0


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the dead letters."""
    routes = Routes(runtime, "dead letters")

    def service(caller: TenantContext | PlatformContext) -> DeadLetterService:
        replayer = Replayer(runtime.authenticator, runtime.ledger, runtime.job_queues)
        return DeadLetterService(caller, _letters(runtime, caller), replayer, runtime.audit)

    @routes.get("v1/dead-letters", min_role=Role.TENANT_ADMIN)
    async def list_dead_letters(
        caller: TenantContext | PlatformContext, query: DeadLetterQuery
    ) -> ListReply[DeadLetterReply]:
        """List the dead letters.

        They are the messages that were refused for good, or that nobody could handle in five deliveries; they
        are sorted by id, and shown without their texts. The administrator who acts for no tenant sees those
        that name no active tenant.
        """
        return await service(caller).list(query)

    @routes.post("v1/dead-letters/{dead_letter_id}/replay", min_role=Role.TENANT_ADMIN)
    async def replay_dead_letter(
        caller: TenantContext | PlatformContext, path: DeadLetterPath
    ) -> ReplayReply:
        """Replay a dead letter.

        Its message is on its queue again, and it is a dead letter no more. A job that had failed with it goes
        on after its last finished step. The tenant has to be active, and its budget to admit something now:
        else 409 and 429. A message that can never be a job, whose job has ended otherwise, or whose large
        input is gone, is a 409; so is one that another request replays.
        """
        return await service(caller).replay(path.dead_letter_id)

    @routes.post(
        "v1/dead-letters/replay",
        min_role=Role.TENANT_ADMIN,
        seconds=_REPLAY_SECONDS,
        bounds=RouteBounds(one_at_a_time=True),
    )
    async def replay_dead_letters(
        caller: TenantContext | PlatformContext, selected: ReplayRequest
    ) -> ReplayedReply:
        """Replay many dead letters.

        A request replays up to 50 of those that it selects, and tells of each that stays a dead letter why.
        A budget that is used up, or something that is down, ends it with that error: what was replayed
        until then is replayed, and the same request goes on with the rest.
        """
        return await service(caller).replay_all(selected)

    @routes.delete("v1/dead-letters/{dead_letter_id}", min_role=Role.TENANT_ADMIN)
    async def delete_dead_letter(caller: TenantContext | PlatformContext, path: DeadLetterPath) -> None:
        """Delete a dead letter.

        Its message is gone for good; its job stays as it is. One that is being replayed is a 409.
        """
        await service(caller).delete(path.dead_letter_id)

    _bind_watch(runtime, routes.blueprint)
    _bind_drain(runtime, routes.blueprint)
    return routes.blueprint


def _letters(runtime: "Runtime", caller: TenantContext | PlatformContext) -> DeadLetterRepository:
    return DeadLetterRepository(caller, runtime.container("quarantine"), runtime.clock)


def _bind_watch(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    def watch(caller: TenantContext | PlatformContext) -> DeadLetterWatch:
        return DeadLetterWatch(_letters(runtime, caller), runtime.clock)

    @blueprint.timer_trigger(arg_name="timer", schedule="0 45 * * * *")
    async def watch_dead_letters(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Tell, each hour, how many dead letters there are, and how old the oldest is."""
        with background_work():
            await watch(platform_work()).sweep()
        await Sweeper(runtime.tenants, runtime.authenticator, watch, runtime.clock).sweep()


def _bind_drain(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    @blueprint.timer_trigger(arg_name="timer", schedule="30 * * * * *")
    async def drain_dead_letters(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Move what no host hands to a function from the dead-letter queues to the quarantine."""
        with background_work():
            for jobs in runtime.job_queues.values():
                queue = Queue(runtime, jobs.name, jobs.model)
                drain = DeadLetterDrain(partial(runtime.open_dead_letters, jobs.find_address()), queue)
                await drain.sweep()
