"""Bind the routes of feedback, its queue, the queue's dead letters and the sweeper."""

from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func

from functions.feedback.imports import ImportService
from functions.feedback.messages import request_message
from functions.feedback.models import (
    FeedbackAccepted,
    FeedbackPageQuery,
    FeedbackPath,
    FeedbackReply,
    FeedbackRequest,
    FeedbackSummaryQuery,
    FeedbackSummaryReply,
    ImportAccepted,
    ImportPageQuery,
    ImportPath,
    ImportReply,
    ImportRequest,
)
from functions.feedback.repository import FeedbackRepository, ImportRepository
from functions.feedback.service import FeedbackService
from functions.feedback.stored_models import FEEDBACK, FeedbackIntake, FeedbackJobs
from functions.feedback.worker import FeedbackWorker, check_message
from shared.contracts import FeedbackFormIn
from shared.http.bounds import RouteBounds
from shared.http.inputs import OperationId
from shared.http.paging import ListReply
from shared.http.routes import Routes
from shared.jobs.claims import JobClaims
from shared.jobs.intake import JobIntake
from shared.jobs.messages import open_outbox
from shared.jobs.places import JobOutbox
from shared.jobs.queues import JobQueue
from shared.jobs.repository import JobRepository
from shared.messaging.outbox_sweeper import Sweeper
from shared.tenancy.context import Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime

_IMPORT_SECONDS = 120.0
_IMPORT_BYTES = 1024 * 1024
_IMPORT_BODY_BYTES = 2 * _IMPORT_BYTES
"""A megabyte of CSV, and as much again for what JSON escapes of it."""


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the feedback capability."""
    routes = Routes(runtime, "feedback")
    _bind_feedback(runtime, routes)
    _bind_imports(runtime, routes)
    _bind_queue(runtime, routes.blueprint)
    _bind_sweeper(runtime, routes.blueprint)
    return routes.blueprint


def _jobs(runtime: "Runtime", tenant: TenantContext) -> FeedbackJobs:
    return JobRepository(tenant, runtime.container("feedback"), runtime.clock, FEEDBACK)


def _outbox(runtime: "Runtime", tenant: TenantContext) -> JobOutbox:
    settings = runtime.settings
    queues = {"request": settings.feedback_in_queue, "result": settings.feedback_out_queue}
    jobs = _jobs(runtime, tenant)
    return JobOutbox(jobs, open_outbox(tenant, jobs, runtime.sender, queues))


def _intake(runtime: "Runtime", tenant: TenantContext) -> FeedbackIntake:
    return JobIntake(_jobs(runtime, tenant), _outbox(runtime, tenant))


def _feedback(runtime: "Runtime", tenant: TenantContext) -> FeedbackRepository:
    return FeedbackRepository(tenant, runtime.container("feedback"))


def _bind_feedback(runtime: "Runtime", routes: Routes) -> None:
    def service(tenant: TenantContext) -> FeedbackService:
        return FeedbackService(tenant, _feedback(runtime, tenant), _intake(runtime, tenant), runtime.clock)

    @routes.post("v1/feedback", min_role=Role.USER, status=202, id_field="id")
    async def accept_feedback(tenant: TenantContext, feedback: FeedbackRequest) -> FeedbackAccepted:
        """Accept a feedback to be analysed.

        It is stored before it is acknowledged, analysed in the background, and the analysis is sent to the
        queue `feedback-form-out`. The same id with the same content is the same feedback and is not paid
        twice; with another content it is a 409. The Location leads to the feedback.
        """
        return await service(tenant).accept(feedback)

    @routes.get("v1/feedback", min_role=Role.USER)
    async def list_feedback(tenant: TenantContext, query: FeedbackPageQuery) -> ListReply[FeedbackReply]:
        """List the feedback.

        It is sorted by id. A user's token, or a key that is bound to a user, sees that user's alone. The
        texts themselves are not shown, but the analyses.
        """
        return await service(tenant).list(query)

    @routes.get("v1/feedback/summary", min_role=Role.USER, bounds=RouteBounds(one_at_a_time=True))
    async def summarise_feedback(tenant: TenantContext, query: FeedbackSummaryQuery) -> FeedbackSummaryReply:
        """Count the feedback of some days by hashtag, category, language and day.

        The last 30 days are counted where no others are named. More than 10,000 feedbacks are not counted at
        once: fewer days have to be asked for.
        """
        return await service(tenant).summarise(query)

    @routes.get("v1/feedback/{feedback_id}", min_role=Role.USER)
    async def get_feedback(tenant: TenantContext, path: FeedbackPath) -> FeedbackReply:
        """Show a feedback.

        Its analysis is in it once it succeeded. One that failed and is tried again, or that the token budget
        does not admit now, is `queued` again, with `waiting_for` and `waiting_until`; the former fails after
        five failures, the latter after 25 hours.
        """
        return await service(tenant).read(path.feedback_id)


def _bind_imports(runtime: "Runtime", routes: Routes) -> None:
    def service(tenant: TenantContext) -> ImportService:
        imports = ImportRepository(tenant, runtime.container("feedback_imports"))
        return ImportService(
            tenant, imports, _feedback(runtime, tenant), _intake(runtime, tenant), runtime.clock
        )

    bounds = RouteBounds(body_bytes=_IMPORT_BODY_BYTES, one_at_a_time=True)

    @routes.post("v1/feedback/import", min_role=Role.USER, status=202, seconds=_IMPORT_SECONDS, bounds=bounds)
    async def import_feedback(
        tenant: TenantContext, file: ImportRequest, operation_id: OperationId | None
    ) -> ImportAccepted:
        """Accept a CSV file of feedback.

        Each row becomes a feedback of its own, with an id that begins with the import's; a row that cannot
        be one is refused by itself. All rows are stored before the import is acknowledged, and analysed in
        the background. The Location leads to the import.
        """
        return await service(tenant).accept(file, operation_id)

    @routes.get("v1/feedback/import/{import_id}", min_role=Role.USER)
    async def get_feedback_import(
        tenant: TenantContext, path: ImportPath, query: ImportPageQuery
    ) -> ImportReply:
        """Show an import.

        It tells how far its rows are, and what has become of each of those on the page.
        """
        return await service(tenant).read(path.import_id, query)


def _bind_queue(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    def worker(tenant: TenantContext) -> FeedbackWorker:
        jobs = _jobs(runtime, tenant)
        return FeedbackWorker(
            jobs,
            _outbox(runtime, tenant),
            JobClaims(jobs, runtime.settings.feedback_hold_seconds, runtime.clock),
            runtime.metered_model(tenant, "feedback"),
            runtime.settings.openai_model,
        )

    jobs = JobQueue(
        "feedback-form-in",
        lambda: runtime.settings.feedback_in_queue,
        FeedbackFormIn,
        "feedback",
        partial(_jobs, runtime),
        partial(_outbox, runtime),
        request_message,
        check=check_message,
    )
    runtime.job_queues[jobs.name] = jobs
    queue = jobs.open(runtime, lambda tenant, message: worker(tenant).give_up(message))

    @blueprint.service_bus_queue_trigger(
        arg_name="message", queue_name="%FEEDBACK_IN_QUEUE%", connection="SERVICEBUS"
    )
    @queue.handler
    async def analyse_feedback(tenant: TenantContext, message: FeedbackFormIn) -> None:
        """Analyse a feedback."""
        await worker(tenant).work(message)

    @blueprint.service_bus_queue_trigger(
        arg_name="message", queue_name="%FEEDBACK_IN_QUEUE%/$DeadLetterQueue", connection="SERVICEBUS"
    )
    @queue.mover
    async def give_up_feedback(tenant: TenantContext, message: FeedbackFormIn) -> None:
        """End an analysis whose message exhausted its deliveries, and move that to the quarantine."""
        await worker(tenant).give_up(message)


def _bind_sweeper(runtime: "Runtime", blueprint: func.Blueprint) -> None:
    @blueprint.timer_trigger(arg_name="timer", schedule="%OUTBOX_SWEEP_SCHEDULE%")
    async def sweep_feedback(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the binding's name
        """Send what imports and crashes left in the outboxes of feedback."""
        outbox_of = partial(_outbox, runtime)
        await Sweeper(runtime.tenants, runtime.authenticator, outbox_of, runtime.clock).sweep()
