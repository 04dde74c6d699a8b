"""Bind the routes of jobs, their queue, its dead letters and the sweeper."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.reasoning.inputs import JobInputs
from functions.reasoning.messages import request_message
from functions.reasoning.models import (
    ApprovalRequest,
    JobAccepted,
    JobPageQuery,
    JobPath,
    JobReply,
    JobRequest,
)
from functions.reasoning.service import JobService
from functions.reasoning.steps import StepRunner
from functions.reasoning.stored_models import REASONING
from functions.reasoning.worker import JobWorker, check_message
from shared.contracts import ReasonerIn
from shared.http.bounds import RouteBounds
from shared.http.inputs import LastEventId, WantsEvents
from shared.http.paging import ListReply
from shared.http.routes import LONGEST_ANSWER_SECONDS, Routes
from shared.http.streaming import EventStream
from shared.jobs.callbacks import CallbackRepository
from shared.jobs.contents import JobContents
from shared.jobs.messages import open_outbox
from shared.jobs.places import JobOutbox
from shared.jobs.queues import JobQueue
from shared.jobs.repository import JobRepository
from shared.messaging.outbox_sweeper import Sweeper
from shared.tenancy.context import Role, TenantContext
from shared.tenancy.in_force import while_in_force
from shared.webhooks.deliveries import DeliveryRepository
from shared.webhooks.store import WebhookStore

if TYPE_CHECKING:
    from functions.reasoning.stored_models import ReasoningJobs
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the reasoning capability."""
    routes = Routes(runtime, "reasoning")
    _bind_routes(runtime, routes)
    _bind_queue(runtime, routes.blueprint)
    _bind_sweeper(runtime, routes.blueprint)
    return routes.blueprint


def _jobs(runtime: "Runtime", tenant: TenantContext) -> "ReasoningJobs":
    return JobRepository(tenant, runtime.container("jobs"), runtime.clock, REASONING)


def _outbox(runtime: "Runtime", tenant: TenantContext) -> JobOutbox:
    queues = {"request": runtime.settings.reasoner_in_queue, "result": runtime.settings.reasoner_out_queue}
    deliveries = DeliveryRepository(tenant, runtime.container("webhooks"), runtime.clock)
    jobs = _jobs(runtime, tenant)
    notified = CallbackRepository(jobs, deliveries, _webhooks(runtime, tenant))
    return JobOutbox(jobs, open_outbox(tenant, notified, runtime.sender, queues))


def _webhooks(runtime: "Runtime", tenant: TenantContext) -> WebhookStore:
    return WebhookStore(tenant, runtime.container("webhooks"))


def _inputs(runtime: "Runtime", tenant: TenantContext) -> JobInputs:
    return JobInputs(JobContents(tenant, lambda: runtime.job_blobs))


def _bind_routes(runtime: "Runtime", routes: Routes) -> None:
    def service(tenant: TenantContext) -> JobService:
        return JobService(
            tenant,
            _jobs(runtime, tenant),
            _outbox(runtime, tenant),
            _inputs(runtime, tenant),
            _webhooks(runtime, tenant),
            runtime.prompts.of(tenant),
            partial(runtime.models.require, tenant),
            runtime.clock,
        )

    @routes.post("v1/reasoning/jobs", min_role=Role.USER, status=202, id_field="id")
    async def accept_job(tenant: TenantContext, job: JobRequest) -> JobAccepted:
        """Accept a reasoning job.

        It is stored before it is acknowledged, worked on in the background, and its end is sent to the queue
        `reasoner-out`. A model or a prompt that there is not, and variables that do not fit, are a 422. The
        same id with the same content is the same job and is not paid twice; with another
        content it is a 409. The Location leads to the job.
        """
        return await service(tenant).accept(job)

    @routes.get("v1/reasoning/jobs", min_role=Role.USER, bounds=RouteBounds(one_at_a_time=True))
    async def list_jobs(tenant: TenantContext, query: JobPageQuery) -> ListReply[JobReply]:
        """List the reasoning jobs.

        They are sorted by id, and without the texts of their steps. A user's token, or a key that is bound to
        a user, sees that user's alone.
        """
        return await service(tenant).list(query)

    @routes.get("v1/reasoning/jobs/{job_id}", min_role=Role.USER, seconds=LONGEST_ANSWER_SECONDS)
    async def get_job(
        tenant: TenantContext,
        path: JobPath,
        wants_events: WantsEvents | None,
        last_event_id: LastEventId | None,
    ) -> JobReply | EventStream[JobReply]:
        """Show a reasoning job, or follow it.

        Steps that are finished are in it while it runs. A job that failed and is tried again, or that the
        token budget does not admit now, is `queued` again, with `waiting_for` and `waiting_until`; the former
        fails after five failures, the latter after 25 hours. With `Accept: text/event-stream` each finished
        step comes as an event `step`, each change of the rest as `status`; `done` comes when the job is over,
        and otherwise after 170 s, with the job as it stands: ask again then. With Last-Event-ID a stream goes
        on after that event.
        """
        if wants_events:
            events = service(tenant).follow(path.job_id, last_event_id)
            return EventStream(while_in_force(tenant, runtime.authenticator.check_in_force, events))
        return await service(tenant).read(path.job_id)

    @routes.delete("v1/reasoning/jobs/{job_id}", min_role=Role.USER, status=202)
    async def cancel_job(tenant: TenantContext, path: JobPath) -> JobAccepted:
        """Cancel a reasoning job.

        A job that is queued or waits is `cancelled` at once. One that is in work ends at its next boundary:
        no further step is begun, and nothing of the token budget stays locked. Its end is sent to the queue
        `reasoner-out`, too. A job that has ended otherwise is a 409.
        """
        return await service(tenant).cancel(path.job_id)

    @routes.post("v1/reasoning/jobs/{job_id}/approve", min_role=Role.USER)
    async def approve_job(tenant: TenantContext, path: JobPath, said: ApprovalRequest) -> JobReply:
        """Approve the step that a reasoning job waits for.

        The job goes on where it stopped; where the step is not approved, it is `cancelled`. The same word
        twice is one. A job that does not wait for this step is a 409.
        """
        return await service(tenant).approve(path.job_id, said)


def _bind_queue(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    def worker(tenant: TenantContext) -> JobWorker:
        return JobWorker(
            _jobs(runtime, tenant),
            _outbox(runtime, tenant),
            StepRunner(
                _inputs(runtime, tenant),
                runtime.prompts.of(tenant),
                runtime.metered_model(tenant, "reasoner"),
                runtime.settings.openai_model,
            ),
            runtime.settings.reasoner_hold_seconds,
            runtime.clock,
        )

    jobs = JobQueue(
        "reasoner-in",
        lambda: runtime.settings.reasoner_in_queue,
        ReasonerIn,
        "reasoner",
        partial(_jobs, runtime),
        partial(_outbox, runtime),
        request_message,
        has_sessions=True,
        check=check_message,
        require_content=lambda tenant, message: _inputs(runtime, tenant).load(message),
    )
    runtime.job_queues[jobs.name] = jobs
    queue = jobs.open(runtime, lambda tenant, message: worker(tenant).give_up(message))

    @blueprint.service_bus_queue_trigger(
        arg_name="message",
        queue_name="%REASONER_IN_QUEUE%",
        connection="SERVICEBUS",
        is_sessions_enabled=True,
    )
    @queue.handler
    async def run_job(tenant: TenantContext, message: ReasonerIn) -> None:
        """Work on a reasoning job."""
        await worker(tenant).work(message)

    @blueprint.service_bus_queue_trigger(
        arg_name="message", queue_name="%REASONER_IN_QUEUE%/$DeadLetterQueue", connection="SERVICEBUS"
    )
    @queue.mover
    async def give_up_job(tenant: TenantContext, message: ReasonerIn) -> None:
        """End a job whose message exhausted its deliveries, and move that to the quarantine."""
        await worker(tenant).give_up(message)


def _bind_sweeper(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    @blueprint.timer_trigger(arg_name="timer", schedule="%OUTBOX_SWEEP_SCHEDULE%")
    async def sweep_outbox(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Send what a crash left in the outboxes."""
        outbox_of = partial(_outbox, runtime)
        await Sweeper(runtime.tenants, runtime.authenticator, outbox_of, runtime.clock).sweep()
