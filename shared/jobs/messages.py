"""Messages of jobs, as they are stored to be sent, and the outbox that sends them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from shared.errors import PayloadTooLargeError
from shared.jobs.models import JobMessage
from shared.messaging.outbox import Outbox
from shared.messaging.sender import MAX_BODY_BYTES, OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shared.contracts import TaskMessage
    from shared.jobs.models import JobOutboxItem
    from shared.messaging.outbox import OutboxRepository
    from shared.messaging.sender import MessageSender
    from shared.tenancy.context import TenantContext

_LONGEST_NAME = 128
_DIGEST_LENGTH = 32


def write_request(
    request: TaskMessage, *, session_id: str | None = None, not_before: datetime | None = None
) -> JobMessage:
    """Return the message that puts a job on its queue.

    Args:
        request: What to do.
        session_id: The session, where the queue requires one.
        not_before: The time before which it is not delivered; None for at once.

    Raises:
        PayloadTooLargeError: No queue takes a message of this size.
    """
    body = request.model_dump_json(by_alias=True, exclude_none=True)
    if (size := len(body.encode())) > MAX_BODY_BYTES:
        raise PayloadTooLargeError(
            f"The job takes {size} bytes, more than {MAX_BODY_BYTES}", {"max_bytes": MAX_BODY_BYTES}
        )
    return JobMessage(kind="request", session_id=session_id, body=body, not_before=not_before)


def name_message(tenant_id: str, job_id: str) -> str:
    """Return the broker's id of all messages of a job: `{tenant_id}:{id}`, as design/api.md has it.

    Service Bus takes 128 characters: where that has more, a digest stands for the job's id.
    """
    name = f"{tenant_id}:{job_id}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{tenant_id}:{hashlib.sha256(job_id.encode()).hexdigest()[:_DIGEST_LENGTH]}"


def open_outbox(
    tenant: TenantContext,
    jobs: OutboxRepository[JobOutboxItem],
    sender: MessageSender,
    queues: Mapping[str, str],
) -> Outbox[JobOutboxItem]:
    """Open the outbox of one tenant's jobs; `queues` has the queue of each kind of message."""

    def address(job: JobOutboxItem) -> tuple[str, OutgoingMessage] | None:
        message = job.pending_message
        if message is None:
            return None
        name = name_message(tenant.tenant_id, job.id)
        body = message.body.encode()
        return queues[message.kind], OutgoingMessage(name, body, message.session_id, message.not_before)

    return Outbox(tenant, jobs, address, sender)
