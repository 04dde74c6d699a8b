"""Queues of jobs: what the trigger, and a replay of its messages, have to know of a capability's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from shared.jobs.setbacks import JobSetbacks
from shared.messaging.consumer import Queue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from pydantic import BaseModel

    from shared.contracts import TaskMessage
    from shared.jobs.models import JobMessage
    from shared.jobs.places import JobOutbox
    from shared.jobs.repository import JobRepository
    from shared.messaging.consumer import QueueServices
    from shared.tenancy.context import TenantContext


class WritesRequest[Request: TaskMessage](Protocol):
    """Writer of the message that puts a job on its queue."""

    def __call__(self, request: Request, not_before: datetime | None = None) -> JobMessage:
        """Return the message, to be delivered from a time on."""
        ...


@dataclass(frozen=True, slots=True)
class JobQueue[Request: TaskMessage, Result: BaseModel]:
    """The queue of one capability's jobs.

    Attributes:
        name: What logs and the quarantine call it.
        find_address: Returns what the broker calls it.
        model: The messages' model.
        app_id: The application whose budget the jobs take.
        jobs_of: Opens a tenant's jobs.
        outbox_of: Opens the way of a tenant's jobs to the queue, and of their results.
        write_message: Writes the message that brings a request back.
        has_sessions: Whether a message needs a session.
        check: Holds a message to the rules of its worker, beyond its model; None where there are none.
        require_content: Refuses a message whose content is kept beside the queue, and is not any more; None
            where nothing is.
    """

    name: str
    find_address: Callable[[], str]
    model: type[Request]
    app_id: str
    jobs_of: Callable[[TenantContext], JobRepository[Request, Result]]
    outbox_of: Callable[[TenantContext], JobOutbox]
    write_message: WritesRequest[Request]
    has_sessions: bool = False
    check: Callable[[Request], None] | None = None
    require_content: Callable[[TenantContext, Request], Awaitable[object]] | None = None

    def open(
        self, services: QueueServices, give_up: Callable[[TenantContext, Request], Awaitable[None]]
    ) -> Queue[Request]:
        """Return the queue's edge: a job whose work fails is put off, and given up after the last failure.

        Args:
            services: The composition root.
            give_up: Ends the job of a message that has failed as often as it may.
        """

        async def put_off(tenant: TenantContext, message: Request, failure: Exception) -> None:
            setbacks = JobSetbacks(
                self.jobs_of(tenant),
                self.outbox_of(tenant),
                self.write_message,
                partial(give_up, tenant),
                services.clock,
            )
            await setbacks.put_off(message, failure)

        return Queue(services, self.name, self.model, put_off=put_off)
