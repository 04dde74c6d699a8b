"""A tenant's webhooks in Cosmos: the allow-list of the URLs that its jobs may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.cosmos.container import (
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
)
from shared.cosmos.partition import Partition
from shared.errors import ConflictError, NotFoundError
from shared.validation import refused_field
from shared.webhooks.models import WEBHOOKS_ITEM, WebhooksItem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.webhooks.models import SealedSecret, StoredWebhook

MOST_WEBHOOKS = 20
"""The most webhooks of a tenant."""

_ATTEMPTS = 5


class WebhookNotFoundError(NotFoundError):
    """No such webhook for this tenant."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"Webhook with ID '{webhook_id}' not found", {"webhook_id": webhook_id})


class WebhookExistsError(ConflictError):
    """The tenant has a webhook of this URL."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"Webhook '{webhook_id}' has this URL", {"webhook_id": webhook_id})


class TooManyWebhooksError(ConflictError):
    """The tenant has as many webhooks as it may."""

    def __init__(self) -> None:
        super().__init__(
            f"There are {MOST_WEBHOOKS} webhooks, the most there may be", {"most": MOST_WEBHOOKS}
        )


class WebhookStore:
    """The webhooks of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container) -> None:
        self._own = Partition.of(tenant, container)

    async def read(self) -> WebhooksItem:
        """Return all webhooks, with their secrets."""
        return await self._own.read(WebhooksItem, WEBHOOKS_ITEM) or WebhooksItem()

    async def require_url(self, url: str, field: str) -> None:
        """Refuse a completion URL that is none of the tenant's webhooks', character by character.

        Raises:
            ValidationError: It is not; the error names the field.
        """
        if find_by_url(await self.read(), url) is None:
            raise refused_field(field, "is none of the tenant's webhooks: POST /api/v1/webhooks adds it")

    async def add(self, webhook_id: str, hook: StoredWebhook, secret: SealedSecret) -> None:
        """Add a webhook.

        Raises:
            WebhookExistsError: There is one of this URL.
            TooManyWebhooksError: There are as many as there may be.
            ConflictError: Others kept changing this tenant's webhooks meanwhile.
        """

        def plan(item: WebhooksItem) -> Sequence[PatchOperation]:
            if webhook_id in item.hooks:
                return ()  # it was done; only the answer was lost
            if (other := find_by_url(item, hook.url)) is not None:
                raise WebhookExistsError(other)
            if len(item.hooks) >= MOST_WEBHOOKS:
                raise TooManyWebhooksError
            return (
                PatchOperation("set", f"/hooks/{webhook_id}", hook.model_dump(mode="json")),
                PatchOperation("set", f"/secrets/{webhook_id}", [secret.model_dump(mode="json")]),
            )

        await self._change(plan)

    async def remove(self, webhook_id: str) -> None:
        """Remove a webhook; nothing is delivered to it any more.

        Raises:
            WebhookNotFoundError: There is none of this id.
            ConflictError: Others kept changing this tenant's webhooks meanwhile.
        """
        is_ours = False

        def plan(item: WebhooksItem) -> Sequence[PatchOperation]:
            nonlocal is_ours
            if webhook_id not in item.hooks:
                if is_ours:
                    return ()  # it was done; only the answer was lost
                raise WebhookNotFoundError(webhook_id)
            is_ours = True
            return (
                PatchOperation("remove", f"/hooks/{webhook_id}"),
                PatchOperation("remove", f"/secrets/{webhook_id}"),
            )

        await self._change(plan)

    async def replace_secret(
        self, webhook_id: str, hook: StoredWebhook, secrets: Sequence[SealedSecret]
    ) -> None:
        """Store a webhook with the secrets that are in force from now on, the new one first.

        Raises:
            WebhookNotFoundError: There is none of this id.
            ConflictError: Others kept changing this tenant's webhooks meanwhile.
        """

        def plan(item: WebhooksItem) -> Sequence[PatchOperation]:
            if webhook_id not in item.hooks:
                raise WebhookNotFoundError(webhook_id)
            if item.secrets.get(webhook_id) == list(secrets):
                return ()  # it was done; only the answer was lost
            sealed = [secret.model_dump(mode="json") for secret in secrets]
            return (
                PatchOperation("set", f"/hooks/{webhook_id}", hook.model_dump(mode="json")),
                PatchOperation("set", f"/secrets/{webhook_id}", sealed),
            )

        await self._change(plan)

    async def _change(self, plan: Callable[[WebhooksItem], Sequence[PatchOperation]]) -> None:
        """Change the item as it was read; where somebody else does meanwhile, as it is read then."""
        for _ in range(_ATTEMPTS):
            item = await self._own.read(WebhooksItem, WEBHOOKS_ITEM)
            changes = plan(item or WebhooksItem())
            if not changes:
                return
            try:
                if item is None:
                    item = await self._own.create(WebhooksItem())
                await self._own.patch(WebhooksItem, WEBHOOKS_ITEM, Patch(tuple(changes), etag=item.etag))
            except (ItemExistsError, ItemChangedError, ItemNotFoundError):
                continue
            return
        raise ConflictError("The webhooks are being changed by others", retry_after=1.0)


def find_by_url(item: WebhooksItem, url: str) -> str | None:
    """Return the id of the webhook that has a URL; None where none has."""
    return next((webhook_id for webhook_id, hook in item.hooks.items() if hook.url == url), None)
