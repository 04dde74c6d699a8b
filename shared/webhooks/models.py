"""Stored webhooks and deliveries.

One item holds all webhooks of a tenant, so that knowing them is one point read, and their number is bounded.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from shared.cosmos.partition import StoredItem
from shared.validation import text_pattern

URL_PATTERN = text_pattern(
    r"^https?://"
    r"([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(:[1-9][0-9]{0,4})?"
    r"(/[!\"$-\[\]-~]*)?$",
    "an http or https URL of a host, without credentials, fragment, backslash and spaces",
)
"""URLs that every client reads alike: no credentials in them, no fragment, no backslash, no spaces."""

LONGEST_URL = 2_048

KEPT_SECONDS = 30 * 86_400
"""How long a delivery is listed."""

WEBHOOKS_ITEM = "webhooks"


class WebhookEvent(StrEnum):
    """Event that a webhook may be told of: the end of a job that names its URL."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"


class DeliveryStatus(StrEnum):
    """Progress of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class StoredWebhook(BaseModel):
    """One completion URL."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    events: list[WebhookEvent]
    created_at: datetime
    rotated_at: datetime | None = None


class SealedSecret(BaseModel):
    """A signing secret, encrypted.

    Attributes:
        sealed: The encrypted secret.
        ends_at: The time from which nothing is signed with it any more; None for the one in force.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    sealed: str
    ends_at: datetime | None = None

    def works_at(self, now: datetime) -> bool:
        """Tell whether deliveries are signed with it."""
        return self.ends_at is None or now < self.ends_at


class WebhooksItem(StoredItem):
    """All webhooks of a tenant, and their secrets, by the webhooks' ids; no export shows the secrets."""

    id: str = WEBHOOKS_ITEM
    hooks: dict[str, StoredWebhook] = Field(default_factory=dict)
    secrets: dict[str, list[SealedSecret]] = Field(default_factory=dict)


class CompletionNotice(BaseModel):
    """Notice that a job has ended: nothing of what the job says.

    Attributes:
        url: The completion URL that the job names.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    event: WebhookEvent
    job_id: str
    task_id: str | None = None
    status: str
    status_url: str


class DeliveryItem(StoredItem):
    """One delivery: a notice on its way to a webhook.

    Attributes:
        place: The time at which it was made, and its id: deliveries are listed by it.
        due_at: The time of the next attempt, in seconds of Unix time.
        attempts: Attempts that were begun.
        status_code: The HTTP status of the last answer, if there was one.
        problem: The failure of the last attempt.
        ttl: Seconds until the store forgets it.
    """

    webhook_id: str
    notice: CompletionNotice
    place: str
    is_pending: bool = True
    status: DeliveryStatus = DeliveryStatus.PENDING
    due_at: float
    attempts: int = 0
    status_code: int | None = None
    problem: str | None = None
    created_at: datetime
    updated_at: datetime
    ttl: int = KEPT_SECONDS
