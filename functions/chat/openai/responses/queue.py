"""Bind the queue of responses that are made in the background, its dead letters and the sweeper."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.chat.composition import Chat
from functions.chat.openai.responses.background import (
    RESPONSES,
    BackgroundResponses,
    ResponseJobs,
    request_message,
)
from functions.chat.openai.responses.composition import OpenedResponses, open_responses
from functions.chat.openai.responses.worker import ResponseWorker
from shared.contracts import ResponsesIn
from shared.jobs.claims import JobClaims
from shared.jobs.intake import JobIntake
from shared.jobs.messages import open_outbox
from shared.jobs.places import JobOutbox
from shared.jobs.queues import JobQueue
from shared.jobs.repository import JobRepository
from shared.llm.model_call import CallOrigin
from shared.messaging.outbox_sweeper import Sweeper
from shared.tenancy.context import TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def bind_queue(runtime: "Runtime", chat: Chat, blueprint: func.Blueprint) -> None:
    """Bind the queue of responses."""

    async def worker(tenant: TenantContext, response_id: str) -> ResponseWorker:
        opened = await open_responses(chat, runtime, tenant, CallOrigin(job_id=response_id))
        jobs = _jobs(runtime, tenant)
        claims = JobClaims(jobs, runtime.settings.responses_hold_seconds, runtime.clock)
        return ResponseWorker(opened.service, jobs, _outbox(runtime, tenant), claims)

    async def give_up(tenant: TenantContext, message: ResponsesIn) -> None:
        await (await worker(tenant, message.id)).give_up(message)

    jobs = JobQueue(
        "responses-in",
        lambda: runtime.settings.responses_in_queue,
        ResponsesIn,
        "openai",
        partial(_jobs, runtime),
        partial(_outbox, runtime),
        request_message,
    )
    runtime.job_queues[jobs.name] = jobs
    queue = jobs.open(runtime, give_up)

    @blueprint.service_bus_queue_trigger(
        arg_name="message", queue_name="%RESPONSES_IN_QUEUE%", connection="SERVICEBUS"
    )
    @queue.handler
    async def make_response(tenant: TenantContext, message: ResponsesIn) -> None:
        """Make a response in the background."""
        await (await worker(tenant, message.id)).work(message)

    @blueprint.service_bus_queue_trigger(
        arg_name="message", queue_name="%RESPONSES_IN_QUEUE%/$DeadLetterQueue", connection="SERVICEBUS"
    )
    @queue.mover
    async def give_up_response(tenant: TenantContext, message: ResponsesIn) -> None:
        """End a response whose message exhausted its deliveries, and move that to the quarantine."""
        await give_up(tenant, message)

    @blueprint.timer_trigger(arg_name="timer", schedule="%OUTBOX_SWEEP_SCHEDULE%")
    async def sweep_responses(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Send what crashes left in the outboxes of responses."""
        outbox_of = partial(_outbox, runtime)
        await Sweeper(runtime.tenants, runtime.authenticator, outbox_of, runtime.clock).sweep()


def open_background(
    runtime: "Runtime", tenant: TenantContext, opened: OpenedResponses
) -> BackgroundResponses:
    """Open a tenant's responses that are made in the background."""
    return BackgroundResponses(opened.service, JobIntake(_jobs(runtime, tenant), _outbox(runtime, tenant)))


def _jobs(runtime: "Runtime", tenant: TenantContext) -> ResponseJobs:
    return JobRepository(tenant, runtime.container("responses"), runtime.clock, RESPONSES)


def _outbox(runtime: "Runtime", tenant: TenantContext) -> JobOutbox:
    jobs = _jobs(runtime, tenant)
    queues = {"request": runtime.settings.responses_in_queue}
    return JobOutbox(jobs, open_outbox(tenant, jobs, runtime.sender, queues))
